"""Threads that sleep where others use the cores: when, and that no bit depends on it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from workbench.train import crowding
from workbench.train.crowding import FREE_LOOKS, Crowding, CrowdWatch, SpareTeam, waited_seconds


@pytest.fixture
def tasks(tmp_path: Path) -> Callable[..., Path]:
    """A folder as the kernel shows threads: each with its seconds on a core, in wait of one, and its turns."""

    def write(*waited: float) -> Path:
        for number, seconds in enumerate(waited):
            (tmp_path / str(number)).mkdir(exist_ok=True)
            (tmp_path / str(number) / "schedstat").write_text(f"{int(7e9)} {int(seconds * 1e9)} 12\n")
        return tmp_path

    return write


def test_the_seconds_of_all_threads_are_added_up(tasks: Callable[..., Path], tmp_path: Path) -> None:
    assert waited_seconds(tasks(1.5, 0.25)) == pytest.approx(1.75)
    (tmp_path / "9").mkdir()  # a thread that ended since the folder was listed
    assert waited_seconds(tmp_path) == pytest.approx(1.75)


def test_where_nobody_counts_there_is_nothing_to_look_at(tmp_path: Path) -> None:
    assert waited_seconds(tmp_path / "nowhere") is None
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "schedstat").write_text("\n")
    assert waited_seconds(tmp_path) is None
    watch = CrowdWatch(tasks=tmp_path)
    watch.start()
    watch.join(60)
    assert not watch.is_alive()


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="a kernel that does not count")
def test_this_process_has_waited_less_than_its_threads_lived() -> None:
    waited = waited_seconds()
    assert waited is not None and 0 <= waited < 1e6


def test_crowded_from_one_bad_look_on_and_free_after_many_good_ones() -> None:
    crowd = Crowding()
    assert not crowd.look(0.05), "what another thread of ours takes for a moment"
    assert crowd.look(0.5)
    for _ in range(FREE_LOOKS - 1):
        assert crowd.look(0.0)
    assert crowd.look(0.05), "not quite free: counted anew"
    looks = [crowd.look(0.0) for _ in range(FREE_LOOKS)]
    assert looks == [True] * (FREE_LOOKS - 1) + [False]


def holders() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "spare team"]


def test_a_team_is_held_once_and_dismissed() -> None:
    team = SpareTeam()
    team.hold(False)
    assert not holders()
    for _ in range(2):
        team.hold(True)
        assert len(holders()) == 1
    for _ in range(2):
        team.hold(False)
        assert not holders()


def test_the_watch_holds_a_team_while_threads_wait(
    tasks: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = iter([0.0, 0.9, 0.0, *[0.0] * FREE_LOOKS])
    seen: list[tuple[bool, int]] = []
    watch: CrowdWatch

    class Clock:
        """A second goes by between two looks, in which a thread waited for as long as the next share says."""

        now = waited = 0.0

        def monotonic(self) -> float:
            return self.now

        def wait(self, seconds: float) -> bool:
            seen.append((watch.crowding.is_crowded, len(holders())))
            share = next(shares, None)
            if share is None:
                return True
            self.now += seconds
            self.waited += share * seconds
            tasks(self.waited)
            return False

    clock = Clock()
    monkeypatch.setattr(crowding, "time", clock)
    watch = CrowdWatch(look_seconds=1.0, tasks=tasks(0.0))
    monkeypatch.setattr(watch, "_over", clock)
    watch.run()
    assert seen == [(False, 0), (False, 0), *[(True, 1)] * FREE_LOOKS, (False, 0), (False, 0)]
    assert not holders()


STEP = """
import hashlib, sys, torch
from workbench.train.crowding import SpareTeam
torch.set_num_threads(2)
SpareTeam().hold(sys.argv[1] == "held")
torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Linear(256, 1024), torch.nn.LayerNorm(1024), torch.nn.Linear(1024, 256))
for _ in range(3):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        net(torch.randn(512, 256)).square().mean().backward()
told = b"".join(p.grad.numpy().tobytes() for p in net.parameters())
print(torch.get_num_threads(), hashlib.sha256(told).hexdigest())
"""


def test_a_held_team_changes_no_bit() -> None:
    """In processes of two threads; the tests' own has one."""

    def digest(how: str) -> str:
        environment = {**os.environ, "OMP_NUM_THREADS": "2"}
        command = [sys.executable, "-c", STEP, how]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    held = digest("held")
    assert held == digest("free") and held.startswith("2 ")


@pytest.fixture
def unwatched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(crowding, "_watch", None)
    yield
    if crowding._watch is not None:
        crowding._watch.end()


def test_one_thread_waits_for_nobody(unwatched: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowding.torch, "get_num_threads", lambda: 1)
    crowding.watch_for_crowds()
    assert crowding.core_wait_share() is None


def test_several_threads_are_watched_once_and_their_share_is_told(
    unwatched: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crowding.torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(crowding, "waited_seconds", lambda tasks=None: 0.0)
    at_exit: list[Callable[[], None]] = []
    monkeypatch.setattr(crowding.atexit, "register", at_exit.append)
    crowding.watch_for_crowds()
    watch = crowding._watch
    assert watch is not None and watch.is_alive() and watch.daemon
    crowding.watch_for_crowds()
    assert crowding._watch is watch
    assert at_exit == [watch.end], "it must be over before Python ends threads where they are"
    watch.end()
    watch.share = 1.0
    assert crowding.core_wait_share() == 0.25
