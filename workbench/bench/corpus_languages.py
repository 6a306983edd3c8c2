"""Language identification: py3langid's model, a batch in step, beside py3langid itself, a text at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

_FILE = "texts.json"


def prepare(folder: Path, texts: Sequence[str]) -> int:
    """Writes `texts` as they are."""
    (folder / _FILE).write_text(json.dumps(list(texts)))
    return sum(len(text.encode()) for text in texts)


def load(folder: Path) -> list[str]:
    """The texts."""
    texts: list[str] = json.loads((folder / _FILE).read_bytes())
    return texts


def little(texts: list[str]) -> list[str]:
    """A few texts: the model is read with them."""
    return texts[:20]


def judge(folder: Path, results: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """On how many texts the contender and Workbench agree."""
    ours = results.get("workbench", [])
    return {
        name: {"as workbench": sum(map(str.__eq__, codes, ours)) / max(1, len(codes))}
        for name, codes in results.items()
    }


def workbench(texts: Sequence[str]) -> list[str]:
    """By three pieces of each text."""
    from workbench.corpus.language import bundled_model

    return bundled_model().languages(texts)[0]


def py3langid(texts: Sequence[str]) -> list[str]:
    """By the whole text."""
    from py3langid.langid import classify

    return [str(classify(text)[0]) for text in texts]


CONTENDERS: Mapping[str, Callable[[Sequence[str]], list[str]]] = {
    "workbench": workbench,
    "py3langid": py3langid,
}
PACKAGES: Mapping[str, str] = {"py3langid": "py3langid"}
