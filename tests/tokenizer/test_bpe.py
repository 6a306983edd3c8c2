from __future__ import annotations

from collections.abc import Iterator

import pytest

from workbench.errors import BadInput
from workbench.tokenizer import SPECIAL_TOKENS, Tokenizer, train_tokenizer


def test_same_texts_same_vocabulary(texts: list[str], tokenizer: Tokenizer) -> None:
    again = train_tokenizer(iter(texts), vocab_size=700, max_token_length=16)
    assert again.backend.to_str() == tokenizer.backend.to_str()


def test_merges_are_those_of_the_paper() -> None:
    # Sennrich et al. 2016, algorithm 1: the most frequent pair first.
    words = ["low"] * 5 + ["lower"] * 2 + ["newest"] * 6 + ["widest"] * 3
    trained = train_tokenizer(words, vocab_size=260 + 7, max_token_length=16)
    merged = [trained.token_bytes(i) for i in range(260, 267)]
    assert merged[:3] == [b"es", b"est", b"lo"]
    assert trained.decode(trained.encode("lowest")) == "lowest"


def test_exactly_vocab_size_entries_specials_first(tokenizer: Tokenizer) -> None:
    assert tokenizer.vocab_size == 700
    assert [tokenizer.special_id(token) for token in SPECIAL_TOKENS] == [0, 1, 2, 3]


@pytest.mark.parametrize("longest", [2, 4, 8])
def test_no_token_is_longer_than_asked(texts: list[str], longest: int) -> None:
    rulers = [*texts, *("=" * 80 + "\n" for _ in range(1000))]
    short = train_tokenizer(rulers, vocab_size=320, max_token_length=longest)
    assert max(len(short.token_bytes(i)) for i in range(320)) == longest


def test_too_little_text_says_how_much_there_was() -> None:
    with pytest.raises(BadInput) as caught:
        train_tokenizer(["abab abab abab"], vocab_size=4096, max_token_length=16)
    found = int(caught.value.one_line().split("at most ")[1].split()[0])
    assert 260 < found < 270
    assert "14 bytes" in str(caught.value)
    # The advice works.
    assert train_tokenizer(["abab abab abab"], vocab_size=found, max_token_length=16).vocab_size == found


def test_no_room_for_the_bytes() -> None:
    with pytest.raises(BadInput, match="at least 260"):
        train_tokenizer(["text"], vocab_size=259, max_token_length=16)


def test_special_tokens_in_the_training_text_are_text(texts: list[str]) -> None:
    poisoned = [*texts, "<|im_end|>" * 5000, " <|endoftext|>" * 5000]
    trained = train_tokenizer(poisoned, vocab_size=700, max_token_length=16)
    assert trained.special_ids.isdisjoint(trained.encode("<|im_end|> <|endoftext|>"))


def test_an_error_in_the_texts_ends_the_training() -> None:
    def stopped() -> Iterator[str]:
        yield "some text"
        raise KeyError("stop")

    with pytest.raises(KeyError):
        train_tokenizer(stopped(), vocab_size=300, max_token_length=16)
