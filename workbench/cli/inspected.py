"""What a look inside gives: facts for programs, lines for people. And how text of data is written there."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from workbench.safe_text import safe_text


@dataclasses.dataclass(frozen=True)
class Inspected:
    """The answer of a look: `facts` is plain data, `lines` say the same to a person."""

    facts: Mapping[str, Any]
    lines: Sequence[str]


def joined(kind: str, parts: Sequence[Inspected], **facts: Any) -> Inspected:
    """Several looks as one: the facts under their kinds, the lines one below the other."""
    lines = [line for part in parts for line in (*part.lines, "")]
    return Inspected(
        {"kind": kind, **facts, **{str(part.facts["kind"]): part.facts for part in parts}}, lines[:-1]
    )


def shown(text: str, limit: int) -> str:
    """Text of data on one line, every control character visible, cut to `limit` characters."""
    piece = text[: limit * 4]
    line = " ".join(safe_text(piece, visible=True).split())
    return line if len(line) <= limit and piece == text else line[: limit - 1].rstrip() + "…"


def fact_lines(facts: Mapping[str, str]) -> list[str]:
    """`name    value`, aligned."""
    width = max(map(len, facts), default=0)
    return [f"  {name:<{width}}  {value}" for name, value in facts.items()]
