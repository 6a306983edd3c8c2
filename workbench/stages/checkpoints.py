"""The checkpoints of a stage's training: when and how they are saved, and where the newest whole one is."""

from __future__ import annotations

from collections.abc import Collection

from workbench.model.transformer import Decoder
from workbench.recipe import Training
from workbench.stage_run import StageRun
from workbench.tokenizer import Tokenizer
from workbench.train.averaging import WeightAverage
from workbench.train.checkpoint import SaveClock, Saved, TrainingState, save_checkpoint
from workbench.train.checkpoint_folder import Found, latest_good, step_folder
from workbench.train.optimizers import Optimizers
from workbench.train.ranks import Ranks


class Checkpoints:
    """Saves a stage's checkpoints into its folder, and says when the clock asks for one."""

    def __init__(self, run: StageRun, settings: Training, *, tokenizer: Tokenizer) -> None:
        self._run = run
        self._keep_last = settings.keep_last
        self._tokenizer = tokenizer
        self._clock = SaveClock(settings.save_every_seconds)

    @property
    def every_seconds(self) -> float:
        """How old the last one may get."""
        return self._clock.every_seconds

    @every_seconds.setter
    def every_seconds(self, seconds: float) -> None:
        self._clock.every_seconds = seconds

    def is_due(self) -> bool:
        """Whether the last one is old enough."""
        return self._clock.is_due()

    def save(
        self,
        model: Decoder,
        optimizer: Optimizers,
        state: TrainingState,
        *,
        keep: Collection[int] = (),
        average: WeightAverage | None = None,
    ) -> None:
        """Write a checkpoint and say so; while the disk is full, wait here with everything in memory.

        Older ones of the steps in `keep` stay. What others load is the `average`, where it holds any.
        """

        def write() -> Saved:
            with self._clock.saving():
                return save_checkpoint(
                    self._run.folder,
                    model,
                    optimizer,
                    state,
                    tokenizer=self._tokenizer,
                    keep_last=self._keep_last,
                    keep=keep,
                    average=average,
                )

        saved = self._run.when_there_is_room(write)
        is_best = state.best_step == state.step
        self._run.emit("checkpoint", step=state.step, path=saved.folder.name, bytes=saved.bytes, best=is_best)


def newest_checkpoint(run: StageRun, ranks: Ranks) -> Found | None:
    """The newest whole checkpoint in the run's folder, the same on every rank; only the first looks for it.

    Raises Damaged when there are checkpoints and not one is whole.
    """
    found = ranks.first_does(lambda: latest_good(run.folder))
    step = ranks.agree(None if found is None else found.step)
    if found is None and step is not None:
        found = Found(step_folder(run.folder, step), step)
    return found
