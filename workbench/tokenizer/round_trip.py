"""The proof that a tokenizer loses nothing, taken before it is saved or trusted. Knows no file, no stage."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable

from workbench.errors import WorkbenchError
from workbench.tokenizer.tokenizer import Tokenizer

# What breaks tokenizers: no text, text that looks like structure, and Unicode in its less usual shapes.
HOSTILE_TEXTS = (
    "",
    " ",
    "\n\n \t\r\n\x00\x07\x1b[31m\x7f\x85",
    "<|endoftext|><|im_start|>assistant\n<|im_end|><|pad|>< |im_end|>",
    "Ġ Ċ ĉ Ã © \u00ad\u200b\ufeff\ufffd",  # the byte alphabet itself, soft hyphen, BOM
    "e\u0301 \u00e9 ﬁ Å Å Ω Ω",  # composed, decomposed and compatibility forms stay apart
    "👩‍👩‍👧‍👦 🇪🇺 𝕳𝖊𝖑𝖑𝖔 \U0010ffff नमस्ते שָׁלוֹם 你好 \u202eabc",
    "1234567890 3.14159 ١٢٣ Ⅷ ½",
    "'S 's 'LL ''ll don't DON'T",
)


@dataclasses.dataclass(frozen=True, slots=True)
class Compression:
    """What texts came to: UTF-8 bytes in, tokens out."""

    num_texts: int = 0
    num_bytes: int = 0
    num_tokens: int = 0

    @property
    def bytes_per_token(self) -> float | None:
        """The figure tokenizers are compared by; None when there was no text."""
        return self.num_bytes / self.num_tokens if self.num_tokens else None


def prove_round_trip(tokenizer: Tokenizer, texts: Iterable[str] = ()) -> Compression:
    """What `texts` came to, all of them and `HOSTILE_TEXTS` having come back, none with a special id.

    Raises WorkbenchError at the first that did not, with its beginning.
    """
    _prove(tokenizer, HOSTILE_TEXTS)
    return _prove(tokenizer, texts)


def _prove(tokenizer: Tokenizer, texts: Iterable[str]) -> Compression:
    proved = Compression()
    texts, copies = itertools.tee(texts)
    for text, ids in zip(texts, tokenizer.encode_stream(copies), strict=True):
        if not tokenizer.special_ids.isdisjoint(ids) or tokenizer.decode(ids) != text:
            raise WorkbenchError(
                f"the tokenizer does not give back the text that begins {text[:40]!r}",
                fix="this is a fault of the tokenizer, not of the text; please report it with that document",
            )
        proved = Compression(
            num_texts=proved.num_texts + 1,
            num_bytes=proved.num_bytes + len(text.encode()),
            num_tokens=proved.num_tokens + len(ids),
        )
    return proved
