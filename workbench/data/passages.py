"""Documents cut into passages, and some of the passages held out: for a corpus of too few documents to split.

A folder with three novels has no document to spare; it has hundreds of passages. Whether a passage is held
out depends on its text and its number within the document, never on the other documents.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from workbench.data.documents import Document
from workbench.data.split import POSITIONS, position

_ENDS = ("\n\n", "\n", ". ", " ")
_SHORTEST, _LONGEST = 1_000, 16_000
_WANTED = 4  # passages held out: enough that one odd page does not decide the measure


def passage_characters(total: int, fraction: float) -> int:
    """The length of passages that gives about four of them in `fraction` of `total` characters.

    Between a thousand and 16 thousand characters (half a page, and what a reader calls a scene), but never
    more than half of the corpus.
    """
    wanted = round(total * fraction / _WANTED)
    return max(1, min(total // 2, max(_SHORTEST, min(wanted, _LONGEST))))


def passages(text: str, *, characters: int) -> Iterator[str]:
    """`text` in consecutive passages of at most `characters`, which joined give `text` again.

    Each ends, in its second half, at the last end of a paragraph, else of a line, a sentence or a word.
    """
    assert characters >= 1
    start = 0
    while len(text) - start > characters:
        end = _end_of_passage(text, start, start + characters)
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]


def heldout_below(documents: Iterable[Document], *, characters: int, fraction: float) -> int:
    """The position below which a passage is held out: `fraction` of all, but at least four or one in ten.

    It always leaves something on both sides; 0 when there are not two passages in all.
    """
    below, count, picked = round(fraction * POSITIONS), 0, 0
    lowest: list[int] = []
    for document in documents:
        for number, passage in enumerate(passages(document.text, characters=characters)):
            at = _position(number, passage)
            count += at < POSITIONS
            picked += at < below
            lowest = sorted([*lowest, at])[:_WANTED]
    if count < 2:
        return 0
    wanted = max(1, min(_WANTED, count // 10))
    return below if wanted <= picked < count else lowest[wanted - 1] + 1


def hold_out_passages(document: Document, *, characters: int, below: int) -> Iterator[Document]:
    """`document` in parts: its passages at positions under `below` held out, the text between them not.

    Parts are named ID#NUMBER by the first passage in them; a document without held-out passages stays whole.
    """
    run: list[str] = []
    first = 0
    for number, passage in enumerate(passages(document.text, characters=characters)):
        if _position(number, passage) < below:
            yield from _part(document, first, run, heldout=False)
            yield from _part(document, number, [passage], heldout=True)
            run, first = [], number + 1
        else:
            run.append(passage)
    if first == 0:
        yield replace(document, heldout=False)
    else:
        yield from _part(document, first, run, heldout=False)


def _part(document: Document, number: int, run: list[str], *, heldout: bool) -> Iterator[Document]:
    if text := "".join(run).strip("\n").rstrip():
        yield replace(document, id=f"{document.id}#{number}", text=text, heldout=heldout)


def _position(number: int, passage: str) -> int:
    """Where a passage falls; a blank one falls nowhere. The number keeps equal passages of one text apart."""
    return POSITIONS if passage.isspace() else position(f"{number}\n{passage}")


def _end_of_passage(text: str, start: int, limit: int) -> int:
    for mark in _ENDS:
        place = text.rfind(mark, (start + limit) // 2, limit)
        if place >= 0:
            return place + len(mark)
    return limit
