"""Text from data, models, recipes and file names, made harmless for a terminal: the one guard of CLI and TUI.

A terminal obeys what it is shown: ESC sequences write the clipboard, move the cursor, change the title;
bidi controls reorder what a person reads; tag characters hide text. Here every such *character* goes, so no
sequence is left, however it was split over pieces. Markup is not looked at: a view shows data as plain text
(`markup=False`, `rich.text.Text`), never as markup. Newline and tab are layout and stay.
Knows no terminal, no colour and no widget.
"""

from __future__ import annotations

import re

MOST_MARKS = 8
"""Combining marks kept on one letter: Vietnamese and pointed Hebrew need up to 4, zalgo has 200."""
MOST_NEWLINES = 8
"""Newlines kept in a row in a stream: a model that says 100,000 of them must not scroll the answer away."""

# C0 (without \t \n), DEL, C1 | bidi | zero width, invisible operators, deprecated format, BOM | line and
# paragraph separators | interlinear annotation | lone surrogates | tags and the other plane-14 invisibles.
# U+200C/U+200D (zero-width non-joiner/joiner) stay: Persian, Hindi and emoji are spelled with them.
HARMFUL = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f"
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
    "\u180e\u200b\u2060-\u2065\u206a-\u206f\ufeff"
    "\u2028\u2029"
    "\ufff9-\ufffb"
    "\ud800-\udfff"
    "\U000e0000-\U000e0fff"
)
"""The body of a regular-expression class: every character that must never reach a terminal."""

_HARMFUL = re.compile(f"[{HARMFUL}]")
_MARK = "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
_MARKS = re.compile(f"({_MARK}{{{MOST_MARKS}}}){_MARK}+")
_NEWLINES = re.compile(f"(\n{{{MOST_NEWLINES}}})\n+")
_RUN_AT_END = re.compile(rf"(?:\n+|{_MARK}+)\Z")
_NEW_LINE_FORMS = re.compile("\r\n|[\r\u2028\u2029]")


def safe_text(text: str, *, visible: bool = False) -> str:
    """`text` without any character a terminal would obey; what is printable stays as it is.

    Carriage returns and Unicode line separators become newlines (nothing is ever overprinted), lone
    surrogates become U+FFFD, other harmful characters vanish. `visible=True` shows each instead: ESC as ␛, a bidi
    override as <U+202E>.
    """
    if visible:
        text = _HARMFUL.sub(_picture, text)
    else:
        text = _NEW_LINE_FORMS.sub("\n", text) if _NEW_LINE_FORMS.search(text) else text
        text = _HARMFUL.sub(_replacement, text)
    return _MARKS.sub(r"\1", text)


def one_line(text: str, limit: int = 80) -> str:
    """The start of `text` on one line: safe, white space folded, `…` where cut to `limit` characters."""
    assert limit > 0
    piece = text[: limit * 8]  # a 10 MB line costs no more than a short one
    line = " ".join(safe_text(piece).split())
    if len(line) <= limit and len(piece) == len(text):
        return line
    return line[: limit - 1].rstrip() + "…"


class SafeStream:
    """`safe_text` for text that comes in pieces, as a model writes it; the state lives between the pieces.

    An ESC in one piece and its `]52;…` in the next are harmless because the ESC is gone. What needs state:
    CR LF split over two pieces, and runs (newlines, combining marks) that are cut to a length.
    After `limit` characters the stream says so once and is silent.
    """

    def __init__(self, *, limit: int = 1_000_000) -> None:
        self._left = limit
        self._held = ""  # a CR that may be half of a CR LF
        self._run = ""  # the run of newlines or marks the text so far ends with

    def feed(self, piece: str) -> str:
        """What of `piece` may be shown now."""
        if self._left <= 0:
            return ""
        text, self._held = self._held + piece, ""
        if text.endswith("\r"):
            text, self._held = text[:-1], "\r"
        clean = _NEWLINES.sub(r"\1", _MARKS.sub(r"\1", self._run + safe_text(text)))
        if run := _RUN_AT_END.search(clean):
            shown, self._run = clean[len(self._run) :], run[0]
        else:
            shown, self._run = clean[len(self._run) :], ""
        self._left -= len(shown)
        return shown if self._left > 0 else f"{shown[: len(shown) + self._left]}\n[cut: too much text]\n"

    def close(self) -> str:
        """What was held back waiting for the next piece."""
        held, self._held = self._held, ""
        return "\n" if held else ""


def _replacement(match: re.Match[str]) -> str:
    return "\ufffd" if "\ud800" <= match[0] <= "\udfff" else ""


def _picture(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else f"<U+{code:04X}>"
