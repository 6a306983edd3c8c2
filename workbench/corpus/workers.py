"""A map over worker processes: results in the order of the items, a bounded number of items under way.

    with WorkerPool(workers=8) as pool:
        for result in pool.map(do_one, blocks, size=lambda block: block.num_bytes, name=lambda block: block.file): ...

    this process ──┬─ pipe ─ python -m workbench.corpus.worker_process     one item at a time each
                   └─ pipe ─ …                                             gone when this process is

Little work is done right here: a process takes half a second to start. The processes are fresh interpreters and
no forks, so no thread, lock or tensor of this process is in them. Items, results and the function travel by pickle,
between processes of ours alone. Knows nothing of what the work is.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from workbench.errors import WorkbenchError

INLINE_SIZE = 10_000_000
"""Items of less than this together are worked on in this process: another one takes half a second to start."""
LOOK_SECONDS = 0.2
"""Time between two looks at requests to stop, however long an item takes."""
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TOKENIZERS_PARALLELISM")

Item = TypeVar("Item")
Result = TypeVar("Result")


def available_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(eq=False)
class _Worker:
    """A process and our end of its pipe; what it works on, when it does."""

    process: subprocess.Popen[bytes]
    pipe: Connection
    function: object = None
    number: int | None = None
    name: str = ""


class WorkerPool:
    """Up to `workers` processes, started when there is enough to do. A context manager; none is left when it ends."""

    def __init__(self, workers: int, *, inline_size: int = INLINE_SIZE, look: Callable[[], None]) -> None:
        """look: called every LOOK_SECONDS while waiting; what it raises ends the map."""
        assert workers >= 1
        self._workers: list[_Worker] = []
        self._most = workers
        self._inline_size = inline_size
        self._look = look

    def map(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        size: Callable[[Item], int],
        name: Callable[[Item], str],
    ) -> Iterator[Result]:
        """Yields `function` of every item, in order. `function` must be importable by name, or an instance of a class
        that is.

        size: of an item, to tell little work from much. name: of an item, for the error when its process dies.
        Raises what `function` raises, at the item's place; WorkbenchError naming the item whose process died.
        """
        rest = iter(items)
        head: list[Item] = []
        if self._most > 1:
            seen = 0
            for item in rest:
                head.append(item)
                seen += size(item)
                if seen >= self._inline_size and len(head) > 1:
                    break
            else:
                rest = iter(())
            if seen >= self._inline_size and len(head) > 1:
                yield from self._spread(function, enumerate(itertools.chain(head, rest)), name)
                return
        for item in itertools.chain(head, rest):
            self._look()
            yield function(item)

    def _spread(
        self,
        function: Callable[[Item], Result],
        items: Iterator[tuple[int, Item]],
        name: Callable[[Item], str],
    ) -> Iterator[Result]:
        """The same over the processes. One item lies ready while they work, so that none waits for its cutting."""
        results: dict[int, tuple[bool, Any]] = {}
        ready = next(items, None)
        if ready is None:
            return
        next_number = ready[0]
        most_under_way = 2 * self._most + 2  # results that wait for an earlier one are held too
        under_way = 0
        try:
            while ready is not None or under_way:
                while ready is not None and under_way < most_under_way and (idle := self._idle()) is not None:
                    self._send(idle, function, *ready, name(ready[1]))
                    under_way += 1
                    ready = next(items, None)
                self._look()
                if next_number not in results:
                    self._receive(results)
                    continue  # who is done gets the next item before anybody looks at the result
                while next_number in results:
                    is_good, value = results.pop(next_number)
                    if not is_good:
                        raise value
                    yield value
                    next_number += 1
                    under_way -= 1
        finally:
            if under_way:  # nobody wants the answers any more
                self._end()

    def _idle(self) -> _Worker | None:
        for worker in self._workers:
            if worker.number is None:
                return worker
        if len(self._workers) < self._most:
            self._workers.append(_start())
            return self._workers[-1]
        return None

    def _send(self, worker: _Worker, function: object, number: int, item: object, name: str) -> None:
        worker.number, worker.name = number, name
        try:
            if worker.function is not function:
                worker.pipe.send(("function", function))
                worker.function = function
            worker.pipe.send(("item", item))
        except OSError:
            raise self._epitaph(worker) from None

    def _receive(self, results: dict[int, tuple[bool, Any]]) -> None:
        """Take in what is done; waits LOOK_SECONDS at most."""
        busy = {worker.pipe: worker for worker in self._workers if worker.number is not None}
        for pipe in wait(list(busy), timeout=LOOK_SECONDS):
            worker = busy[pipe]  # type: ignore[index]
            try:
                answer = worker.pipe.recv()
            except (EOFError, OSError):
                raise self._epitaph(worker) from None
            assert worker.number is not None
            results[worker.number] = answer
            worker.number = None

    def _epitaph(self, worker: _Worker) -> WorkbenchError:
        code = worker.process.wait()
        if code < 0:
            with contextlib.suppress(ValueError):
                name = signal.Signals(-code).name
                why = f"was killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
                return _died(worker.name, why)
        return _died(worker.name, f"ended with exit code {code}")

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        for worker in self._workers:
            worker.pipe.close()
            worker.process.kill()  # what it had not handed over is not missed: every layer is written whole
        for worker in self._workers:
            worker.process.wait()
        self._workers.clear()


def _died(name: str, why: str) -> WorkbenchError:
    return WorkbenchError(
        f"the process that worked on it {why}",
        file=name,
        fix="`workbench resume` goes on behind what is done; fewer [corpus] workers need less memory",
    )


def _start() -> _Worker:
    ours, theirs = Pipe()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "workbench.corpus.worker_process", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            env={**os.environ, **dict.fromkeys(ONE_THREAD, "1"), "PYTHONPATH": _python_path()},
        )
    return _Worker(process, ours)


def _python_path() -> str:
    """Where the new interpreter finds what this one does."""
    ours = str(Path(__file__).parents[2])
    return os.pathsep.join(dict.fromkeys([ours, *filter(None, sys.path)]))
