"""Signs of life of a worker: its status file every second, and a look whether it still owns what it works on.

The status tells what the GPUs do as well, where there are any.

Runs in a thread, so that a long step does not look dead. Knows nothing of stages.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO

from workbench.errors import NoSpace
from workbench.files import write_atomic
from workbench.gpu_reading import GpuReader
from workbench.hardware import resident_bytes
from workbench.runs import Run
from workbench.stage_run import RunStatus

HEARTBEAT_SECONDS = 1.0


class Heartbeat:
    """Writes `status` into the run folder now and every second, for as long as the block lasts.

    Calls `when_lost(path)`, from its thread, when a watched lock is no longer the file it was: somebody took the
    folder away, so nobody can see or stop this work, and the next worker would not see it either.
    """

    def __init__(self, run: Run, status: RunStatus, *, when_lost: Callable[[Path], None]) -> None:
        self._run = run
        self._status = status
        self._when_lost = when_lost
        self._locks: list[IO[str]] = []
        # While a lock is looked at nobody may close it: its number would soon be another file's.
        self._looking = threading.Lock()
        self._over = threading.Event()
        self._gpus = GpuReader()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    @contextlib.contextmanager
    def watching(self, lock: IO[str] | None) -> Iterator[None]:
        """Watch an open lock file for as long as the block lasts; None is nothing to watch."""
        if lock is None:
            yield
            return
        with self._looking:
            self._locks.append(lock)
        try:
            yield
        finally:
            with self._looking:
                self._locks.remove(lock)

    def _beat(self) -> None:
        while True:
            if gpus := self._gpus.read():
                self._status.update(gpus=gpus)
            with contextlib.suppress(OSError, NoSpace):
                write_status(self._run, self._status, durable=False)
            with self._looking:
                lost = [lock for lock in self._locks if _is_lost(lock)]
            for lock in lost:
                self._when_lost(Path(lock.name))
            if self._over.wait(HEARTBEAT_SECONDS):
                return


def write_status(run: Run, status: RunStatus, *, durable: bool) -> None:
    """Put the status into the run folder, whole. Raises NoSpace or OSError when the disk refuses."""
    facts = {**status.snapshot(), "heartbeat": round(time.time(), 3), "resident_bytes": resident_bytes()}
    write_atomic(run.path / "status.json", json.dumps(facts), durable=durable)


def _is_lost(lock: IO[str]) -> bool:
    try:
        mine, there = os.fstat(lock.fileno()), os.stat(lock.name)
    except FileNotFoundError:
        return True
    except (OSError, ValueError):  # the disk will not say, or the lock was just given back
        return False
    return (mine.st_dev, mine.st_ino) != (there.st_dev, there.st_ino)
