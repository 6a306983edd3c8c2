from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import WorkbenchError
from workbench.tokenizer import SPECIAL_TOKENS, Tokenizer, prove_round_trip
from workbench.tokenizer import tokenizer as tokenizer_module
from workbench.tokenizer.round_trip import HOSTILE_TEXTS

# Anything Unicode can write, with what means something to a tokenizer mixed in often.
ANY_TEXT = st.lists(
    st.text() | st.sampled_from([*SPECIAL_TOKENS, " ", "\n", "\r\n", "  \t", "Ġ", "the", "'ll", "1234", "é"])
).map("".join)


@given(ANY_TEXT)
def test_every_text_comes_back(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(ANY_TEXT)
def test_no_text_gives_a_special_id(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.special_ids.isdisjoint(tokenizer.encode(text))


@given(st.lists(ANY_TEXT, max_size=5))
def test_a_batch_is_each_by_itself(tokenizer: Tokenizer, many: list[str]) -> None:
    assert tokenizer.encode_batch(many) == [tokenizer.encode(text) for text in many]


@given(
    st.lists(st.sampled_from(["a", "Zß", " ", "  ", "\n", "\t", ".", "'s", "12", "你", "\x1c"])).map("".join)
)
def test_long_texts_in_pieces_give_the_ids_of_the_whole(tokenizer: Tokenizer, text: str) -> None:
    whole = tokenizer.backend.encode(text, add_special_tokens=False).ids
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenizer_module, "PIECE_CHARACTERS", 3)
        patch.setattr(tokenizer_module, "GROUP_CHARACTERS", 5)
        assert tokenizer.encode(text) == whole


def test_a_long_text_is_cut_at_all(tokenizer: Tokenizer, texts: list[str]) -> None:
    text = " ".join(texts)
    pieces = list(tokenizer_module._pieces([text, "short"]))
    assert len(pieces) > 2
    assert "".join(piece.text for piece in pieces) == text + "short"
    assert [piece.ends_text for piece in pieces[-2:]] == [True, True]


def test_lone_surrogates_become_replacement_characters(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode("a\ud800b")) == "a\ufffdb"
    assert tokenizer.decode(tokenizer.encode("\ud83d\ude00")) == "\N{GRINNING FACE}"


@given(st.lists(st.integers(0, 699)))
def test_any_ids_decode_as_the_library_does(tokenizer: Tokenizer, ids: list[int]) -> None:
    assert tokenizer.decode(ids) == tokenizer.backend.decode(ids, skip_special_tokens=True)


def test_half_a_character_is_replaced(tokenizer: Tokenizer) -> None:
    euro = [i for byte in "€".encode() for i in range(700) if tokenizer.token_bytes(i) == bytes([byte])]
    assert tokenizer.decode(euro) == "€"
    assert tokenizer.decode(euro[:2]) == "\ufffd"


def test_special_tokens_stand_for_no_text_unless_asked(tokenizer: Tokenizer) -> None:
    ids = [tokenizer.bos_id, *tokenizer.encode("hi"), tokenizer.im_end_id]
    assert tokenizer.decode(ids) == "hi"
    assert tokenizer.decode(ids, keep_special=True) == "<|endoftext|>hi<|im_end|>"
    assert tokenizer.token_bytes(tokenizer.bos_id) == b""


def test_bytes_of_tokens_add_up(tokenizer: Tokenizer, texts: list[str]) -> None:
    ids = tokenizer.encode(texts[0])
    assert sum(len(tokenizer.token_bytes(i)) for i in ids) == len(texts[0].encode())


def test_proof_counts_what_it_proved(tokenizer: Tokenizer) -> None:
    proof = prove_round_trip(tokenizer, ["é", "x"])
    assert (proof.num_texts, proof.num_bytes) == (2, 3)
    assert proof.bytes_per_token == pytest.approx(3 / proof.num_tokens)
    assert prove_round_trip(tokenizer).bytes_per_token is None


def test_proof_fails_where_a_text_is_lost(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tokenizer, "decode", lambda self, ids: self.backend.decode(ids).strip())
    with pytest.raises(WorkbenchError, match="does not give back"):
        prove_round_trip(tokenizer, ["x "])


def test_hostile_texts_hold_every_special_token() -> None:
    assert all(any(token in text for text in HOSTILE_TEXTS) for token in SPECIAL_TOKENS)
