"""Run folders as pictures: events read from where the last look ended, folded into what a screen shows.

A feed lives in one thread at a time and hands out frozen records; it touches no widget. A torn last line is
"not yet" (EventReader).
"""

from __future__ import annotations

import time
from dataclasses import replace

from tui import feed_cache
from tui.fold import Fold
from tui.gpus import gpus_of
from tui.metric_rows import number
from tui.planned import flops_per_token, planned_settings, planned_stages, predicted
from tui.run_seen import RunSeen, StageSeen
from tui.time_left import run_left, usual_silence
from workbench.files import free_bytes
from workbench.history import HistoryReader
from workbench.runs import LIVE, Run
from workbench.safe_text import one_line, safe_text

READ_SECONDS = 0.1
"""How long one look may read: a long history comes in slices, and the screen shows what is there so far."""
_SLICE_BYTES = 1 << 20
KEEP_AFTER_BYTES = 4 << 20
"""So much that was read since is worth keeping what it came to."""


class RunFeed:
    """Follows one run. `look()` reads what is new and returns the run as it is now.

    What a long history came to is kept in the home's cache, so that the next feed goes on from there.
    """

    def __init__(self, run: Run, *, cached: bool = True) -> None:
        self.run = run
        self._reader = HistoryReader(run.events_path)
        foreseen = predicted(run)
        self._fold = Fold(
            planned_stages(run), settings=planned_settings(run), flops_per_token=flops_per_token(foreseen)
        )
        self._planned_seconds = {name: number(each.get("seconds")) or 0.0 for name, each in foreseen.items()}
        self._kept_at = 0
        self._cached = cached
        if cached and (kept := feed_cache.load(run)) is not None:
            self._fold.restore(kept.facts, kept.curves)
            self._kept_at = kept.offset
            self._reader.skip_to(kept.offset)

    def look(self) -> RunSeen:
        """The run as it is now; `behind` when there was more to read than one look may take."""
        # The state is read first: what a run wrote before it ended is then surely in the events read after.
        state, status = self.run.state(), self.run.status()
        behind = self._read()
        if not behind:
            self._keep()
        fold = self._fold
        silent = fold.paces[fold.stage].gaps if fold.stage in fold.paces else ()
        return RunSeen(
            name=one_line(self.run.name, 120),
            path=self.run.path,
            state=state,
            stage=fold.stage or one_line(str(status.get("stage") or ""), 20),
            stages=tuple(self._with_plan(stage).in_run(state) for stage in fold.stages.values()),
            figures={name: dict(metrics.figures) for name, metrics in fold.metrics.items()},
            curves={name: metrics.curves for name, metrics in fold.metrics.items()},
            samples={name: samples.by_prompt() for name, samples in fold.samples.items()},
            notes=tuple(fold.notes),
            answers=dict(fold.answers),
            checkpoint_at=fold.checkpoint_at,
            checkpoint_step=fold.checkpoint_step,
            seconds=fold.seconds,
            told_at=fold.told_at,
            ended_at=fold.ended_at,
            heard_at=number(status.get("heartbeat")) or fold.told_at,
            behind=behind,
            read_share=self._reader.share_read() if behind else 1.0,
            resident_bytes=number(status.get("resident_bytes")),
            free_bytes=_free_bytes(self.run),
            gpus=gpus_of(status) if state in LIVE else None,
            left=self._left() if state == "running" else None,
            usual_silence=usual_silence(silent),
            version=fold.events,
        )

    def _read(self) -> bool:
        """Take in what is new, for READ_SECONDS at most; whether more is there."""
        deadline = time.monotonic() + READ_SECONDS
        while pieces := self._reader.read_new(limit_bytes=_SLICE_BYTES):
            for piece in pieces:
                self._fold.take(piece)
            if time.monotonic() > deadline:
                return self._reader.share_read() < 1
        return False

    def _keep(self) -> None:
        if self._cached and self._reader.offset - self._kept_at > KEEP_AFTER_BYTES:
            self._kept_at = self._reader.offset
            curves = {name: metrics.curves for name, metrics in self._fold.metrics.items()}
            feed_cache.keep(self.run, self._kept_at, self._fold.facts(), curves)

    def _with_plan(self, stage: StageSeen) -> StageSeen:
        return replace(stage, planned_seconds=self._planned_seconds.get(stage.name))

    def _left(self) -> tuple[float, float] | None:
        fold = self._fold
        spent = {name: fold.spent[name] for name in fold.made if name in fold.spent}
        return run_left(fold.stages.values(), planned=self._planned_seconds, spent=spent)


def read_log_tail(run: Run, *, most_bytes: int = 64_000) -> str:
    """The end of the worker's log, from a whole line on, cleaned; empty when there is none."""
    try:
        with run.log_path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - most_bytes))
            tail = file.read()
    except OSError:
        return ""
    if size > most_bytes:
        tail = tail.partition(b"\n")[2] or tail  # one line longer than all that is shown
    return safe_text(tail.decode(errors="replace"))


def _free_bytes(run: Run) -> float | None:
    try:
        return free_bytes(run.path)
    except OSError:
        return None
