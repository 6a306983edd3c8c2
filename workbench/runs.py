"""The run folder: the only interface between the process that works and the views that look.

    runs/NAME/  recipe.toml  as written          plan.json   value and origin of every setting
                status.json  pid, state, heartbeat, replaced atomically
                events.jsonl append-only facts   log.txt     the worker's stdout and stderr
                events.columns  the same facts in columns, for those who read a million of them
                control/     requests in, one small file each, removed when taken
                .lock        held by the living worker

Facts flow out, requests flow in. Readers never block and never see a torn state. Whether a run lives is told
by the lock, never by a pid alone; *crashed* is inferred and never recorded.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import secrets
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from workbench.errors import BadInput, Busy, NoSpace, NotFound
from workbench.events import Event, EventReader, read_events
from workbench.files import (
    TEMPORARY_PREFIX,
    disk_errors_named,
    free_bytes,
    fsync_folder,
    is_locked,
    lock_file,
    make_folders,
    sweep,
    write_atomic,
)
from workbench.metric_history import MetricHistory

if TYPE_CHECKING:
    import subprocess

STATES = ("pending", "running", "paused", "finished", "failed", "stopped", "crashed")
LIVE = ("pending", "running", "paused")
REQUESTS = ("stop", "save", "pause", "resume", "tune")
"""What can be asked for; `tune` with what it changes behind it: `tune decay=now`."""
STOP_NOW = "stop now"
"""The stop that saves nothing first: the steps since the last checkpoint are taken again."""
STOPS = ("stop", STOP_NOW)
# A worker that has not taken its lock this long after launch never will.
START_SECONDS = 60.0
# A full disk must still take the news that it is full: this file is given back first.
RESERVE_BYTES = 262_144
# What a killed creator of a run left behind is nobody's after an hour.
ABANDONED_SECONDS = 3600.0


def find_home(option: Path | None = None) -> Path:
    """Where runs/ and store/ live: the option, else $WORKBENCH_HOME, else the XDG data directory."""
    if option is not None:
        return option.absolute()
    if given := os.environ.get("WORKBENCH_HOME"):
        return Path(given).absolute()
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data).absolute() / "workbench"


class Request(str):
    """What was asked for, with the `name` that the answer is to bear."""

    name: str

    def __new__(cls, asked: str, name: str) -> Request:
        """Behaves as the text that was asked."""
        request = super().__new__(cls, asked)
        request.name = name
        return request


@dataclasses.dataclass(frozen=True)
class Run:
    """One run folder, seen from outside. Holds no truth: every answer is read from disk.

    worker: the process that works on it, where this one has started it.
    """

    path: Path
    worker: subprocess.Popen[bytes] | None = dataclasses.field(default=None, compare=False, repr=False)

    @property
    def name(self) -> str:
        """The run's name, which is its folder's."""
        return self.path.name

    @property
    def home(self) -> Path:
        """The home this run belongs to."""
        return self.path.parent.parent

    @property
    def events_path(self) -> Path:
        """The append-only facts."""
        return self.path / "events.jsonl"

    @property
    def log_path(self) -> Path:
        """The worker's stdout and stderr."""
        return self.path / "log.txt"

    @property
    def lock_path(self) -> Path:
        """The lock that the living worker holds."""
        return self.path / ".lock"

    def status(self) -> dict[str, Any]:
        """The last status the worker wrote; `state` as recorded (see `state()` for what is true now)."""
        return _read_json(self.path / "status.json") or {"state": "pending"}

    def plan(self) -> dict[str, Any]:
        """The frozen plan. Raises NotFound when the folder holds none."""
        plan = _read_json(self.path / "plan.json")
        if plan is None:
            raise NotFound(
                "has no readable plan.json",
                file=self.path,
                fix="it is not a run folder; see `workbench runs`",
            )
        return plan

    def replace_plan(self, plan: Mapping[str, Any]) -> None:
        """Freeze another plan: a person steered the run, and what it makes has other names. For the worker only."""
        write_atomic(self.path / "plan.json", json.dumps(plan, indent=1, ensure_ascii=True) + "\n")

    def is_alive(self) -> bool:
        """Whether a process holds the run's lock."""
        return is_locked(self.lock_path)

    def state(self) -> str:
        """One of STATES, true now: a recorded `running` without a living worker is `crashed`."""
        status = self.status()
        recorded = str(status.get("state", "pending"))
        if recorded not in LIVE:
            return recorded if recorded in STATES else "crashed"
        if self.is_alive():
            return "running" if recorded == "pending" else recorded
        # The worker may have finished between the two looks: look again before calling it dead.
        recorded = str(self.status().get("state", "pending"))
        if recorded not in LIVE:
            return recorded
        if recorded == "pending":
            with contextlib.suppress(OSError):  # the folder was taken away
                age = time.time() - float(status.get("started_at") or self.path.stat().st_mtime)
                return "pending" if age < START_SECONDS else "crashed"
        return "crashed"

    def events(self) -> Iterator[Event]:
        """All events so far, oldest first."""
        return read_events(self.events_path)

    def follow(self, *, poll_seconds: float = 0.2, from_start: bool = True) -> Iterator[Event]:
        """Events as they come, until the run is over; stop consuming to stop following."""
        reader = EventReader(self.events_path)
        if not from_start:
            while reader.read_new():
                pass
        while True:
            over = self.state() not in LIVE and not self.is_alive()
            events = reader.read_new()
            yield from events
            if over and not events:
                return
            if not events:
                time.sleep(poll_seconds)

    def metrics(self, stage: str | None = None) -> list[Event]:
        """Metric events, one per (stage, step, what it measures): a step repeated after a resume counts once."""
        return list(MetricHistory(self.events_path, stage).events())

    def request(self, request: str) -> str:
        """Ask the worker for something: written whole, taken at the next step. Raises BadInput when it is over.

        Gives the name of the request: the worker's notes that it took it (`request`) and what came of it (`answers`)
        bear it.
        """
        assert request.split(maxsplit=1)[0] in REQUESTS, request
        state = self.state()
        if state not in LIVE:
            raise BadInput(
                f"run {self.name} is {state}; only a live run takes requests",
                fix=None if state == "finished" else f"`workbench resume {self.name}` starts it again",
            )
        folder = self.path / "control"
        with disk_errors_named(folder):
            folder.mkdir(exist_ok=True)
        name = f"{time.time_ns()}-{secrets.token_hex(2)}"
        write_atomic(folder / f"{name}.json", json.dumps({"request": request}))
        return name

    def take_requests(self) -> list[Request]:
        """The requests that wait, oldest first; taking removes them. For the worker only."""
        folder = self.path / "control"
        try:
            names = sorted(name for name in os.listdir(folder) if not name.startswith(TEMPORARY_PREFIX))
        except FileNotFoundError:
            return []
        taken = []
        for name in names:
            request = _read_json(folder / name)
            (folder / name).unlink(missing_ok=True)
            asked = str((request or {}).get("request"))
            if asked.partition(" ")[0] in REQUESTS:
                taken.append(Request(asked, name.removesuffix(".json")))
        return taken

    def take_lock(self) -> IO[str]:
        """The run's lock, held while the returned file is open. Raises Busy, naming the holder."""
        lock = lock_file(self.lock_path)
        if lock is None:
            raise Busy(
                f"run {self.name} is being worked on by {self.holder()}",
                fix=f"`workbench follow {self.name}` shows it",
            )
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": round(time.time(), 3)}
        with contextlib.suppress(OSError):  # a full disk: the lock holds, only its holder has no name
            os.ftruncate(lock.fileno(), 0)
            os.write(lock.fileno(), json.dumps(holder).encode())
        return lock

    def keep_reserve(self) -> bool:
        """Keep a little room for the news of a full disk; False when there is none. For the worker only."""
        path = self.path / ".reserve"
        with contextlib.suppress(NoSpace, OSError):
            if not path.exists() and free_bytes(self.path) > 4 * RESERVE_BYTES:
                write_atomic(path, b"\0" * RESERVE_BYTES, durable=False)
        return path.exists()

    def give_reserve_back(self) -> None:
        """Make that little room. For the worker only."""
        with contextlib.suppress(OSError):
            (self.path / ".reserve").unlink(missing_ok=True)

    def holder(self) -> str:
        """Who holds the lock, in words."""
        facts = _read_json(self.lock_path) or {}
        since = facts.get("since")
        when = (
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(since))
            if isinstance(since, int | float)
            else "?"
        )
        return f"pid {facts.get('pid', '?')} on {facts.get('host', '?')} since {when}"


def list_runs(home: Path) -> list[Run]:
    """All runs of a home, the newest first."""
    folder = home / "runs"
    if not folder.is_dir():
        return []
    dated = []
    for entry in folder.iterdir():
        with contextlib.suppress(OSError):  # not a run, or deleted this instant
            if not entry.name.startswith("."):
                dated.append(((entry / "plan.json").stat().st_mtime, entry.name, entry))
    return [Run(entry) for _, _, entry in sorted(dated, reverse=True)]


def open_run(home: Path, name: str) -> Run:
    """The run of that name or unique prefix. Raises NotFound, or BadInput when the prefix fits several."""
    names = sorted(run.name for run in list_runs(home))
    if name in names:
        return Run(home / "runs" / name)
    fitting = [known for known in names if known.startswith(name)] if name else []
    if len(fitting) == 1:
        return Run(home / "runs" / fitting[0])
    if fitting:
        raise BadInput(f"{name!r} fits several runs: {', '.join(fitting[:5])}", fix="write more of the name")
    raise NotFound(f"no run is called {name!r} in {home}", fix="`workbench runs` lists them")


def create_run(home: Path, name: str, *, recipe_text: str, plan: Mapping[str, Any]) -> Run:
    """Make the run folder, whole or not at all. An existing run of that name is returned as it is."""
    run = Run(home / "runs" / name)
    folder = home / "runs"
    with disk_errors_named(folder):
        try:
            make_folders(folder)
        except PermissionError:
            raise BadInput(
                "the home is not writable", file=home, fix="choose another with --home DIR"
            ) from None
        except (NotADirectoryError, FileExistsError):
            raise BadInput(
                "is in the way: a home is a folder", file=home, fix="choose another with --home DIR"
            ) from None
        if not os.access(folder, os.W_OK):
            raise BadInput("the home is not writable", file=home, fix="choose another with --home DIR")
        if run.path.exists():
            return run
        sweep(folder, spare_seconds=ABANDONED_SECONDS)
        aside = folder / f"{TEMPORARY_PREFIX}{name}-{secrets.token_hex(4)}"
        try:
            aside.mkdir()
            (aside / "control").mkdir()
            write_atomic(aside / "recipe.toml", recipe_text)
            write_atomic(aside / "plan.json", json.dumps(plan, indent=1, ensure_ascii=True) + "\n")
            status = {"state": "pending", "started_at": round(time.time(), 3)}
            write_atomic(aside / "status.json", json.dumps(status))
            os.rename(aside, run.path)
        except BaseException as error:
            shutil.rmtree(aside, ignore_errors=True)
            # Somebody else made the same run at the same time: theirs is as good.
            if not (isinstance(error, OSError) and error.errno in (errno.ENOTEMPTY, errno.EEXIST)):
                raise
        fsync_folder(folder)
    return run


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
