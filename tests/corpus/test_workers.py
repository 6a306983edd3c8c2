from __future__ import annotations

import itertools
import operator
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from workbench.corpus.workers import WorkerPool
from workbench.errors import BadInput, Stopped, WorkbenchError

FUNCTIONS = """
import os, sys, pathlib
from workbench.errors import BadInput

def pid(item): return os.getpid()
def torch_loaded(item):
    import workbench.corpus.preparing, workbench.corpus.writing
    return "torch" in sys.modules
def die(item):
    if item == 5: os._exit(7)
    return item
def be_killed(item):
    if item == 5: os.kill(os.getpid(), 9)
    return item
def refuse(item):
    if item == 5: raise BadInput("is bad", file="some.txt", line=3, fix="mend it")
    return item
def trip(item): return 1 // (item - 5)
class Odd(Exception):
    def __init__(self, one, two): super().__init__("odd")
def trip_oddly(item):
    if item == 5: raise Odd(1, 2)
"""


@pytest.fixture
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Functions that the other processes can import too."""
    (tmp_path / "pool_functions.py").write_text(FUNCTIONS)
    monkeypatch.syspath_prepend(tmp_path)
    import pool_functions  # type: ignore[import-not-found]

    yield pool_functions
    del sys.modules["pool_functions"]


def pool(workers: int = 2, look: Callable[[], None] = lambda: None) -> WorkerPool:
    return WorkerPool(workers, inline_size=2, look=look)


def mapped(workers: WorkerPool, function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    return list(workers.map(function, items, size=lambda _: 1, name=lambda item: f"file-{item}"))


def test_results_come_in_order_from_processes_of_their_own(functions: Any) -> None:
    with pool() as workers:
        assert mapped(workers, operator.neg, range(50)) == [-n for n in range(50)]
        pids = mapped(workers, functions.pid, range(20))
        assert len(set(pids)) == 2 and os.getpid() not in pids
        assert mapped(workers, operator.neg, []) == []
        assert not any(mapped(workers, functions.torch_loaded, range(4)))
    for pid in set(pids):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_little_work_and_one_worker_start_no_process(functions: Any) -> None:
    with pool() as workers:
        assert set(mapped(workers, functions.pid, range(1))) == {os.getpid()}
    with pool(1) as workers:
        assert set(mapped(workers, functions.pid, range(9))) == {os.getpid()}


def test_no_more_items_are_taken_than_are_worked_on() -> None:
    taken = itertools.count()
    with pool() as workers:
        results = workers.map(
            operator.neg, (next(taken) for _ in range(1000)), size=lambda _: 1, name=lambda _: ""
        )
        for number, _ in enumerate(results):
            assert next(taken) - 1 - 2 * number <= 20
            if number == 30:
                break
        # What was under way when nobody wanted it any more is no answer to the next question.
        results.close()  # type: ignore[attr-defined]
        assert mapped(workers, operator.not_, [0, 0, 0, 1, 1, 1]) == [True] * 3 + [False] * 3


@pytest.mark.parametrize(("function", "says"), [("die", "exit code 7"), ("be_killed", "killed by SIGKILL")])
def test_a_process_that_dies_is_told_with_its_file(functions: Any, function: str, says: str) -> None:
    with pool() as workers:
        with pytest.raises(WorkbenchError, match=rf"file-5: .*{says}.*workbench resume") as caught:
            mapped(workers, getattr(functions, function), range(20))
        assert "\n" not in str(caught.value)
        assert mapped(workers, operator.neg, range(10)) == [-n for n in range(10)]


def test_errors_come_through_as_they_are(functions: Any) -> None:
    with pool() as workers:
        with pytest.raises(BadInput, match=r"some\.txt:3: is bad; mend it") as caught:
            mapped(workers, functions.refuse, range(20))
        assert caught.value.line == 3
        with pytest.raises(ZeroDivisionError) as tripped:
            mapped(workers, functions.trip, range(20))
        assert "in trip" in "".join(tripped.value.__notes__)
        with pytest.raises(RuntimeError, match="Odd"):
            mapped(workers, functions.trip_oddly, range(20))


def test_who_is_done_has_the_next_item_before_the_result_is_looked_at() -> None:
    with pool(1) as workers:  # of several, one may wait for another's result
        under_way = [
            (result, workers._workers[0].number)
            for result in workers._spread(operator.neg, enumerate(range(4)), str)
        ]
    assert under_way == [(0, 1), (-1, 2), (-2, 3), (-3, None)]


def test_a_stop_ends_the_map_while_it_waits() -> None:
    looks = itertools.count()

    def look() -> None:
        if next(looks) > 5:
            raise Stopped("stopped")

    with pool(look=look) as workers, pytest.raises(Stopped):
        mapped(workers, operator.neg, itertools.count())


def test_processes_end_with_the_one_that_started_them(functions: Any, tmp_path: Path) -> None:
    script = f"""
import os, signal, sys
sys.path.insert(0, {str(tmp_path)!r})
import pool_functions
from workbench.corpus.workers import WorkerPool
with WorkerPool(2, inline_size=1, look=lambda: None) as pool:
    print(*set(pool.map(pool_functions.pid, range(9), size=lambda _: 1, name=str)), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    # Output is inherited by all of them: that `run` came back says that the last one has closed it.
    assert len(done.stdout.split()) == 2
    for pid in map(int, done.stdout.split()):
        assert not Path(f"/proc/{pid}/fd").exists() or not os.listdir(f"/proc/{pid}/fd")
