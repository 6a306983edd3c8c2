"""Is this file a fastText classifier, whole and sound? Asked before its C++ reader sees it, which trusts every number.

The format is no pickle and holds no code, but the reader allocates, indexes and divides by what stands in it. So
every size is checked against the others and the length of the file; memory needed is then about the file's own.

    magic, version │ 12 settings, threshold │ dictionary │ quantised? input matrix │ quantised? output matrix
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

from workbench.data.byte_stream import open_plain_file, shown_path
from workbench.errors import BadInput

_MAGIC, _VERSIONS = 793712314, (11, 12)
_SETTINGS = (
    "dim",
    "ws",
    "epoch",
    "min_count",
    "neg",
    "word_ngrams",
    "loss",
    "model",
    "bucket",
    "minn",
    "maxn",
)
_SUPERVISED = 3
_LOSSES = (1, 2, 3, 4)  # hierarchical softmax, negative sampling, softmax, one versus all
_CENTROIDS = 256
_MOST_WORD_BYTES = 1 << 12
_MOST_SUBWORD = 16  # with words of 4 kB, what bounds the memory for the parts of words
_MOST_NGRAMS = 64
_MOST_COUNT = 10**15  # the tree of hierarchical softmax takes this for infinity
_LABEL_PREFIX = b"__label__"


@dataclass(frozen=True, slots=True)
class FastTextFile:
    """What a sound file says of itself."""

    labels: tuple[str, ...]
    """Without `__label__`."""
    words: int
    dim: int
    quantised: bool


def check_fasttext_file(path: Path) -> FastTextFile:
    """What is in the classifier at `path`. Raises BadInput naming it when it is none, or damaged."""
    with open_plain_file(path) as file:
        try:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return _Reader(content).read()
        except (_Unsound, struct.error, ValueError) as error:
            detail = f": {error}" if isinstance(error, _Unsound) else ""
            raise BadInput(
                f"is not a sound fastText classifier{detail}",
                file=shown_path(path),
                fix="give a .bin or .ftz file that fastText's `supervised` wrote",
            ) from None


class _Unsound(Exception):
    """What is wrong, for a person."""


class _Reader:
    def __init__(self, content: mmap.mmap) -> None:
        self._content, self._place = content, 0

    def read(self) -> FastTextFile:
        magic, version = self._take("ii")
        if magic != _MAGIC:
            raise _Unsound("it begins otherwise")
        if version not in _VERSIONS:
            raise _Unsound(f"its version is {version}")
        settings = dict(zip(_SETTINGS, self._take("11i"), strict=True))
        self._take("i")  # how often the rate is updated
        self._take("d")  # the sampling threshold
        self._check_settings(settings)
        size, words, labels, _, pruned = self._take("iiiqq")
        if not (words >= 0 and labels >= 1 and words + labels == size) or pruned < -1:
            raise _Unsound("the sizes of its dictionary contradict each other")
        names = self._entries(words, labels)
        pruned_rows = self._pruned(pruned)
        quantised = self._flag()
        if pruned >= 0 and not quantised:
            raise _Unsound("it is pruned and not quantised")
        rows = words + (settings["bucket"] if pruned < 0 else pruned_rows)
        self._matrix("input", quantised, settings["dim"], at_least_rows=rows)
        output_quantised = self._flag()
        self._matrix("output", quantised and output_quantised, settings["dim"], at_least_rows=labels)
        if self._place != len(self._content):
            raise _Unsound(f"{len(self._content) - self._place:,} bytes follow its end")
        return FastTextFile(names, words, settings["dim"], quantised)

    def _check_settings(self, settings: dict[str, int]) -> None:
        if settings["model"] != _SUPERVISED:
            raise _Unsound("it holds word vectors, not a classifier")
        if settings["loss"] not in _LOSSES:
            raise _Unsound(f"its loss is number {settings['loss']}")
        hashes = settings["maxn"] > 0 or settings["word_ngrams"] > 1
        for name, least, most in (
            ("dim", 1, 1 << 16),
            ("word_ngrams", 0, _MOST_NGRAMS),
            ("bucket", int(hashes), 2**31 - 1),
            ("minn", 0, _MOST_SUBWORD),
            ("maxn", 0, _MOST_SUBWORD),
        ):
            if not least <= settings[name] <= most:
                raise _Unsound(f"its {name} is {settings[name]}")

    def _entries(self, words: int, labels: int) -> tuple[str, ...]:
        """Goes through the dictionary: the words, then the labels, which are given back."""
        names: list[str] = []
        counted = 0
        for number in range(words + labels):
            end = self._content.find(b"\0", self._place, self._place + _MOST_WORD_BYTES)
            if end < 0:
                raise _Unsound(f"word {number:,} of its dictionary does not end")
            name = self._content[self._place : end]
            self._place = end + 1
            count, kind = self._take("qb")
            counted += count
            if count < 0 or counted >= _MOST_COUNT or kind != (number >= words):
                raise _Unsound(f"word {number:,} of its dictionary has count {count} and kind {kind}")
            if number >= words:
                names.append(name.removeprefix(_LABEL_PREFIX).decode("utf-8", "backslashreplace"))
        return tuple(names)

    def _pruned(self, count: int) -> int:
        """Goes through the list of rows that pruning left; how many rows beyond the words it speaks of."""
        rows = 0
        for _ in range(max(0, count)):
            hashed, row = self._take("ii")
            if hashed < 0 or row < 0:
                raise _Unsound(f"its pruning names row {row}")
            rows = max(rows, row + 1)
        return rows

    def _matrix(self, name: str, quantised: bool, columns: int, *, at_least_rows: int) -> None:
        """Goes over a matrix."""
        normed = quantised and self._flag()
        rows, width = self._take("qq")
        if width != columns or not at_least_rows <= rows < 2**40:
            raise _Unsound(f"its {name} matrix is {rows:,} x {width:,}")
        if not quantised:
            self._skip(rows * width * 4, name)
            return
        (codes,) = self._take("i")
        if codes < 0:
            raise _Unsound(f"its {name} matrix has {codes} codes")
        self._skip(codes, name)
        if codes != rows * self._quantizer(width, name):
            raise _Unsound(f"its {name} matrix has {codes:,} codes")
        if normed:
            self._skip(rows, name)
            self._quantizer(1, name)

    def _quantizer(self, columns: int, name: str) -> int:
        """Goes over the centroids of `columns`; how many codes a row has."""
        dim, codes, width, last = self._take("iiii")
        if not (dim == columns and width >= 1 and 1 <= last <= width and (codes - 1) * width + last == dim):
            raise _Unsound(f"the codes of its {name} matrix do not fit it")
        self._skip(dim * _CENTROIDS * 4, name)
        return codes

    def _flag(self) -> bool:
        (value,) = self._take("B")
        if value > 1:
            raise _Unsound(f"a yes or no at byte {self._place - 1:,} is {value}")
        return bool(value)

    def _take(self, kinds: str) -> tuple[int, ...]:
        values = struct.unpack_from(f"<{kinds}", self._content, self._place)
        self._place += struct.calcsize(f"<{kinds}")
        return values

    def _skip(self, count: int, name: str) -> None:
        if count > len(self._content) - self._place:
            raise _Unsound(f"its {name} matrix is cut off")
        self._place += count
