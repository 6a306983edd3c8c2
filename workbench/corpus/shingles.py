"""Word shingles: a 64-bit hash for every run of `ngram` words of a text, all in numpy, in bounded memory.

A word is a run of letters and digits; case and punctuation are ignored. A Chinese character or a kana is a word
of its own, because those scripts put no spaces. Two different shingles have the same hash once in 1e12 pairs of
corpora of a billion words, which moves a Jaccard similarity by nothing.

Shapes: N texts, C UTF-16 units, W words, S shingles.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Counts = NDArray[np.int64]

_PIECE_CHARACTERS = 1 << 17  # the temporaries of a piece fit in the cache of a core; a longer text is cut
_LONG_WORD = 32  # UTF-16 units; beyond, a word is hashed by itself: base64, a line without spaces
_UNITS_PER_LOAD = 4  # of 16 bit in 64
_BASE = np.uint64(0x9E3779B97F4A7C15)
_WORD_BASE = np.uint64(0xD6E8FEB86659FD93)
_SHORT = np.uint64(0x2545F4914F6CDD1D)
_LOAD_MASKS = np.array([0, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF], dtype=np.uint64)
_SINGLE_WORD_SCRIPTS = (
    (0x3040, 0x30FF),
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
)


@dataclass(frozen=True, slots=True)
class Piece:
    """The hashes of some texts one after the other: of text `first` `counts_N[0]`, of the next `counts_N[1]`, ….

    Hashes are of words or of shingles. The first text may have begun, and the last may go on, in another piece.
    """

    first: int
    hashes: Hashes
    counts_N: Counts


def shingles(text: str, ngram: int) -> Hashes:
    """The hashes of all runs of `ngram` words of `text` in order, [words - ngram + 1]; none of a shorter text."""
    found = [piece.hashes for piece in shingle_pieces([text], ngram, whole_if_short=False)]
    return np.concatenate(found) if found else np.zeros(0, np.uint64)


def shingle_pieces(texts: Sequence[str], ngram: int, *, whole_if_short: bool = True) -> Iterator[Piece]:
    """The shingles of each text, in order; a text of fewer words is one shingle where `whole_if_short` says so."""
    begun = -1  # the text that has shingles in an earlier piece
    for words in word_pieces(texts, overlap=ngram - 1):
        hashes_W, counts_N = words.hashes, words.counts_N
        ends_N = np.cumsum(counts_N)
        whole = whole_if_short & (counts_N > 0) & (counts_N < ngram)
        if words.first == begun:
            whole[0] = False
        if words.unfinished:
            whole[-1] = False
        hashes_S = mix(_runs(hashes_W, ngram))
        inside_W = _stays_inside(ends_N, ngram)
        starts = (ends_N - counts_N)[whole]
        hashes_S[starts] = _short_runs(hashes_W, starts, counts_N[whole], ngram)
        inside_W[starts] = True
        if words.unfinished and counts_N[-1] >= ngram:
            begun = words.first + len(counts_N) - 1
        yield Piece(words.first, hashes_S[inside_W], np.maximum(counts_N - ngram + 1, whole))


@dataclass(frozen=True, slots=True)
class WordPiece(Piece):
    """Words of some texts; `unfinished`: the last text goes on in the next piece, which repeats `overlap` of them."""

    unfinished: bool = False


def word_pieces(texts: Sequence[str], *, overlap: int) -> Iterator[WordPiece]:
    """The hashes of the words of each text; a text in several pieces begins with the last `overlap` words again."""
    batch: list[str] = []
    size = first = 0
    for number, text in enumerate(texts):
        if batch and size + len(text) > _PIECE_CHARACTERS:
            yield WordPiece(first, *_word_hashes(batch))
            batch, size = [], 0
        if len(text) > _PIECE_CHARACTERS:
            yield from _long_text(number, text, overlap)
            continue
        if not batch:
            first = number
        batch.append(text)
        size += len(text)
    if batch:
        yield WordPiece(first, *_word_hashes(batch))


def _long_text(number: int, text: str, overlap: int) -> Iterator[WordPiece]:
    carried_W = np.zeros(0, dtype=np.uint64)
    start = 0
    while start < len(text):
        end = _end_between_words(text, start)
        hashes_W = np.concatenate((carried_W, _word_hashes([text[start:end]])[0]))
        yield WordPiece(number, hashes_W, np.array([len(hashes_W)]), unfinished=end < len(text))
        carried_W = hashes_W[max(len(hashes_W) - overlap, 0) :]
        start = end


def _end_between_words(text: str, start: int) -> int:
    """Where a piece that begins at `start` ends: after a space or a newline; in a word that is longer than a piece."""
    end = start + _PIECE_CHARACTERS
    if end >= len(text):
        return len(text)
    space = max(text.rfind(" ", start, end), text.rfind("\n", start, end))
    return space + 1 if space > start else end


def runs_of_lengths(texts: Sequence[str], lengths: Sequence[int]) -> Iterator[tuple[int, Piece]]:
    """(length, the runs of so many words of each text), for every one of `lengths`, piece by piece.

    To be found again: the hashes are not those of `shingle_pieces`, and a text of several pieces tells some runs twice.
    """
    for words in word_pieces(texts, overlap=max(lengths, default=1) - 1):
        ends_N = np.cumsum(words.counts_N)
        for length in lengths:
            runs_W = _runs(words.hashes, length)
            inside_W = _stays_inside(ends_N, length)
            yield length, Piece(words.first, runs_W[inside_W], np.maximum(words.counts_N - length + 1, 0))


def _stays_inside(ends_N: Counts, ngram: int) -> NDArray[np.bool_]:
    """Of each word, whether the run of `ngram` that it begins ends in its text, [W]."""
    inside_W = np.ones(int(ends_N[-1]) if len(ends_N) else 0, dtype=bool)
    for back in range(1, ngram):
        inside_W[np.maximum(ends_N - back, 0)[ends_N >= back]] = False
    return inside_W


def _runs(hashes_W: Hashes, ngram: int) -> Hashes:
    """For each word the hash of the run of `ngram` that it begins; zeros stand for words beyond the end."""
    padded = np.concatenate((hashes_W, np.zeros(ngram - 1, dtype=np.uint64)))
    total = hashes_W.copy()
    for place in range(1, ngram):
        total *= _BASE
        total += padded[place : place + len(hashes_W)]
    return total


def _short_runs(hashes_W: Hashes, starts: Counts, counts: Counts, ngram: int) -> Hashes:
    """The hashes of the `counts` < `ngram` words from each of `starts`."""
    total = hashes_W[starts] ^ _SHORT
    for place in range(1, ngram - 1):
        longer = counts > place
        total[longer] = total[longer] * _BASE + hashes_W[starts[longer] + place]
    return mix(total)


def _word_hashes(texts: Sequence[str]) -> tuple[Hashes, Counts]:
    """One hash per word, [W], and the number of words of each text, [N]."""
    codes_C, text_starts_N = _folded_codes(texts)
    starts_W, ends_W = _word_bounds(codes_C)
    counts_N = np.diff(np.searchsorted(starts_W, text_starts_N), append=len(starts_W))
    return _hashes_between(codes_C, starts_W, ends_W - starts_W), counts_N


def _folded_codes(texts: Sequence[str]) -> tuple[NDArray[np.uint16], Counts]:
    """UTF-16 units of all texts, lower-cased, 0 where no word is, and where each text begins.

    Zeros follow the last, so that what is beyond it can be loaded.
    """
    joined = "\n".join(texts)
    if joined.isascii():
        codes = np.frombuffer(joined.encode("ascii"), dtype=np.uint8)
        lengths = [len(text) for text in texts]
        fold = _fold_table()[:128]
    else:
        encoded = [text.encode("utf-16-le", "surrogatepass") for text in texts]
        codes = np.frombuffer(b"\n\0".join(encoded), dtype="<u2")
        lengths = [len(each) // 2 for each in encoded]
        fold = _fold_table()
    folded = np.zeros((len(codes) // _UNITS_PER_LOAD + 3) * _UNITS_PER_LOAD, dtype=np.uint16)
    np.take(fold, codes, out=folded[: len(codes)], mode="clip")
    return folded, np.cumsum([0, *(length + 1 for length in lengths[:-1])])


def _word_bounds(codes_C: NDArray[np.uint16]) -> tuple[Counts, Counts]:
    """Where each word starts and ends."""
    in_word = np.zeros(len(codes_C) + 1, dtype=bool)
    np.not_equal(codes_C, 0, out=in_word[1:])
    if codes_C.max(initial=0) >= _SINGLE_WORD_SCRIPTS[0][0]:
        alone = np.zeros(len(codes_C) + 1, dtype=bool)
        alone[1:] = _is_single_word()[codes_C]
        apart = alone[1:] | alone[:-1]
        starts = in_word[1:] & (~in_word[:-1] | apart)
        ends = in_word[:-1] & (~in_word[1:] | apart)
        return np.flatnonzero(starts), np.flatnonzero(ends)
    edges = np.flatnonzero(in_word[1:] != in_word[:-1])
    return edges[0::2], edges[1::2]


def _hashes_between(codes_C: NDArray[np.uint16], starts_W: Counts, lengths_W: Counts) -> Hashes:
    """A hash of the units of each word, four units at a time."""
    packed = codes_C.view("<u8")
    hashes_W = np.zeros(len(starts_W), dtype=np.uint64)
    alive, starts, left = None, starts_W, lengths_W
    for _ in range(_LONG_WORD // _UNITS_PER_LOAD):
        if not len(starts):
            break
        at, shift = starts >> 2, ((starts & 3) << 4).astype(np.uint64)
        load = packed[at] >> shift
        load |= packed[at + 1] << (np.uint64(64) - shift)  # a shift by 64 gives 0
        load &= _LOAD_MASKS[np.minimum(left, _UNITS_PER_LOAD)]
        if alive is None:
            hashes_W = mix(load * _WORD_BASE)
        else:
            hashes_W[alive] = mix(hashes_W[alive] * _BASE + load)
        longer = np.flatnonzero(left > _UNITS_PER_LOAD)
        alive = longer if alive is None else alive[longer]
        starts, left = starts[longer] + _UNITS_PER_LOAD, left[longer] - _UNITS_PER_LOAD
    for word in np.flatnonzero(lengths_W > _LONG_WORD).tolist():
        units = codes_C[starts_W[word] : starts_W[word] + lengths_W[word]].tobytes()
        hashes_W[word] = int.from_bytes(hashlib.blake2b(units, digest_size=8).digest(), "little")
    return hashes_W


def mix(x: Hashes) -> Hashes:
    """Every bit of each number spread over all of it, in place (finaliser of splitmix64, Steele et al. 2014)."""
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return x


@functools.cache
def _fold_table() -> NDArray[np.uint16]:
    """For each UTF-16 unit what it counts as: the lower-cased letter or digit, 0 for what is in no word.

    Units of surrogate pairs (emoji, rare scripts) are as good as letters here.
    """
    table = np.zeros(0x10000, dtype=np.uint16)
    for code in range(0x10000):
        if 0xD800 <= code <= 0xDFFF:
            table[code] = code
        elif chr(code).isalnum():
            table[code] = ord(chr(code).lower()[0])
    return table


@functools.cache
def _is_single_word() -> NDArray[np.bool_]:
    table = np.zeros(0x10000, dtype=bool)
    for low, high in _SINGLE_WORD_SCRIPTS:
        table[low : high + 1] = True
    return table
