"""The tokenizer: text to ids and back, byte-level, so that every text comes back unchanged.

`encode` is for text that somebody wrote: it never gives a special id, whatever the text spells out.
Special ids enter a sequence only through `chat.render` and `bos_id`. Knows no file (folder.py) and no
training (bpe.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import tokenizers
from tokenizers.processors import TemplateProcessing

from workbench.tokenizer.chat import IM_END, IM_START, SpecialNames

# While it is made an encoding takes about 120 times the memory of its text (measured, tokenizers 0.23), and
# its time grows faster than its length. So long texts go in pieces, and pieces in groups of about 60 MB.
PIECE_CHARACTERS = 50_000
GROUP_CHARACTERS = 500_000


class Tokenizer:
    """A byte-level BPE vocabulary with the special tokens of the chat format.

    Wraps a `tokenizers.Tokenizer`; make one with `train_tokenizer`, `Tokenizer.load` or `adopt_tokenizer`.
    `names` says how it writes the special tokens that differ between vocabularies.
    """

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        # Not stored in tokenizer.json: without it "<|im_end|>" in a document would become the stop token.
        backend.encode_special_tokens = True
        backend.no_truncation()  # a foreign tokenizer.json may ask for both
        backend.no_padding()
        self.backend = backend
        self.vocab_size: int = backend.get_vocab_size(with_added_tokens=True)
        self._special = {
            token.content: token_id
            for token_id, token in backend.get_added_tokens_decoder().items()
            if token.special
        }
        names = SpecialNames.among(self._special)
        assert names is not None, "nothing in the vocabulary begins a document"
        self.names = names
        self.bos_id = self.special_id(names.begin)
        # For other people's tools, which ask for it by default: every text here begins with this token, in training,
        # scoring and generating, so a model of ours is another one without it. (Ours is written by `render`.)
        backend.post_processor = TemplateProcessing(
            single=f"{names.begin} $A",
            pair=f"{names.begin} $A {names.begin} $B",
            special_tokens=[(names.begin, self.bos_id)],
        )
        self.im_start_id = self.special_id(IM_START)
        self.im_end_id = self.special_id(IM_END)
        self.pad_id = self.special_id(names.pad)

    def __repr__(self) -> str:
        return f"Tokenizer(vocab_size={self.vocab_size})"

    @classmethod
    def load(cls, folder: Path) -> Tokenizer:
        """The tokenizer in `folder`. Raises NotFound without tokenizer.json, BadInput when it is unusable."""
        from workbench.tokenizer.folder import load_tokenizer  # folder.py is made of Tokenizers

        return load_tokenizer(folder)

    def save(self, folder: Path) -> None:
        """Write the files `AutoTokenizer.from_pretrained` reads into `folder` (made if absent)."""
        from workbench.tokenizer.folder import save_tokenizer

        save_tokenizer(self, folder)

    @cached_property
    def files(self) -> dict[str, bytes]:
        """The content of every file that `save` writes, by name; made once, for every checkpoint has them."""
        from workbench.tokenizer.folder import tokenizer_files

        return tokenizer_files(self)

    def special_id(self, token: str) -> int:
        """The id of the special token written `token`."""
        assert token in self._special, f"the vocabulary has no special token {token}"
        return self._special[token]

    @property
    def special_tokens(self) -> dict[str, int]:
        """The tokens that stand for no text, by id."""
        return dict(sorted(self._special.items(), key=lambda named: named[1]))

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """The ids that stand for no text."""
        return frozenset(self._special.values())

    def encode(self, text: str) -> list[int]:
        """The ids of `text`; never a special id. Lone surrogates, which are not text, become U+FFFD."""
        [ids] = self.encode_stream([text])
        return ids

    def encode_batch(self, texts: Iterable[str]) -> list[list[int]]:
        """`encode` of each text, on all cores."""
        return list(self.encode_stream(texts))

    def encode_stream(self, texts: Iterable[str]) -> Iterator[list[int]]:
        """Yields `encode` of each text in order, reading a little ahead; memory stays bounded."""
        ids: list[int] = []
        for group in _groups(_pieces(texts)):
            # The "fast" form leaves out character offsets, which nobody reads here.
            encodings = self.backend.encode_batch_fast(
                [piece.text for piece in group], add_special_tokens=False
            )
            for piece, encoding in zip(group, encodings, strict=True):
                ids.extend(encoding.ids)
                if piece.ends_text:
                    yield ids
                    ids = []

    def decode(self, ids: Iterable[int], *, keep_special: bool = False) -> str:
        """The text of `ids`; bytes that are no UTF-8 (half a character) become U+FFFD.

        Special tokens are left out, or spelled out with `keep_special`. So is an id beyond the vocabulary: a model
        may have more rows than its tokenizer has words.
        """
        table = self._spelled_bytes if keep_special else self._text_bytes
        return b"".join(table.get(token_id, b"") for token_id in ids).decode("utf-8", errors="replace")

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes of text that `token_id` stands for: none for a special token."""
        return self._text_bytes.get(token_id, b"")

    @cached_property
    def _spelled_bytes(self) -> dict[int, bytes]:
        # Added tokens are written as they are; all others in the byte-level alphabet.
        added = {
            token_id: token.content.encode()
            for token_id, token in self.backend.get_added_tokens_decoder().items()
        }
        vocabulary = self.backend.get_vocab(with_added_tokens=True)
        return {i: added[i] if i in added else _bytes_of(token) for token, i in vocabulary.items()}

    @cached_property
    def _text_bytes(self) -> dict[int, bytes]:
        return {i: b"" if i in self.special_ids else spelled for i, spelled in self._spelled_bytes.items()}


class _Piece(NamedTuple):
    text: str
    ends_text: bool


def _pieces(texts: Iterable[str]) -> Iterator[_Piece]:
    """All texts, long ones cut where their ids do not change: before a space that follows something else.

    No split pattern we accept has a match that goes on from a visible character into a space, or that looks
    back, so such a place always is the end of one match and the start of the next.
    """
    for text in map(without_surrogates, texts):
        start = 0
        while len(text) - start > PIECE_CHARACTERS and (cut := _CUT.search(text, start + PIECE_CHARACTERS)):
            yield _Piece(text[start : cut.start()], ends_text=False)
            start = cut.start()
        yield _Piece(text[start:], ends_text=True)


_CUT = re.compile(r"(?<=\S) ")


def _groups(pieces: Iterable[_Piece]) -> Iterator[list[_Piece]]:
    group: list[_Piece] = []
    characters = 0
    for piece in pieces:
        group.append(piece)
        characters += len(piece.text)
        if characters >= GROUP_CHARACTERS:
            yield group
            group, characters = [], 0
    if group:
        yield group


def without_surrogates(text: str) -> str:
    """`text` as valid Unicode: surrogate pairs joined, lone surrogates replaced by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-in character for each byte (Radford et al. 2019, `bytes_to_unicode`)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    alphabet = {chr(byte): byte for byte in printable}
    return alphabet | {chr(256 + rank): byte for rank, byte in enumerate(others)}


BYTE_OF = _byte_alphabet()


def _bytes_of(token: str) -> bytes:
    return bytes(BYTE_OF[character] for character in token)
