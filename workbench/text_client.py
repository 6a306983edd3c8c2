"""Questions about a text that take tokenizers or figures, answered by a child process: the view stays light and quick.

The child (`python -m workbench.cli.text_server --home HOME`) speaks JSON lines over stdin and stdout, one answer a
request, in order. A request that fails is answered by {"error": LINE}.

    {"ask": "cut", "references": [REF…], "text": T}
        {"cuts": [{"reference", "vocab_size", "ids": [N…], "pieces": [HEX…], "special": N} | {"reference", "error"} …]}
    {"ask": "why", "folder": CORPUS, "text": T}
        {"checks": [{"step", "key", "figure", "value", "limit", "wants", "passes"} …]}

Knows no tensors, no tokenizer and no terminal; standard library only.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from workbench.errors import WorkbenchError

LONGEST_TEXT = 100_000
"""Characters of one text that is asked about."""


class TextClient:
    """One child, which the first question starts. A context manager: leaving it ends the child.

    Questions may come from any thread, one at a time. After the end there is no child, whoever still asks.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._asking, self._starting = threading.Lock(), threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._is_closed = False

    @classmethod
    def over(cls, home: Path) -> TextClient:
        """For the runs of `home`."""
        return cls([sys.executable, "-m", "workbench.cli.text_server", "--home", str(home)])

    def __enter__(self) -> TextClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ask(self, question: str, **fields: Any) -> dict[str, Any]:
        """The answer; waits for it. Raises WorkbenchError with the child's reason, or when it is gone."""
        line = json.dumps({"ask": question, **fields}) + "\n"
        with self._asking:
            try:
                child = self._started()
                assert child.stdin is not None and child.stdout is not None
                child.stdin.write(line.encode())
                child.stdin.flush()
                answer = json.loads(child.stdout.readline() or b"null")
            except (OSError, ValueError):
                answer = None
        if not isinstance(answer, dict):
            raise WorkbenchError(
                "the process that reads texts has ended", fix="leave this screen and come back"
            )
        if "error" in answer:
            raise WorkbenchError(str(answer["error"]))
        return answer

    def _started(self) -> subprocess.Popen[bytes]:
        with self._starting:
            if self._is_closed:
                raise OSError("closed")
            if self._child is None:
                self._child = subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            return self._child

    def close(self) -> None:
        """End the child at once: it holds nothing that could be lost. Safe to call twice."""
        with self._starting:
            self._is_closed = True
        if self._child is None:
            return
        self._child.terminate()
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            with contextlib.suppress(OSError):
                assert pipe is not None
                pipe.close()
