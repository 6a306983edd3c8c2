"""A run seen from inside: what a stage is handed, and all it may do besides its work.

A stage emits facts, reports progress, takes requests and builds in one folder. It never prints, never touches
the run folder itself, and does not know which recipe it belongs to.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from workbench.errors import DiskFull, Stopped
from workbench.events import EventWriter
from workbench.files import free_bytes, remove_folder
from workbench.recipe_model import Model
from workbench.runs import STOP_NOW, STOPS, Run
from workbench.safe_text import one_line
from workbench.source_watch import SourceWatch

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

PROGRESS_SECONDS = 0.5
PAUSE_POLL_SECONDS = 0.2
ROOM_POLL_SECONDS = 0.5
# A full disk is tried again once it has this much more room, and in any case ever more rarely: a quota and
# used-up inodes do not show in the free space.
WORTHWHILE_BYTES = 4_000_000
FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 5.0, 300.0

_T = TypeVar("_T")


@dataclasses.dataclass(frozen=True)
class StageInputs:
    """What a stage works on: verified artifact folders by kind, and the model's shape table.

    `checkpoint` is what the nearest training stage before this one made; `checkpoints` is all of them by
    stage name, in order. `start` is the model folder that the recipe starts from; `shorter`
    a checkpoint of the same training for fewer tokens, which this one may go on from.
    """

    recipe_folder: Path
    artifacts: Mapping[str, Path] = dataclasses.field(default_factory=dict)
    checkpoints: Mapping[str, Path] = dataclasses.field(default_factory=dict)
    model: Model | None = None
    start: Path | None = None
    shorter: Path | None = None

    def _artifact(self, kind: str) -> Path:
        assert kind in self.artifacts, f"the stage table gives this stage no {kind}"
        return self.artifacts[kind]

    @property
    def documents(self) -> Path:
        """Folder of the corpus."""
        return self._artifact("documents")

    @property
    def tokenizer(self) -> Path:
        """Folder of the tokenizer."""
        return self._artifact("tokenizer")

    @property
    def tokens(self) -> Path:
        """Folder of the token shards."""
        return self._artifact("tokens")

    def has(self, kind: str) -> bool:
        """Whether an artifact of that kind was made for this stage: not every recipe makes all."""
        return kind in self.artifacts

    @property
    def checkpoint(self) -> Path:
        """Folder of the checkpoints that this stage starts from."""
        return self._artifact("checkpoint")


class RunStatus:
    """The status a worker shows: a plain record, written by the worker's heartbeat, changed from anywhere."""

    def __init__(self, **fields: Any) -> None:
        self._fields = fields
        self._lock = threading.Lock()

    def update(self, **fields: Any) -> None:
        """Change some fields."""
        with self._lock:
            self._fields.update(fields)

    def snapshot(self) -> dict[str, Any]:
        """A copy of all fields."""
        with self._lock:
            return dict(self._fields)


SHOWN_METRICS = ("step", "loss", "val_loss", "val_bpb", "learning_rate", "tokens", "tokens_per_second")
"""The metrics of a stage that the run's status tells; the next stage begins without."""


class StageRun:
    """The handle a stage gets: `folder` to build in, facts out, requests in."""

    def __init__(
        self,
        run: Run,
        *,
        stage: str,
        folder: Path,
        events: EventWriter,
        status: RunStatus | None = None,
        stop_signalled: Callable[[], bool] = lambda: False,
        when_steered: Callable[[Sequence[Mapping[str, Any]]], Path] | None = None,
    ) -> None:
        """when_steered: told what a person decided so far, gives the folder to build in from now on."""
        self.stage = stage
        self.folder = folder
        self._run = run
        self._events = events
        self._status = status or RunStatus()
        self._stop_signalled = stop_signalled
        self._waiting: deque[str] = deque()
        self._asked: dict[str, str] = {}  # by what was asked, the name of the newest such request
        self._stopping: str | None = None  # which stop, once one was asked for
        self._waits_for_room = False
        self._progress_at = -PROGRESS_SECONDS
        self.cost: dict[str, float] = {}
        self.watch: SourceWatch | None = None
        self._when_steered = when_steered
        self._thread: ThreadPoolExecutor | None = None

    @property
    def compile_times_path(self) -> Path:
        """Where the home keeps what compiling was measured to give on this machine."""
        return self._run.home / "compile_times.json"

    @property
    def home(self) -> Path:
        """The home of the run."""
        return self._run.home

    @property
    def cache_folder(self) -> Path:
        """Where the home keeps what can be made again, for all runs."""
        return self._run.home / "cache"

    @property
    def run_folder(self) -> Path:
        """The run's own folder."""
        return self._run.path

    def emit(self, kind: str, **fields: Any) -> None:
        """Append one fact to the run's events; waits while the disk is full."""
        if self._waits_for_room:  # said while waiting: lost when even the reserve is used up
            with contextlib.suppress(DiskFull):
                self._events.write(kind, stage=self.stage, **fields)
        else:
            self.when_there_is_room(lambda: self._events.write(kind, stage=self.stage, **fields))
        if kind == "metric" and "step" in fields:
            self._status.update(**{key: fields[key] for key in SHOWN_METRICS if key in fields})
            if "val_bpb" in fields:  # outlives its stage: the list of runs is compared by it
                self._status.update(heldout_bits_per_byte=fields["val_bpb"])

    def note(self, text: str) -> None:
        """Say something worth knowing."""
        self.emit("note", text=text)

    def warning(self, text: str) -> None:
        """Say something that may need a person."""
        self.emit("warning", text=text)

    def answer(self, request: str, text: str, *, refused: bool = False) -> None:
        """Say what came of a request, or why nothing did; whoever asked finds it by the request's name."""
        name = self._asked.pop(request, None)
        facts = {} if name is None else {"answers": name, **({"refused": True} if refused else {})}
        self.emit("warning" if refused else "note", text=text, **facts)

    def progress(self, done: float, total: float | None, unit: str) -> None:
        """Say how far this stage is. Call as often as you like: at most two events a second are written."""
        self._status.update(progress={"done": done, "total": total, "unit": unit})
        now = time.monotonic()
        if now - self._progress_at >= PROGRESS_SECONDS or (total is not None and done >= total):
            self._progress_at = now
            self.emit("stage_progress", done=done, total=total, unit=unit)

    def tell_cost(self, **figures: float) -> None:
        """Say what the work took: plans on this machine are reckoned with it."""
        self.cost.update(figures)

    def tell_tuned(self, values: Mapping[str, Any]) -> None:
        """Show in the run's status what a person changed in this stage, by key, as it holds now."""
        self._status.update(tuned=dict(values) or None)

    def watched(self, watch: SourceWatch) -> None:
        """Say what became of the files of this stage's sources while it read them: it makes what is left of them."""
        self.watch = watch

    def in_background(self, work: Callable[[], _T]) -> Future[_T]:
        """Let a thread do `work` while the stage goes on; what is handed over second waits for the first.

        The future gives what came of it, or raises what stopped it. `work` may not use this handle.
        """
        # Views have this module too, and no use for threads.
        from concurrent.futures import ThreadPoolExecutor

        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"{self.stage} background")
        return self._thread.submit(work)

    def end_background(self) -> None:
        """Return when no thread works for the stage any more."""
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None

    def when_there_is_room(self, action: Callable[[], _T]) -> _T:
        """What `action` gives. Whenever it raises DiskFull, the run pauses until there is room and tries again.

        It goes on by itself, or at once when `resume` is asked for; `stop` ends the wait by Stopped.
        """
        retry_seconds = FIRST_RETRY_SECONDS
        while True:
            try:
                done = action()
            except DiskFull as full:
                self._wait_for_room(full, at_most=retry_seconds)
                retry_seconds = min(2 * retry_seconds, LAST_RETRY_SECONDS)
                continue
            if retry_seconds > FIRST_RETRY_SECONDS:
                self._status.update(state="running", waits_for=None)
                self.note("there is room again: going on")
            return done

    def _wait_for_room(self, full: DiskFull, *, at_most: float) -> None:
        """Return when trying again is worth it. The reserve makes room for saying what is going on."""
        self._run.give_reserve_back()
        free = free_bytes(self.folder)
        enough = free + WORTHWHILE_BYTES if full.needed is None else max(full.needed, free + 1)
        until = time.monotonic() + at_most
        others = []
        self._waits_for_room = True
        try:
            if self._status.snapshot().get("waits_for") is None:
                self._status.update(state="paused", waits_for=str(full))
                self.warning(f"paused: {full}; the run goes on by itself when there is room")
            while (request := self.request()) != "resume":
                if request in STOPS:
                    fix = "`workbench resume` goes on from what is saved"
                    raise Stopped(f"stopped in {self.stage} while the disk was full", fix=fix)
                if request is not None:
                    others.append(request)
                worth_it = time.monotonic() > until or free_bytes(self.folder) >= enough
                if worth_it and self._run.keep_reserve():
                    return
                time.sleep(ROOM_POLL_SECONDS)
        finally:
            self._waits_for_room = False
            self._waiting.extend(others)

    def steered(self, decisions: Sequence[Mapping[str, Any]]) -> None:
        """Say that this stage will make something else than its recipe does; `folder` may be another afterwards.

        decisions: all so far, as plain data: what is made is a function of them.
        """
        if self._when_steered is not None:
            self.folder = self._when_steered(decisions)

    def start_over(self) -> None:
        """Empty the folder of what a killed attempt left."""
        remove_folder(self.folder)
        self.folder.mkdir(parents=True)

    def request(self) -> str | None:
        """The next request: `stop`, `stop now`, `save`, `pause`, `resume`, `tune KEY=VALUE`; None when nobody asks.

        Cheap: call every step.

        A stop, once asked for, is answered on every call; `stop now` even where a stop was asked for before.
        """
        if self._stopping is None and self._stop_signalled():
            self._stopping = "stop"
        if self._stopping != STOP_NOW:
            for request in self._run.take_requests():
                self._asked[request] = request.name
                self.emit("note", text=f"{one_line(request, 120)} requested", request=request.name)
                self._waiting.append(request)
                if request == STOP_NOW or (request in STOPS and self._stopping is None):
                    self._stopping = str(request)
        if self._stopping is not None:
            return self._stopping
        return self._waiting.popleft() if self._waiting else None

    def check_stop(self) -> None:
        """Raise Stopped if a stop was asked for; wait here while paused. For work that keeps nothing half-done."""
        request = self.request()
        if request == "pause":
            self.wait_while_paused()
            request = self.request()
        if request in STOPS:
            raise Stopped(f"stopped in {self.stage}", fix="`workbench resume` goes on with this stage")
        if request is not None and request.startswith("tune"):
            self.answer(request, f"{request}: {self.stage} has nothing to tune", refused=True)
        elif request == "save":
            self.answer(request, f"{self.stage} keeps what it has made by itself; there is nothing to save")

    def wait_while_paused(self) -> None:
        """Return when `resume` or a stop is asked for; the run shows as paused meanwhile."""
        self._status.update(state="paused")
        self.answer("pause", "paused")
        others = []
        while (request := self.request()) not in ("resume", *STOPS):
            if request is not None and request != "pause":
                others.append(request)
            time.sleep(PAUSE_POLL_SECONDS)
        self._waiting.extend(others)
        self._status.update(state="running")
        self.answer("resume", "going on")
