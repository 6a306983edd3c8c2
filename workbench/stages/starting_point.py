"""The model a training stage begins with: what the training before it, or [start], left. Not a stage.

A start may be a branch: then it holds the whole state of the training it was taken from, not only its weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from workbench.errors import BadInput
from workbench.hf_config import read_config
from workbench.model.folder import load_model
from workbench.model.transformer import Decoder
from workbench.model_config import ModelConfig
from workbench.stage_run import StageInputs
from workbench.tensor_files import STATE_NUMBERS
from workbench.tokenizer import Tokenizer
from workbench.train.checkpoint_folder import finished_checkpoint
from workbench.train.device import Machine


@dataclass(frozen=True, slots=True)
class Beginning:
    """A checkpoint of another training whose whole state this one begins with.

    same: it is the same training, asked for fewer tokens; otherwise a branch, by other rules.
    """

    folder: Path
    same: bool

    @property
    def what(self) -> str:
        """What happens, as the beginning of a sentence."""
        return "going on from the same training for fewer tokens" if self.same else "branching off"


def beginning_of(inputs: StageInputs, start: StartingPoint | None) -> Beginning | None:
    """The state of another training to begin with; None for a new one."""
    if inputs.shorter is not None:
        return Beginning(inputs.shorter, same=True)
    if start is not None and (start.folder / STATE_NUMBERS).is_file():
        return Beginning(start.folder, same=False)
    return None


@dataclass(frozen=True, slots=True)
class StartingPoint:
    """The last checkpoint of the training before this one: a folder with a model and its tokenizer."""

    folder: Path
    tokenizer: Tokenizer

    @property
    def shape(self) -> ModelConfig:
        """The model's numbers."""
        return read_config(self.folder).model

    def load_model(self, machine: Machine) -> Decoder:
        """The model as it was then."""
        return load_model(self.folder).to(machine.device)


def open_starting_point(inputs: StageInputs) -> StartingPoint:
    """Where this training starts from. Raises NotFound or Damaged when there is no finished training."""
    folder = finished_checkpoint(inputs.checkpoint, "last")
    return StartingPoint(folder, Tokenizer.load(folder))


def check_context(context_length: int, config: ModelConfig) -> None:
    """Raise BadInput when rows would be longer than the model was made for."""
    longest = config.max_position_embeddings
    if context_length > longest:
        raise BadInput(
            f"context_length = {context_length} is more than the model's {longest} positions",
            fix=f"set it to at most {longest}",
        )
