"""How often words of a list stand in texts: C4's list filter (Raffel et al. 2020). No list comes with Workbench.

An entry is found in any case, where no letter, mark or digit touches it; in a script without spaces, anywhere. Words
of the text are looked up by hash; only where the first word of an entry stands are characters compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workbench.corpus.figures.characters import WORD
from workbench.corpus.figures.equality import span_hashes, text_hash
from workbench.corpus.figures.layout import lay_out, runs_of_words, together
from workbench.data.byte_stream import shown_path, text_blocks
from workbench.data.lines import split_lines
from workbench.errors import BadInput

MOST_ENTRIES = 1_000_000


class BadWords:
    """Words and phrases to look for."""

    def __init__(self, entries: Iterable[str]) -> None:
        self._by_first_word: dict[
            int, list[tuple[str, int]]
        ] = {}  # (entry, where its first word begins in it)
        self._without_words: list[str] = []  # emoji and the like: found anywhere
        for entry in sorted({folded for entry in entries if (folded := entry.strip().lower())}):
            layout = lay_out([entry])
            starts, ends = runs_of_words(layout.flags_C)
            if len(starts):
                first = int(starts[0])
                hashed = text_hash(entry[first - 1 : int(ends[0]) - 1])  # a newline stands before the entry
                self._by_first_word.setdefault(hashed, []).append((entry, first - 1))
            else:
                self._without_words.append(entry)
        self._first_words = np.array(sorted(self._by_first_word), np.uint64)

    def __len__(self) -> int:
        return sum(map(len, self._by_first_word.values())) + len(self._without_words)

    def count(self, texts: Sequence[str]) -> NDArray[np.uint32]:
        """How often entries stand in each text; two that begin at the same word count once."""
        parts = [self._counted([text.lower() for text in group]) for group in together(texts)]
        return np.concatenate([*parts, np.zeros(0, np.uint32)])

    def _counted(self, texts: list[str]) -> NDArray[np.uint32]:
        layout = lay_out(texts)
        starts, ends = runs_of_words(layout.flags_C)
        hashes = span_hashes(layout.letters_C, [(starts, ends)])[0]
        candidates = np.flatnonzero(np.isin(hashes, self._first_words))
        is_word = (layout.flags_C & WORD) != 0
        inside = is_word.copy()  # where an entry may not end: before the rest of a word
        inside[starts] = False
        joined = "\n" + "\n".join(texts) + "\n"
        found = [
            start
            for start, hashed in zip(starts[candidates].tolist(), hashes[candidates].tolist(), strict=True)
            if any(
                joined.startswith(entry, start - before)
                and not inside[start - before + len(entry)]
                and not (before and is_word[start - before - 1])
                for entry, before in self._by_first_word[hashed]
            )
        ]
        counts = np.bincount(layout.document_of(np.array(found, np.int64)), minlength=len(texts))
        for entry in self._without_words:
            counts += np.fromiter((text.count(entry) for text in texts), np.int64, len(texts))
        return counts.astype(np.uint32)


def read_bad_words(paths: Iterable[Path]) -> BadWords:
    """The words and phrases in `paths`, one on each line; blank lines are none.

    Raises BadInput naming file and line: not to be opened, not UTF-8, far too many.
    """
    entries: list[str] = []
    for path in paths:
        for line in split_lines(text_blocks(path)):
            if line.content is None:
                raise BadInput("is no word: too long", file=shown_path(path), line=line.number)
            try:
                entries.append(line.content.decode())
            except UnicodeDecodeError:
                raise BadInput(
                    "is not UTF-8", file=shown_path(path), line=line.number, fix="save the list as UTF-8"
                ) from None
            if len(entries) > MOST_ENTRIES:
                raise BadInput(f"more than {MOST_ENTRIES:,} words", file=shown_path(path), line=line.number)
    return BadWords(entries)
