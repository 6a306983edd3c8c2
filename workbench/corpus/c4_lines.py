"""C4's rules for lines: what is left of a text when lines that are no sentences are cut out (Raffel et al. 2020).

In order, and the first that a line fails is counted: a word too long, no terminal punctuation, too few words, says
"javascript", speaks of policies. A line that says "lorem ipsum" or has a `{` stays where C4 would throw the whole
page away for it, so that the filter `c4` finds it. What is left has no blank lines and no indentation, as in C4.

Two things are judged by meaning where the code of C4 goes by the letter: any closing quotation mark and the full stop
of any script end a line, not only ASCII's; and white space left by a citation mark does not hide the full stop.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.corpus.figures.characters import QUOTES, TERMINAL
from workbench.corpus.figures.layout import Layout, lay_out

MOST_LINE_CHARACTERS = 1 << 22
"""A longer line is dropped unread: no sentence has 4 million characters."""
_TOGETHER = 1 << 18

DROPPED = (
    "long_line",
    "long_word",
    "no_terminal_punctuation",
    "few_words",
    "javascript",
    "policy",
)
"""Why a line was dropped, in the order of the questions."""

_CITATIONS = re.compile(r"\[(?:\d*|edit|citation needed)\]")
_POLICIES = (
    b"terms of use",
    b"privacy policy",
    b"cookie policy",
    b"uses cookies",
    b"use of cookies",
    b"use cookies",
)


@dataclass(frozen=True, slots=True)
class LineRules:
    """Which rules there are; recipe_filters.C4Lines says what each means."""

    terminal_punctuation: bool = True
    min_words: int = 3
    max_word_characters: int = 1000
    javascript: bool = True
    policy: bool = True
    citations: bool = True


@dataclass(frozen=True, slots=True)
class EditedLines:
    """Texts after the rules; one that nothing was cut from is the same string."""

    texts: list[str]
    dropped: dict[str, NDArray[np.uint32]]
    """Lines dropped from each text, by DROPPED."""
    citations: NDArray[np.uint32]
    """Citation marks taken out of each text."""


def edit_lines(texts: Sequence[str], rules: LineRules) -> EditedLines:
    """`texts` without the lines that `rules` drop, and how many of each kind they were."""
    counts = np.zeros((len(texts), len(DROPPED)), np.uint32)
    citations = np.zeros(len(texts), np.uint32)
    parts: list[list[str]] = [[] for _ in texts]
    for group in _groups(texts, rules, counts, citations):
        edited, dropped = _edited([piece for _, piece in group], rules)
        for (document, _), kept, kinds in zip(group, edited, dropped, strict=True):
            counts[document] += kinds.astype(np.uint32)
            if kept:
                parts[document].append(kept)
    joined = ["\n".join(part) for part in parts]
    edited_texts = [text if text == new else new for text, new in zip(texts, joined, strict=True)]
    return EditedLines(edited_texts, dict(zip(DROPPED, counts.T, strict=True)), citations)


def _groups(
    texts: Sequence[str], rules: LineRules, counts: NDArray[np.uint32], citations: NDArray[np.uint32]
) -> Iterator[list[tuple[int, str]]]:
    """Pieces of whole lines with the number of their text, as many at a time as are worked on together."""
    group: list[tuple[int, str]] = []
    size = 0
    for document, text in enumerate(texts):
        if rules.citations and "[" in text:
            text, citations[document] = _CITATIONS.subn("", text)
        for piece in _pieces(text):
            if piece is None:
                counts[document, DROPPED.index("long_line")] += 1
                continue
            if group and size + len(piece) > _TOGETHER:
                yield group
                group, size = [], 0
            group.append((document, piece))
            size += len(piece)
    if group:
        yield group


def _pieces(text: str) -> Iterator[str | None]:
    """`text` cut at newlines where it is long; None for a line that is too long to be looked at."""
    start = 0
    while len(text) - start > MOST_LINE_CHARACTERS:
        cut = text.rfind("\n", start, start + MOST_LINE_CHARACTERS + 1)
        if cut >= 0:
            yield text[start:cut]
        else:
            yield None
            cut = text.find("\n", start)
            if cut < 0:
                return
        start = cut + 1
    yield text[start:] if start else text


def _edited(texts: list[str], rules: LineRules) -> tuple[list[str], NDArray[np.int64]]:
    """Each text with only the lines that stay, and how many were dropped, [texts, kinds]."""
    layout = lay_out(texts)
    reasons_L = _reasons(layout, texts, rules)
    kinds = len(DROPPED)
    dropped = np.bincount(
        layout.line_documents_L * (kinds + 1) + reasons_L, minlength=len(texts) * (kinds + 1)
    )
    stays = reasons_L == 0
    documents = layout.line_documents_L[stays]
    starts = layout.line_first_solids[stays] - layout.document_starts_D[documents]
    ends = layout.line_last_solids[stays] + 1 - layout.document_starts_D[documents]
    bounds = np.searchsorted(documents, np.arange(len(texts) + 1)).tolist()
    spans = list(zip(starts.tolist(), ends.tolist(), strict=True))
    edited = [
        "\n".join([text[a:b] for a, b in spans[bounds[number] : bounds[number + 1]]])
        for number, text in enumerate(texts)
    ]
    return edited, dropped.reshape(len(texts), kinds + 1)[:, 1:]


def _reasons(layout: Layout, texts: list[str], rules: LineRules) -> NDArray[np.int64]:
    """0 for every line that stays, and for the others the place of the reason in DROPPED, from 1."""
    reasons = np.zeros(len(layout.line_starts_L), np.int64)
    numbers = {name: number for number, name in enumerate(DROPPED, 1)}
    lowered = ("\n" + "\n".join(texts) + "\n").encode("ascii", "replace").lower()
    # The last question first: what an earlier one says is written over it.
    page = _lines_with((b"lorem ipsum",), lowered, layout)
    if rules.policy:
        spoken = _lines_with(_POLICIES, lowered, layout) & ~page & ~_lines_with((b"{",), lowered, layout)
        reasons[spoken] = numbers["policy"]
    if rules.javascript:
        reasons[_lines_with((b"javascript",), lowered, layout) & ~page] = numbers["javascript"]
    reasons[layout.line_word_counts < rules.min_words] = numbers["few_words"]
    if rules.terminal_punctuation:
        reasons[~_ends_sentence(layout)] = numbers["no_terminal_punctuation"]
    long_words = np.flatnonzero(layout.word_ends_W - layout.word_starts_W > rules.max_word_characters)
    reasons[np.searchsorted(layout.line_words_L, long_words, side="right") - 1] = numbers["long_word"]
    return reasons


def _ends_sentence(layout: Layout) -> NDArray[np.bool_]:
    last, letters = layout.line_last_solids, layout.letters_C
    ends: NDArray[np.bool_] = (layout.flags_C[last] & TERMINAL) != 0
    ends |= np.isin(letters[last], [ord(quote) for quote in QUOTES])
    dots = (letters[last] == ord(".")) & (letters[last - 1] == ord(".")) & (letters[last - 2] == ord("."))
    ends &= ~dots
    return ends


def _lines_with(phrases: Sequence[bytes], lowered: bytes, layout: Layout) -> NDArray[np.bool_]:
    """For each line, whether one of `phrases` stands in it."""
    places = []
    for phrase in phrases:
        place = lowered.find(phrase)
        while place >= 0:
            places.append(place)
            place = lowered.find(phrase, place + len(phrase))
    found = np.zeros(len(layout.line_starts_L), bool)
    found[np.searchsorted(layout.line_starts_L, np.array(places, np.int64), side="right") - 1] = True
    return found
