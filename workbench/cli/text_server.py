"""What a text is to a tokenizer and to the filters, for a view that loads neither.

The protocol is told in `workbench.text_client`.

python -m workbench.cli.text_server --home HOME
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import BadInput, ExitCode, WorkbenchError
from workbench.runs import find_home
from workbench.text_client import LONGEST_TEXT

if TYPE_CHECKING:
    from workbench.tokenizer import Tokenizer

MOST_REFERENCES = 4


class TextServer:
    """Answers one request after the other; tokenizers that were asked for stay loaded."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._tokenizer = functools.lru_cache(maxsize=8)(self._load)

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to one request; a bad one is answered by `error`."""
        try:
            text = request.get("text")
            if not isinstance(text, str) or len(text) > LONGEST_TEXT:
                raise BadInput(
                    f"the text is longer than {LONGEST_TEXT:,} characters", fix="take a part of it"
                )
            text = text.encode(errors="replace").decode()
            if request.get("ask") == "cut":
                references = [str(each) for each in request.get("references") or ()]
                return {"cuts": [self._cut(each, text) for each in references[:MOST_REFERENCES]]}
            if request.get("ask") == "why":
                return {"checks": list(_checks(Path(str(request.get("folder"))), text))}
            raise BadInput("that is no question", fix="ask for cut or why")
        except (WorkbenchError, OSError) as error:
            return {"error": str(error)}

    def _cut(self, reference: str, text: str) -> dict[str, Any]:
        try:
            tokenizer = self._tokenizer(reference)
        except (WorkbenchError, OSError) as error:
            return {"reference": reference, "error": str(error)}
        ids = tokenizer.encode(text)
        return {
            "reference": reference,
            "vocab_size": tokenizer.vocab_size,
            "special": len(tokenizer.special_tokens),
            "ids": ids,
            "pieces": [tokenizer.token_bytes(each).hex() for each in ids],
        }

    def _load(self, reference: str) -> Tokenizer:
        from workbench.cli.tokenizers import find_tokenizer

        return find_tokenizer(reference, home=self._home)


def _checks(folder: Path, text: str) -> Iterator[dict[str, Any]]:
    """What each filter of the corpus in `folder` asks, and what is found of `text`; what takes a model is left out."""
    from workbench.artifacts import read_manifest
    from workbench.corpus.figures.measure import FigureSettings, measure
    from workbench.filter_rules import FILTERS

    settings = read_manifest(folder).get("settings", {})
    fineweb = settings.get("fineweb") or {}
    measured = measure([text], FigureSettings(short_line_characters=fineweb.get("short_line_characters", 30)))
    for name, checks in FILTERS.items():
        table = settings if name == "length" else settings.get(name)
        if not isinstance(table, dict) or (name != "length" and name not in settings.get("filters", ())):
            continue
        for check in checks:
            limit = table.get(check.key)
            if check.figure not in measured or not isinstance(limit, int | float):
                continue
            value = float(measured[check.figure][0])
            # Shares are float32 there, and the threshold is rounded as they are (corpus/filters.py).
            passes = value >= limit - 1e-7 if check.wants == "at least" else value <= limit + 1e-7
            yield {
                "step": name,
                "key": check.key,
                "figure": check.figure,
                "value": value,
                "limit": limit,
                "wants": check.wants,
                "passes": passes,
            }


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of the child process."""
    parser = argparse.ArgumentParser(prog="python -m workbench.cli.text_server")
    parser.add_argument("--home", type=Path)
    server = TextServer(find_home(parser.parse_args(arguments).home))
    try:
        for line in iter(sys.stdin.buffer.readline, b""):
            try:
                request = json.loads(line)
            except (ValueError, RecursionError):
                request = None
            answer = server.answer(request if isinstance(request, dict) else {})
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
    except BrokenPipeError:
        pass
    return ExitCode.FINE


if __name__ == "__main__":
    sys.exit(main())
