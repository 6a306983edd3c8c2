"""Text of data with what is invisible in it shown: control and bidi characters, tabs, odd spaces, ends of lines.

Nothing here is obeyed by a terminal: the pictures are letters of their own, in another colour.
"""

from __future__ import annotations

import re

from textual.content import Content

from workbench.safe_text import HARMFUL, safe_text

# Harmful ones, joiners, soft hyphens, spaces that are not the space, tabs, and spaces at the end of a line.
_INVISIBLE = re.compile(
    f"[{HARMFUL}\u200c\u200d\u00ad\u00a0\u2000-\u200a\u202f\u205f\u3000\t]|[ ]+(?=\n|\\Z)|\n"
)
_SPACES = {"\t": "→   ", "\u00a0": "⍽", "\n": "¶\n"}


def visible(text: str, *, ends: bool = True) -> Content:
    """`text` with pictures for what cannot be seen; `ends`: also for the ends of lines."""
    parts: list[tuple[str, str] | str] = []
    at = 0
    for found in _INVISIBLE.finditer(text):
        if found.start() > at:
            parts.append(safe_text(text[at : found.start()]))
        piece = found[0]
        if piece == "\n" and not ends:
            parts.append("\n")
        else:
            parts.append((_picture(piece), "$warning" if piece not in ("\n", "\t") else "$faint"))
        at = found.end()
    parts.append(safe_text(text[at:]))
    return Content.assemble(*parts)


def _picture(piece: str) -> str:
    if piece in _SPACES:
        return _SPACES[piece]
    if piece.startswith(" "):
        return "·" * len(piece)
    shown = safe_text(piece, visible=True)
    return shown if shown != piece else f"<U+{ord(piece):04X}>"
