"""The chapters of the language reference that ship with Python (what `help("assert")` shows), by parsing."""

from __future__ import annotations

import ast
import functools
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from workbench.data.python_docs.summary import folded

MIN_SECTION_CHARACTERS = 200

_HEADING = re.compile(r"^(?=\S[^\n]*\n(?:\*{3,}|={3,}|-{3,})$)", re.MULTILINE)


@functools.cache
def read_topics() -> dict[str, str]:
    """Section id ("compound/3") -> text; empty where this Python came without `pydoc_data`.

    Chapters quote each other's sections whole; each section is given once.
    """
    sections: dict[str, str] = {}
    seen: set[str] = set()
    for name, chapter in sorted(_chapters()):
        for number, text in enumerate(_sections(chapter)):
            # Folded, because a quoted section has its heading underlined differently.
            if (key := folded(text)) not in seen:
                seen.add(key)
                sections[f"{name}/{number}"] = text
    return sections


def _chapters() -> Iterator[tuple[str, str]]:
    try:
        source = (Path(sysconfig.get_path("stdlib")) / "pydoc_data" / "topics.py").read_bytes()
    except OSError:
        return
    for node in ast.parse(source).body:
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        if isinstance(value, ast.Dict):
            for key, text in ast.literal_eval(value).items():
                yield str(key), str(text)


def _sections(chapter: str) -> Iterator[str]:
    """The chapter cut before its underlined headings; short pieces stay with the one before."""
    section = ""
    for piece in _HEADING.split(chapter):
        if len(section) >= MIN_SECTION_CHARACTERS:
            yield section.strip()
            section = ""
        section += piece
    if section.strip():
        yield section.strip()
