"""Every figure that the quality filters ask for, of a batch of texts at once.

Texts are measured together, about 256,000 characters at a time, and a longer one alone. Of a text beyond 2 million
characters its first 2 million are measured; it is `characters` long all the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from workbench.corpus.figures.characters import (
    BULLET,
    CLOSING,
    ELLIPSIS,
    LETTER,
    TERMINAL,
    UNSPACED,
    WHITE,
    WORD,
)
from workbench.corpus.figures.equality import Hashes, Places, repeated, span_hashes, text_hash
from workbench.corpus.figures.layout import Layout, lay_out, together
from workbench.corpus.figures.repetition import duplicates, in_document, ngram_characters
from workbench.filter_rules import STOP_WORD_FIGURE, STOP_WORDS

Columns = dict[str, NDArray[np.float32 | np.uint32]]
"""One number per document, by the name of the figure."""


@dataclass(frozen=True, slots=True)
class FigureSettings:
    """What figures depend on besides the text."""

    stop_words: Mapping[str, Sequence[str]] = field(default_factory=lambda: dict(STOP_WORDS))
    """By language; each gives a figure `stop_words_LANGUAGE`."""
    short_line_characters: int = 30
    """A line of so many characters or fewer is short (FineWeb)."""


def measure(texts: Sequence[str], settings: FigureSettings | None = None) -> Columns:
    """The figures of each text, in order (`figure_names` says which). Any text will do; a share of nothing is 0."""
    settings = settings or FigureSettings()
    parts = [_measured(group, settings) for group in together(texts)] or [_measured([], settings)]
    whole = np.fromiter(map(len, texts), np.uint32, len(texts))
    return {"characters": whole} | {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def figure_names(settings: FigureSettings | None = None) -> tuple[str, ...]:
    """What `measure` gives, in its order."""
    return tuple(measure([], settings))


def _measured(texts: Sequence[str], settings: FigureSettings) -> Columns:
    characters = np.fromiter(map(len, texts), np.int64, len(texts))
    layout = lay_out(texts)
    documents = layout.documents
    first_lines, last_lines = layout.paragraph_starts_P, layout.paragraph_ends
    paragraph_starts, paragraph_ends = layout.line_starts_L[first_lines], layout.line_ends_L[last_lines]
    word_hashes, line_hashes, paragraph_hashes = span_hashes(
        layout.letters_C,
        [
            (layout.word_starts_W, layout.word_ends_W),
            (layout.line_starts_L, layout.line_ends_L),
            (paragraph_starts, paragraph_ends),
        ],
    )
    line_lengths = layout.line_ends_L - layout.line_starts_L
    lines = duplicates(line_hashes, line_lengths, layout.line_documents_L, documents=documents)
    paragraphs = duplicates(
        paragraph_hashes,
        paragraph_ends - paragraph_starts,
        layout.line_documents_L[first_lines],
        documents=documents,
    )
    words = repeated(in_document(word_hashes, layout.word_documents_W), key_bits=64)
    newlines = _counted(texts, "\n")
    columns = _of_words(texts, layout, newlines)
    columns |= _stop_words(word_hashes, layout, settings)
    columns |= _of_lines(layout, lines.parts_D, settings)
    columns |= {
        "lines": lines.parts_D.astype(np.uint32),
        "paragraphs": paragraphs.parts_D.astype(np.uint32),
        "duplicate_line_share": _share(lines.duplicates_D, lines.parts_D),
        "duplicate_line_character_share": _share(lines.duplicate_characters_D, characters),
        "duplicate_line_text_share": _share(lines.duplicate_characters_D, characters - newlines),
        "duplicate_paragraph_share": _share(paragraphs.duplicates_D, paragraphs.parts_D),
        "duplicate_paragraph_character_share": _share(paragraphs.duplicate_characters_D, characters),
    }
    for name, counted in ngram_characters(words, layout).items():
        columns[f"{name}_share"] = _share(counted, characters)
    columns |= _of_sentences(texts, layout)
    return columns


def _of_words(texts: Sequence[str], layout: Layout, newlines: Places) -> Columns:
    """Gopher's figures of words and symbols, and how much of the text is written without spaces."""
    documents, of_word = layout.documents, layout.word_documents_W
    words = np.bincount(of_word, minlength=documents)
    # From each word's start to the next one's: white space has no other kind, so it adds nothing.
    kinds = (
        np.bitwise_or.reduceat(layout.flags_C, layout.word_starts_W)
        if len(of_word)
        else np.zeros(0, np.uint8)
    )
    with_letter = np.bincount(of_word[(kinds & LETTER) != 0], minlength=documents)
    real = (kinds & WORD) != 0
    real_words = np.bincount(of_word[real], minlength=documents)
    lengths = (layout.word_ends_W - layout.word_starts_W)[real]
    real_characters = np.bincount(of_word[real], weights=lengths, minlength=documents)
    return {
        "words": words.astype(np.uint32),
        "real_words": real_words.astype(np.uint32),
        "mean_word_length": _share(real_characters, real_words),
        "letter_word_share": _share(with_letter, words),
        "hash_word_ratio": _share(_counted(texts, "#"), words),
        "ellipsis_word_ratio": _share(_counted(texts, "...") + _counted(texts, chr(ELLIPSIS)), words),
        "newline_word_ratio": _share(newlines, words),
        "unspaced_share": _unspaced(layout),
    }


def _unspaced(layout: Layout) -> NDArray[np.float32]:
    """The share of each document's letters that belong to scripts without spaces."""
    places = np.flatnonzero(layout.flags_C & UNSPACED)
    places = places[(layout.flags_C[places] & LETTER) != 0]
    if not len(places):
        return np.zeros(layout.documents, np.float32)
    letters = np.flatnonzero(layout.flags_C & LETTER)
    return _share(
        np.bincount(layout.document_of(places), minlength=layout.documents),
        np.bincount(layout.document_of(letters), minlength=layout.documents),
    )


def _stop_words(word_hashes_W: Hashes, layout: Layout, settings: FigureSettings) -> Columns:
    """For each language, how many different stop words each document has."""
    columns: Columns = {}
    for language, stop_words in settings.stop_words.items():
        found = np.zeros(layout.documents, np.uint32)
        for word in dict.fromkeys(stop_words):
            present = np.zeros(layout.documents, np.uint32)
            present[layout.word_documents_W[word_hashes_W == np.uint64(text_hash(word))]] = 1
            found += present
        columns[f"{STOP_WORD_FIGURE}_{language}"] = found
    return columns


def _of_lines(layout: Layout, lines_D: Places, settings: FigureSettings) -> Columns:
    """How lines begin and end (Gopher, FineWeb), and how many are short."""
    first, last, letters = layout.line_first_solids, layout.line_last_solids, layout.letters_C
    dots = (letters[last] == ord(".")) & (letters[last - 1] == ord(".")) & (letters[last - 2] == ord("."))
    ellipsis = dots | (letters[last] == ELLIPSIS) if letters.dtype != np.uint8 else dots
    short = layout.line_ends_L - layout.line_starts_L <= settings.short_line_characters

    def share(chosen_L: NDArray[np.bool_]) -> NDArray[np.float32]:
        return _share(np.bincount(layout.line_documents_L[chosen_L], minlength=layout.documents), lines_D)

    return {
        "bullet_line_share": share((layout.flags_C[first] & BULLET) != 0),
        "ellipsis_line_share": share(ellipsis),
        "punctuated_line_share": share((layout.flags_C[last] & TERMINAL) != 0),
        "short_line_share": share(short),
    }


def _of_sentences(texts: Sequence[str], layout: Layout) -> Columns:
    """What C4 asks of a page.

    A sentence ends with terminal punctuation and what closes quotes and brackets, before white space (after the full
    stop of a script that knows no spaces, before anything), and with a line.
    """
    flags = layout.flags_C
    closing = (flags & (TERMINAL | CLOSING)) != 0
    edges = np.flatnonzero(closing[1:] != closing[:-1]) + 1
    starts, ends = edges[0::2], edges[1::2]
    terminals = np.flatnonzero(flags & TERMINAL)
    run_of = np.searchsorted(starts, terminals, side="right") - 1
    ended = np.zeros(len(starts), bool)
    ended[run_of] = True
    ended &= (flags[ends] & WHITE) != 0
    if layout.letters_C.dtype != np.uint8:
        ended[run_of[layout.letters_C[terminals] > 0x7F]] = True
    sentence_ends = ends[ended]
    is_end = np.zeros(len(flags), bool)
    is_end[sentence_ends - 1] = True
    open_lines = layout.line_documents_L[~is_end[layout.line_last_solids]]
    sentences = np.bincount(layout.document_of(sentence_ends - 1), minlength=layout.documents)
    sentences += np.bincount(open_lines, minlength=layout.documents)
    return {
        "sentences": sentences.astype(np.uint32),
        "curly_brackets": _counted(texts, "{").astype(np.uint32),
        "lorem_ipsum": _lorem_ipsum(texts),
    }


def _lorem_ipsum(texts: Sequence[str]) -> NDArray[np.uint32]:
    """How often "lorem ipsum" stands in each text, in whatever case."""
    lowered = (text.encode("ascii", "replace").lower() for text in texts)
    return np.fromiter((text.count(b"lorem ipsum") for text in lowered), np.uint32, len(texts))


def _counted(texts: Sequence[str], part: str) -> Places:
    return np.fromiter((text.count(part) for text in texts), np.int64, len(texts))


def _share(part_D: Places, whole_D: Places) -> NDArray[np.float32]:
    """`part` / `whole`, and 0 where there is no whole."""
    shares = np.zeros(len(whole_D))
    np.divide(part_D, whole_D, out=shares, where=whole_D > 0)
    return shares.astype(np.float32)
