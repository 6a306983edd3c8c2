"""Putting a checkpoint back into a training, whether one process holds all of it or many hold parts. Not a stage."""

from __future__ import annotations

from pathlib import Path

from workbench.model.folder import load_model
from workbench.model.transformer import Decoder
from workbench.train.averaging import WeightAverage
from workbench.train.checkpoint import TrainingState, restore
from workbench.train.optimizers import Optimizers
from workbench.train.ranks import Ranks


def put_back(
    folder: Path, optimizer: Optimizers, *, model: Decoder, average: WeightAverage | None, ranks: Ranks
) -> TrainingState:
    """Where the checkpoint in `folder` left off, with all put back; `model` has its published weights already.

    A checkpoint is in whole tensors. Where ranks hold parts, the newest weights go into a whole model first: what was
    published may be an average.
    """
    if ranks.count == 1:
        return restore(folder, optimizer, model=model, average=average)
    if average is not None:
        average.begin_at_weights()
    newest = load_model(folder)
    state = restore(folder, optimizer, model=newest)
    ranks.load(model, newest)
    return state
