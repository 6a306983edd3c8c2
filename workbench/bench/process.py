"""One measurement in a process of its own: `python -m workbench.bench.process`, a job on stdin, JSON lines out.

    {"point": …}     as often as there is something to tell
    {"result": …}    at the end, or {"error": ONE LINE}

What libraries print goes to stderr, so that stdout stays ours.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError

Tell = Callable[[Mapping[str, Any]], None]
_LAST_WORDS = 4000


def measure_apart(
    job: Mapping[str, Any], *, python: str = sys.executable, tell: Tell | None = None
) -> dict[str, Any]:
    """The result of `job` (see `_jobs`), measured in a new process; `tell` hears its points.

    Raises WorkbenchError with the last thing it said when it fails.
    """
    workload = job["workload"]
    environment = os.environ | {
        "OMP_NUM_THREADS": str(workload["threads"]),
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "HF_HUB_OFFLINE": "1",
        # Other people's optimizers compile themselves when they are imported.
        "TORCHDYNAMO_DISABLE": "0" if workload["compiled"] else "1",
    }
    command = [python, "-B", "-m", "workbench.bench.process"]
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, env=environment, text=True
        ) as child,
    ):
        assert child.stdin is not None and child.stdout is not None
        try:
            child.stdin.write(json.dumps(job) + "\n")
            child.stdin.flush()  # and stays open: its end tells the child that nobody waits any more
            for line in child.stdout:
                message = json.loads(line)
                if "point" in message and tell is not None:
                    tell(message["point"])
                if "error" in message:
                    raise WorkbenchError(f"{job['name']}: {message['error']}")
                if "result" in message:
                    return dict(message["result"])
            child.wait()
            raise WorkbenchError(f"{job['name']} failed: {_last_line(said)}")
        finally:
            child.kill()


def _last_line(said: Any) -> str:
    said.seek(0, os.SEEK_END)
    said.seek(max(0, said.tell() - _LAST_WORDS))
    lines = [line.strip() for line in said.read().splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def _end_with_parent(stdin: int) -> None:
    """Leave at once when the measuring was killed from outside: nobody would read the figures."""
    while os.read(stdin, 1):
        pass
    os._exit(1)


def _main() -> None:
    ours = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def tell(kind: str, value: Any) -> None:
        ours.write(json.dumps({kind: value}) + "\n")
        ours.flush()

    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, args=(sys.stdin.fileno(),), daemon=True).start()
    try:
        if job["kind"] == "corpus":  # in a Python that may have no torch
            from workbench.bench import corpus_jobs

            tell("result", corpus_jobs.run_job(job))
        else:
            from workbench.bench import jobs

            tell("result", jobs.run_job(job, lambda point: tell("point", point)))
    except WorkbenchError as error:
        tell("error", str(error))
    except ImportError as error:
        tell("error", f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    _main()
