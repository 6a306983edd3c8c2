"""The checkpoints of a stage's training: when and how they are saved, and where the newest whole one is.

    training thread   step  step [copy] step  step  step [tell] step      a `checkpoint` event says that it is durable
    writing thread                 write  fsync  rename

One is written at a time. Whatever must find it on disk (stop, pause, `save`, a decision of a person, the last step)
has it written while the training waits. How often the clock asks for one: SaveClock. A large one of several processes
all write together, while the training waits.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Collection
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import DiskFull
from workbench.files import human_bytes
from workbench.hardware import available_bytes
from workbench.model.transformer import Decoder
from workbench.recipe import Training
from workbench.stage_run import StageRun
from workbench.step_memory import IN_PARTS_FROM_BYTES
from workbench.tokenizer import Tokenizer
from workbench.train.averaging import WeightAverage
from workbench.train.checkpoint import SaveClock, TrainingState, take_snapshot
from workbench.train.checkpoint_folder import Found, latest_good, step_folder
from workbench.train.optimizers import Optimizers
from workbench.train.ranks import Ranks
from workbench.train.snapshot import Saved, Snapshot, write_snapshot

if TYPE_CHECKING:
    from workbench.train.together import HeldSnapshot

WORTH_A_THREAD_SECONDS = 0.03
"""What takes longer to write is written by a thread while the next steps run. For less training waits: at ten seconds
from one to the next that is 0.3 % of the time at most. (A thread costs no more CPU: recipes/LOG.md, 2026-11-20.)"""
BYTES_PER_SECOND = 4e8
"""How fast the first checkpoint is thought to be written; the others as the one before was."""
SHARE_OF_FREE_MEMORY = 0.9
"""Of the memory that is free, what a copy may take."""


class Checkpoints:
    """Saves a stage's checkpoints into its folder, and says when the clock asks for one."""

    def __init__(
        self, run: StageRun, settings: Training, *, tokenizer: Tokenizer, spare_core: bool = False
    ) -> None:
        """spare_core: whether a thread that writes has a core that no step computes on.

        last_computed_seconds: CPU seconds that writing the last one took, whoever wrote it. computed_seconds: of the
        threads that wrote some so far, as far as no core was theirs.
        """
        self._run = run
        self._spare_core = spare_core
        self._keep_last = settings.keep_last
        self._tokenizer = tokenizer
        self._clock = SaveClock(settings.save_every_seconds)
        self._write_seconds: float | None = None  # of the last one
        self.last_computed_seconds = 0.0
        self.computed_seconds = 0.0
        self._copy: Snapshot | None = None  # the memory of the last one that a thread wrote
        self._said = False  # that there is no room for a copy
        self._in_flight: Future[Saved] | None = None
        self._snapshot: Snapshot | None = None  # what is in flight

    @property
    def every_seconds(self) -> float:
        """How old the last one may get."""
        return self._clock.every_seconds

    @every_seconds.setter
    def every_seconds(self, seconds: float) -> None:
        self._clock.every_seconds = seconds

    def is_due(self) -> bool:
        """Whether the last one is old enough or could not be written; never while one is being written.

        Says so, on the way, when one that was being written is there.
        """
        if self._in_flight is None:
            return self._clock.is_due()
        if not self._in_flight.done():
            return False
        if self._in_flight.exception() is not None:
            return True  # to `save` it is told
        self._finish_writing()
        return self._clock.is_due()

    def save(
        self,
        model: Decoder,
        optimizer: Optimizers,
        state: TrainingState,
        *,
        keep: Collection[int] = (),
        average: WeightAverage | None = None,
        own_tensors: bool = False,
        durable: bool = True,
    ) -> None:
        """Save a checkpoint; while the disk is full, wait here with everything in memory.

        Older ones of the steps in `keep` stay. What others load is the `average`, where it holds any.
        own_tensors: whether model and optimizer are copies that no step changes. durable: return when it is on disk;
        else a thread may write it, and the next step may be taken.

        Waits for the one that is being written, and raises what stopped that as if it were this one's: NoSpace,
        TrainingDiverged. Where room helps, the state of now takes its place.
        """
        keep = frozenset(keep)  # as they are now

        def save_now() -> None:
            nonlocal durable
            with self._clock.saving():
                try:
                    self._finish_writing()
                    snapshot = take_snapshot(model, optimizer, state, average=average)
                    new_bytes = (
                        0 if own_tensors else snapshot.nbytes - (self._copy.nbytes if self._copy else 0)
                    )
                    if durable or not (self._is_worth_a_thread(snapshot) and self._has_room_for(new_bytes)):
                        self._tell(snapshot, self._write(snapshot, self._run.folder, keep))
                        return
                except DiskFull:
                    durable = True  # nobody should find out a step later that there is still no room
                    raise
                if not own_tensors:
                    snapshot = self._copy = snapshot.copy(into=self._copy)
                write = functools.partial(self._write, snapshot, self._run.folder, keep)
                self._snapshot, self._in_flight = snapshot, self._run.in_background(write)

        self._run.when_there_is_room(save_now)

    def save_together(
        self,
        model: Decoder,
        optimizer: Optimizers,
        state: TrainingState,
        *,
        ranks: Ranks,
        keep: Collection[int] = (),
        average: WeightAverage | None = None,
    ) -> bool:
        """Save a checkpoint into which every rank writes what it holds, while all wait; all must call.

        False, and nothing is done, for one so small that single files are better: `save` it. Else as `save`.
        """
        # The engine for several: a second that one need not wait.
        from workbench.train.sharded_optimizers import ShardedOptimizers
        from workbench.train.together import help_write, hold_snapshot, write_together

        assert isinstance(optimizer, ShardedOptimizers)
        snapshot = hold_snapshot(model, optimizer, state, ranks=ranks, average=average)
        if not ranks.agree(snapshot.nbytes >= IN_PARTS_FROM_BYTES):
            return False
        ranks.first_does(lambda: self._run.when_there_is_room(self._finish_writing))
        if not ranks.is_first:
            while not help_write(self._run.folder, snapshot, ranks=ranks):
                pass
            return True

        def save_now() -> Saved:
            with self._clock.saving():
                return write_together(
                    self._run.folder,
                    snapshot,
                    ranks=ranks,
                    tokenizer=self._tokenizer,
                    keep_last=self._keep_last,
                    keep=keep,
                )

        computed = time.thread_time()
        self._tell(snapshot, self._run.when_there_is_room(save_now))
        self.last_computed_seconds = time.thread_time() - computed
        return True

    def abandon(self) -> None:
        """Return when nothing is being written. What could not be is told, and stops nobody any more."""
        try:
            self._finish_writing()
        except Exception as error:
            self._run.warning(f"a checkpoint was not written: {error}")

    def _write(self, snapshot: Snapshot, folder: Path, keep: Collection[int]) -> Saved:
        started, computed = time.perf_counter(), time.thread_time()
        saved = write_snapshot(
            folder, snapshot, tokenizer=self._tokenizer, keep_last=self._keep_last, keep=keep
        )
        self._write_seconds = time.perf_counter() - started
        self.last_computed_seconds = time.thread_time() - computed
        return saved

    def _finish_writing(self) -> None:
        """Return when nothing is being written, and say so if something was. Raises what stopped it, once."""
        writing, snapshot = self._in_flight, self._snapshot
        self._in_flight = self._snapshot = None
        if writing is not None and snapshot is not None:
            saved = writing.result()
            assert self._write_seconds is not None
            computed = 0.0 if self._spare_core else self.last_computed_seconds
            self.computed_seconds += computed
            self._clock.written(seconds=self._write_seconds, computed_seconds=computed)
            self._tell(snapshot, saved)

    def _tell(self, snapshot: Snapshot | HeldSnapshot, saved: Saved) -> None:
        is_best = snapshot.best_step == snapshot.step
        self._run.emit(
            "checkpoint", step=snapshot.step, path=saved.folder.name, bytes=saved.bytes, best=is_best
        )

    def _is_worth_a_thread(self, snapshot: Snapshot) -> bool:
        """By how long the last one took to write, or else by its bytes."""
        seconds = self._write_seconds
        return (snapshot.nbytes / BYTES_PER_SECOND if seconds is None else seconds) > WORTH_A_THREAD_SECONDS

    def _has_room_for(self, new_bytes: int) -> bool:
        """Whether a copy that takes so much more memory fits into what is free; says it once where none does."""
        if new_bytes <= SHARE_OF_FREE_MEMORY * (free := available_bytes()):
            return True
        if not self._said:
            self._run.note(
                f"training waits while checkpoints are written: a copy of {human_bytes(new_bytes)} does not fit into "
                f"the {human_bytes(free)} of memory that are free"
            )
        self._said = True
        return False


def newest_checkpoint(run: StageRun, ranks: Ranks) -> Found | None:
    """The newest whole checkpoint in the run's folder, the same on every rank; only the first looks for it.

    Raises Damaged when there are checkpoints and not one is whole.
    """
    found = ranks.first_does(lambda: latest_good(run.folder))
    step = ranks.agree(None if found is None else found.step)
    if found is None and step is not None:
        found = Found(step_folder(run.folder, step), step)
    return found
