"""The process at the other end of a pipe: takes a function, then items one by one, answers each, ends with the pipe.

python -m workbench.corpus.worker_process FILE_DESCRIPTOR
"""

from __future__ import annotations

import pickle
import signal
import sys
import traceback
from multiprocessing.connection import Connection
from typing import Any


def serve(pipe: Connection) -> None:
    """Answer every item with (True, result) or (False, the error), until the other side is gone."""
    function: Any = None
    while True:
        try:
            what, value = pipe.recv()
        except (EOFError, OSError):
            return
        if what == "function":
            function = value
            continue
        try:
            answer = (True, function(value))
        except Exception as error:
            answer = (False, _sendable(error))
        try:
            pipe.send(answer)
        except OSError:
            return


def _sendable(error: Exception) -> Exception:
    """`error` with where it happened, as something that survives the pipe."""
    error.add_note(f"in a worker process:\n{traceback.format_exc()}")
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes of this instant
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}\n{traceback.format_exc()}")
    return error


if __name__ == "__main__":
    # Ctrl-C in a terminal reaches the whole group: how the work ends is the first process's to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(Connection(int(sys.argv[1])))
