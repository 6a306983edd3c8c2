"""Markdown as rows of plain cells: structure becomes indents and styles, and nothing in it can be clicked or obeyed.

A link shows its words and where it leads, an image its description: neither opens anything. HTML stays the text it is.
What the parser makes of entities (`&#27;` is an escape character) is cleaned as the text was before it.
Knows no widget; the parser is loaded when it is first needed.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len

from tui.wrapping import TAB, Piece, Pieces, wrapped
from workbench.safe_text import safe_text

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

LONGEST = 10_000
"""Characters that are worth parsing: of so many, text that was made to be slow takes a fifth of a second."""
_NARROWEST = 8
"""Cells that are left for text, however deep it is nested."""
_HEADING, _CODE, _AIM, _FAINT = "bold $primary", "$secondary", "$dim", "$faint"
_STYLES = {"em": "italic", "strong": "bold", "s": "strike"}


def markdown_rows(text: str, width: int) -> list[Pieces]:
    """The rows of `text`, each at most `width` cells. `text` has been cleaned (workbench.safe_text)."""
    page = _Page(width)
    tokens = _parser().parse(text)
    index = 0
    while index < len(tokens):
        index = _block(tokens, index, page)
    return page.rows


@functools.cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


class _Page:
    """Rows as they are written, below one another, behind the indents of the lists and quotes they stand in."""

    def __init__(self, width: int) -> None:
        self.rows: list[Pieces] = []
        self._width = width
        self._indents: list[tuple[Piece, Piece]] = []  # of the next row, and of all after it

    def enter(self, first: str, rest: str, style: str) -> None:
        """What follows stands in a list item or a quote."""
        self._indents.append(((first, style), (rest, style)))

    def leave(self) -> None:
        """No longer. An item without text is its mark alone."""
        if self._indents[-1][0] != self._indents[-1][1]:
            self.write([("", "")])
        self._indents.pop()

    def gap(self) -> None:
        """An empty row, where one is due."""
        if self.rows and any(text.strip() for text, _ in self.rows[-1]):
            indent = tuple(rest for _, rest in self._indents)
            self.rows.append(indent if any(text.strip() for text, _ in indent) else ())

    def write(self, pieces: Iterable[Piece]) -> None:
        """Some text, broken into as many rows as it takes."""
        for line in _lines(pieces):
            for row in wrapped(line, self.room):
                self.rows.append((*(first for first, _ in self._indents), *row))
                self._indents = [(rest, rest) for _, rest in self._indents]

    @property
    def room(self) -> int:
        """Cells that a row of text has."""
        return max(_NARROWEST, self._width - sum(cell_len(rest) for _, (rest, _) in self._indents))


def _lines(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    line: list[Piece] = []
    for text, style in pieces:
        first, *others = safe_text(text).replace("\t", TAB).split("\n")
        line.append((first, style))
        for other in others:
            yield line
            line = [(other, style)]
    yield line


def _block(tokens: Sequence[Token], index: int, page: _Page) -> int:
    """Write the block that begins at `index`, or a part of it; gives where the next one does."""
    token = tokens[index]
    match token.type:
        case "heading_open":
            page.gap()
            marks = (f"{token.markup if token.markup.startswith('#') else '#'} ", _FAINT)
            page.write([marks, *_inline(tokens[index + 1], _HEADING)])
            return index + 3
        case "paragraph_open":
            if not token.hidden:
                page.gap()
            page.write(_inline(tokens[index + 1]))
            return index + 3
        case "bullet_list_open" | "ordered_list_open":
            if token.level == 0:
                page.gap()
        case "list_item_open":
            mark = f"{token.info}{token.markup} " if token.info else "• "
            page.enter(mark, " " * len(mark), _FAINT)
        case "blockquote_open":
            page.gap()
            page.enter("▎ ", "▎ ", _FAINT)
        case "list_item_close" | "blockquote_close":
            page.leave()
        case "fence" | "code_block":
            page.gap()
            page.enter("  ", "  ", "")
            page.write([(token.content.rstrip("\n"), _CODE)])
            page.leave()
        case "hr":
            page.gap()
            page.write([("─" * 20, _FAINT)])
        case "table_open":
            page.gap()
            return _table(tokens, index, page)
    return index + 1


def _table(tokens: Sequence[Token], index: int, page: _Page) -> int:
    """In columns where they fit, else with strokes between."""
    rows: list[list[list[Piece]]] = []
    while tokens[index].type != "table_close":
        if tokens[index].type == "tr_open":
            rows.append([])
        elif tokens[index].type == "inline":
            style = "bold" if tokens[index - 1].type == "th_open" else ""
            rows[-1].append(next(_lines(_inline(tokens[index], style))))
        index += 1
    wide = [max(_cells(row[at]) for row in rows if at < len(row)) for at in range(max(map(len, rows)))]
    fits = sum(wide) + 2 * len(wide) <= page.room
    for row in rows:
        told: list[Piece] = []
        for at, cell in enumerate(row):
            told += cell
            if at + 1 < len(row):
                told.append((" " * (wide[at] - _cells(cell) + 2), "") if fits else (" │ ", _FAINT))
        page.write(told)
    return index + 1


def _cells(pieces: Iterable[Piece]) -> int:
    return sum(cell_len(text) for text, _ in pieces)


def _inline(token: Token, style: str = "") -> list[Piece]:
    """The pieces of a run of text."""
    worn = [style]
    told: list[Piece] = []
    links: list[tuple[str, int]] = []  # where they lead, and where their words begin
    for child in token.children or ():
        kind, _, end = child.type.rpartition("_")
        now = " ".join(filter(None, worn))
        match child.type:
            case "softbreak" | "hardbreak":
                told.append(("\n", ""))
            case "code_inline":
                told.append((child.content, f"{style} {_CODE}".strip()))
            case "link_open":
                links.append((str(child.attrs.get("href", "")), len(told)))
            case "link_close":
                aim, begun = links.pop()
                if "".join(text for text, _ in told[begun:]) != aim:
                    told.append((f" ({aim})", _AIM))
            case "image":
                told.append((f"[image: {child.content}] ({child.attrs.get('src', '')})", _AIM))
            case _ if kind in _STYLES and end == "open":
                worn.append(_STYLES[kind])
            case _ if kind in _STYLES:
                worn.pop()
            case _:
                told.append((child.content, now))
    return told
