"""Unicode repair of text that needs none, which is most of it: mojibake looked for, line ends, normal form, controls.

ftfy does the same with what Workbench leaves alone on purpose switched off: quotes, ligatures, widths, entities.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

_FILE = "texts.json"


def prepare(folder: Path, texts: Sequence[str]) -> int:
    """Writes `texts`, clean."""
    from workbench.data.clean import clean

    cleaned = [clean(text).text for text in texts]
    (folder / _FILE).write_text(json.dumps(cleaned))
    return sum(len(text.encode()) for text in cleaned)


def load(folder: Path) -> list[str]:
    """The texts."""
    texts: list[str] = json.loads((folder / _FILE).read_bytes())
    return texts


def little(texts: list[str]) -> list[str]:
    """A few texts, and what is not ASCII."""
    return [*texts[:20], "é 中 “x”"]


def judge(folder: Path, results: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """The share of texts that are left as they are."""
    count = len(load(folder))
    return {name: {"left alone": 1 - len(changed) / count} for name, changed in results.items()}


def workbench(texts: Sequence[str]) -> list[int]:
    """Which texts change."""
    from workbench.data.clean import clean

    return [place for place, text in enumerate(texts) if clean(text).text != text]


def ftfy(texts: Sequence[str]) -> list[int]:
    """Which texts change but for white space at their ends."""
    from ftfy import TextFixerConfig, fix_text

    config = TextFixerConfig(
        unescape_html=False,
        uncurl_quotes=False,
        fix_latin_ligatures=False,
        fix_character_width=False,
        explain=False,
    )
    return [place for place, text in enumerate(texts) if fix_text(text, config).strip() != text.strip()]


CONTENDERS: Mapping[str, Callable[[Sequence[str]], list[int]]] = {"workbench": workbench, "ftfy": ftfy}
PACKAGES: Mapping[str, str] = {"ftfy": "ftfy"}
