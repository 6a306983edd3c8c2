"""Training a byte-level BPE vocabulary (Sennrich et al. 2016; byte level: Radford et al. 2019).

Knows how text is split and merged; not where text comes from, nor how conversations look.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from workbench.errors import BadInput
from workbench.tokenizer.chat import SPECIAL_TOKENS
from workbench.tokenizer.tokenizer import Tokenizer, without_surrogates

# Merges never cross these pieces. It is Llama 3's pattern to the letter (GPT-4's but for its possessive
# quantifiers), so that llama.cpp knows it by name ("llama-bpe"). Up to three digits stay together: with 4,096
# entries on the standard library's documentation that gave 3.63 bytes per token, two digits 3.63, one 3.61,
# at a price of 62 entries; GPT-2's pattern 3.49.
SPLIT_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"  # English contractions
    r"|[^\r\n\p{L}\p{N}]?\p{L}+"  # a word, with the one character before it: mostly a space
    r"|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*"  # punctuation, with the line ends after it
    r"|\s*[\r\n]+"  # line ends, with the white space before them
    r"|\s+(?!\S)"  # white space but its last character, which belongs to the word that follows
    r"|\s+"
)

NUM_BYTES = 256


def train_tokenizer(
    texts: Iterable[str], *, vocab_size: int, max_token_length: int, min_frequency: int = 2
) -> Tokenizer:
    """A tokenizer of exactly `vocab_size` entries learned from `texts`.

    The same texts give the same vocabulary. No token is longer than `max_token_length` bytes; a pair seen
    fewer than `min_frequency` times is not merged. Memory grows with the different words, not with the text.

    Raises BadInput when the text does not hold that many merges.
    """
    first_merge = NUM_BYTES + len(SPECIAL_TOKENS)
    if vocab_size < first_merge:
        raise BadInput(
            f"vocab_size = {vocab_size} has no room for all bytes and special tokens",
            fix=f"set [tokenizer] vocab_size to at least {first_merge}",
        )
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(SPLIT_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        max_token_length=max_token_length + 1,  # the library stops one short (0.23)
        # All bytes, seen or not: then every text can be spelled. Sorted: `alphabet()` comes in random order.
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=list(SPECIAL_TOKENS),
        show_progress=False,
    )
    counted = _Counted(texts)
    backend.train_from_iterator(iter(counted), trainer)
    found = backend.get_vocab_size()
    if found < vocab_size:
        raise BadInput(
            f"the text is too small for vocab_size = {vocab_size}: its {counted.num_bytes} bytes gave "
            f"{found - first_merge} merges of {vocab_size - first_merge}",
            fix=f"set [tokenizer] vocab_size to at most {found} or add text",
        )
    return Tokenizer(backend)


class _Counted:
    """Passes texts through and counts their bytes."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = texts
        self.num_bytes = 0

    def __iter__(self) -> Iterator[str]:
        for text in self._texts:
            clean = without_surrogates(text)
            self.num_bytes += len(clean.encode())
            yield clean
