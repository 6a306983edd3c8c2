"""Where the words, lines and paragraphs of some texts lie, found in one sweep over all of them together.

**A word** is what stands between white space, as `str.split()` has it, so "end." is a word of four characters. This
is what C4 counts and what Dolma and RedPajama made of Gopher's "words"; datatrove asks spaCy, which sets punctuation
apart. Where a script is written without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese, Tibetan and a few more)
every letter with its marks is a word of its own; otherwise a page of Chinese would be ten words of 80 characters.

**A line** ends at a newline and holds something that is not white space; blank lines are none. **A paragraph** is a
run of lines without a blank line between.

Shapes: C characters, W words, L lines, P paragraphs, D documents.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from workbench.corpus.figures.characters import LETTER, MARK, UNSPACED, WHITE, WORD, flags_of
from workbench.corpus.figures.equality import Letters, Places

MOST_CHARACTERS = 1 << 21
"""Of a text beyond 2 million characters its first 2 million are looked at, so that memory is bounded whatever comes: a
novel is not longer, and what is has shown by then what it is."""
_TOGETHER = 1 << 18  # characters whose arrays lie in a core's cache together
_NEWLINE = 10


class Layout(NamedTuple):
    """Some documents as one row of characters, each after a newline and before one, and the places in it."""

    letters_C: Letters
    flags_C: NDArray[np.uint8]
    document_starts_D: Places
    document_ends_D: Places
    word_starts_W: Places
    word_ends_W: Places
    word_documents_W: Places
    line_starts_L: Places
    line_ends_L: Places
    """Where the newline stands that ends it."""
    line_documents_L: Places
    line_words_L: Places
    """The first word of each line."""
    paragraph_starts_P: Places
    """The first line of each paragraph."""

    @property
    def documents(self) -> int:
        """D."""
        return len(self.document_starts_D)

    @property
    def line_word_counts(self) -> Places:
        """How many words each line has, [L]: one at least."""
        return np.diff(self.line_words_L, append=len(self.word_starts_W))

    @property
    def line_first_solids(self) -> Places:
        """The first character of each line that is not white space, [L]."""
        return self.word_starts_W[self.line_words_L]

    @property
    def line_last_solids(self) -> Places:
        """The last one, [L]."""
        return self.word_ends_W[_before_next(self.line_words_L, len(self.word_starts_W))] - 1

    @property
    def paragraph_ends(self) -> Places:
        """The last line of each paragraph, [P]."""
        return _before_next(self.paragraph_starts_P, len(self.line_starts_L))

    def document_of(self, places: Places) -> Places:
        """The document that each place is in."""
        return np.searchsorted(self.document_starts_D, places, side="right") - 1


def together(texts: Sequence[str]) -> Iterator[list[str]]:
    """`texts` in order, as many at a time as are laid out together, and of each no more than MOST_CHARACTERS."""
    group: list[str] = []
    size = 0
    for text in texts:
        if group and size + len(text) > _TOGETHER:
            yield group
            group, size = [], 0
        group.append(text[:MOST_CHARACTERS])
        size += len(text)
    if group:
        yield group


def lay_out(texts: Sequence[str]) -> Layout:
    """The layout of `texts`."""
    letters, flags = flags_of("\n" + "\n".join(texts) + "\n")
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    document_ends = np.cumsum(lengths + 1)
    document_starts = document_ends - lengths
    word_starts, word_ends = _runs(flags, (flags & WHITE) == 0)
    words_before = np.searchsorted(word_starts, np.append(document_starts, len(letters)))
    word_documents = np.repeat(np.arange(len(texts)), np.diff(words_before))

    newlines = np.flatnonzero(letters == _NEWLINE)
    first_words = np.searchsorted(word_starts, newlines)
    solid = np.flatnonzero(first_words[1:] > first_words[:-1])
    line_starts, line_ends = newlines[solid] + 1, newlines[solid + 1]
    line_documents = np.searchsorted(document_starts, line_starts, side="right") - 1
    follows = (line_starts[1:] == line_ends[:-1] + 1) & (line_documents[1:] == line_documents[:-1])
    paragraph_starts = np.flatnonzero(np.concatenate(([True], ~follows))) if len(solid) else solid
    return Layout(
        letters,
        flags,
        document_starts,
        document_ends,
        word_starts,
        word_ends,
        word_documents,
        line_starts,
        line_ends,
        line_documents,
        first_words[solid],
        paragraph_starts,
    )


def _before_next(starts: Places, count: int) -> Places:
    """Of parts that begin at `starts` and of which the last ends before `count`, the last place of each."""
    return np.append(starts[1:], count)[: len(starts)] - 1


def runs_of_words(flags_C: NDArray[np.uint8]) -> tuple[Places, Places]:
    """Where runs of letters, marks and numbers start and end: words without their punctuation."""
    return _runs(flags_C, (flags_C & WORD) != 0)


def _runs(flags_C: NDArray[np.uint8], solid_C: NDArray[np.bool_]) -> tuple[Places, Places]:
    """Where runs of what is solid start and end (the place after), cut between letters of unspaced scripts.

    What stands first and last is not solid.
    """
    edges = np.flatnonzero(solid_C[1:] != solid_C[:-1]) + 1
    starts, ends = edges[0::2], edges[1::2]
    unspaced = (flags_C & UNSPACED) != 0
    if not unspaced.any():
        return starts, ends
    # A letter of an unspaced script begins a word, and so does what is no mark, but more than punctuation, after one.
    begins = unspaced & ((flags_C & LETTER) != 0)
    begins[1:] |= unspaced[:-1] & ((flags_C[1:] & (WORD | MARK)) == WORD)
    begins[1:] &= solid_C[:-1]  # others are words' starts already
    inner = np.flatnonzero(begins)
    return np.sort(np.concatenate((starts, inner))), np.sort(np.concatenate((ends, inner)))
