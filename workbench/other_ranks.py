"""The other processes of a training, as its worker sees them: started, told what to do, watched, dismissed.

    worker = rank 0 ──┬─ follower, rank 1      children of the worker on this machine; or all of them were
                      └─ follower, rank 2      started by torchrun, on any number of machines

A follower that dies takes the training with it: its share of the weights is gone. The run then ends within
seconds in one line that names the rank, and goes on from its last checkpoint when it is started again. Knows no
tensors: how ranks talk is `train/parallel.py`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.layout import Seat, check_devices

LAST_WORDS = "WORKBENCH_LAST_WORDS"
"""Names the file in which a follower says why it ends."""
RENDEZVOUS = "WORKBENCH_RENDEZVOUS"
"""Names the file in which the ranks of one machine meet, as `train/parallel.py` has it."""
POLL_SECONDS = 0.1
NOTICE_SECONDS = 20.0
"""How long the worker may take to notice by itself that a follower died. On a GPU it may wait for it for ever.

Before they have met it would wait for half an hour: then it is not asked.
"""


class OtherRanks:
    """The followers of a worker that is rank 0 of `count` processes; none when it works alone."""

    def __init__(self, count: int, *, give_up: Callable[[str], None]) -> None:
        """give_up: ends this process, for a reason, when it hangs in waiting for a rank that is no more."""
        self._under_torchrun = Seat.here().ranks > 1
        self.count = Seat.here().ranks if self._under_torchrun else count
        self._give_up = give_up
        self._followers: dict[int, subprocess.Popen[bytes]] = {}
        self._folder: Path | None = None
        self._over = threading.Event()  # of those started last
        self._met = threading.Event()  # these

    def do(self, run_folder: Path, stage: str) -> None:
        """Let the followers do `stage` of the run in step with this process, which is to start with it now."""
        if self.count == 1:
            return
        check_devices(Seat.here().local_ranks if self._under_torchrun else self.count)
        from workbench.train import parallel

        if self._folder is None and not self._under_torchrun:
            self._start()
        parallel.join()
        self._met.set()
        parallel.hear_first([str(run_folder), stage])

    def finish(self) -> None:
        """Let the followers go, after the last stage was done in step."""
        if self.count > 1 and (self._folder is not None or self._under_torchrun):
            from workbench.train import parallel

            parallel.join()
            parallel.hear_first(None)
            self._over.set()
            parallel.leave()
            for follower in self._followers.values():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    follower.wait(timeout=NOTICE_SECONDS)
        self.dismiss()

    def dismiss(self) -> None:
        """End the followers wherever they are; they hold nothing that is not also saved or lost with this process."""
        self._over.set()
        for follower in self._followers.values():
            follower.kill()
            follower.wait()
            if follower.stdin is not None:
                follower.stdin.close()
        self._followers.clear()
        if self._folder is not None:
            from workbench.train import parallel

            with contextlib.suppress(RuntimeError):  # of a group whose members are gone
                parallel.leave()
            for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", RENDEZVOUS):
                os.environ.pop(name, None)
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def lost(self, *, wait_seconds: float = 5.0) -> WorkbenchError | None:
        """Why the work in common failed, when a follower that died is the reason; it may have died this instant.

        On a crowded machine an interpreter takes its time to end; what it has to say is there before.
        """
        deadline = time.monotonic() + wait_seconds * bool(self._followers)
        while True:
            for rank, follower in self._followers.items():
                if follower.poll() is not None or self._has_spoken(rank):
                    return self._epitaph(rank, follower.returncode or 0)
            if time.monotonic() >= deadline:
                return None
            time.sleep(POLL_SECONDS)

    def _start(self) -> None:
        self._over, self._met = threading.Event(), threading.Event()
        self._folder = Path(tempfile.mkdtemp(prefix="workbench-ranks-"))
        # On one machine ranks meet in a file and talk over the loopback: nothing listens to the network.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo" if sys.platform == "linux" else "lo0")
        os.environ |= {
            "RANK": "0",
            "LOCAL_RANK": "0",
            "WORLD_SIZE": str(self.count),
            "LOCAL_WORLD_SIZE": str(self.count),
            RENDEZVOUS: str(self._folder / "meeting"),
        }
        for rank in range(1, self.count):
            self._followers[rank] = subprocess.Popen(
                [sys.executable, "-m", "workbench.follower"],
                stdin=subprocess.PIPE,  # its end is ours, however we end
                env={
                    **os.environ,
                    "RANK": str(rank),
                    "LOCAL_RANK": str(rank),
                    LAST_WORDS: str(self._last_words_of(rank)),
                },
            )
        threading.Thread(
            target=self._watch, args=[self._over, self._met], name="other ranks", daemon=True
        ).start()

    def _last_words_of(self, rank: int) -> Path:
        assert self._folder is not None
        return self._folder / f"rank-{rank}.txt"

    def _has_spoken(self, rank: int) -> bool:
        with contextlib.suppress(OSError, AssertionError):
            return self._last_words_of(rank).stat().st_size > 0
        return False

    def _watch(self, over: threading.Event, met: threading.Event) -> None:
        """Give up when a follower has died and the main thread, deep in a kernel, does not come back to hear of it."""
        followers = dict(self._followers)
        while not over.wait(POLL_SECONDS):
            for rank, follower in followers.items():
                if follower.poll() is not None:
                    epitaph = self._epitaph(rank, follower.returncode)
                    if not over.wait(NOTICE_SECONDS if met.is_set() else 0.0):
                        self._give_up(str(epitaph))
                    return

    def _epitaph(self, rank: int, code: int) -> WorkbenchError:
        fix = "run the same command again: it goes on from the last checkpoint"
        if code < 0:
            with contextlib.suppress(ValueError):
                return WorkbenchError(f"rank {rank} was killed by {signal.Signals(-code).name}", fix=fix)
        try:
            said = self._last_words_of(rank).read_text(encoding="utf-8")
        except (OSError, AssertionError):
            said = ""
        why = f": {said}" if said else f" with exit code {code}"
        return WorkbenchError(f"rank {rank} ended{why}", fix=fix)
