"""Other people's tools read our folder and get our ids and our masks."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.tokenizer import CHAT_TEMPLATE, SPECIAL_TOKENS, Tokenizer, render

transformers = pytest.importorskip("transformers")


@dataclasses.dataclass(frozen=True)
class Said:
    role: str
    content: str


@pytest.fixture(scope="module")
def theirs(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("hf")
    tokenizer.save(folder)
    return transformers.AutoTokenizer.from_pretrained(folder)


PLAIN = st.text().filter(lambda text: not any(token in text for token in SPECIAL_TOKENS))


@given(PLAIN)
def test_same_ids_of_ordinary_text(tokenizer: Tokenizer, theirs: Any, text: str) -> None:
    assert theirs(text, add_special_tokens=False)["input_ids"] == tokenizer.encode(text)


def test_a_text_begins_as_in_training(tokenizer: Tokenizer, theirs: Any, texts: list[str]) -> None:
    assert theirs(texts)["input_ids"] == [[tokenizer.bos_id, *ids] for ids in tokenizer.encode_batch(texts)]
    spelled = theirs.apply_chat_template([{"role": "user", "content": "x"}], tokenize=False)
    once = theirs(spelled, add_special_tokens=False)["input_ids"]
    assert once.count(tokenizer.bos_id) == 1 and once[0] == tokenizer.bos_id


def test_same_ids_of_real_text(tokenizer: Tokenizer, theirs: Any, texts: list[str]) -> None:
    assert theirs(texts, add_special_tokens=False)["input_ids"] == tokenizer.encode_batch(texts)
    assert theirs.decode(tokenizer.encode(texts[0])) == texts[0]


@given(
    system=st.none() | PLAIN,
    turns=st.lists(st.tuples(PLAIN, PLAIN), min_size=1, max_size=3),
    open_ended=st.booleans(),
)
def test_same_chat_and_same_mask(
    tokenizer: Tokenizer, theirs: Any, system: str | None, turns: list[tuple[str, str]], open_ended: bool
) -> None:
    conversation = [] if system is None else [Said("system", system)]
    for question, answer in turns:
        conversation += [Said("user", question), Said("assistant", answer)]
    conversation = conversation[:-1] if open_ended else conversation
    ours = render(tokenizer, conversation, add_generation_prompt=open_ended)
    rendered = theirs.apply_chat_template(
        [dataclasses.asdict(said) for said in conversation],
        add_generation_prompt=open_ended,
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    assert rendered["input_ids"] == ours.ids
    assert [bool(is_learned) for is_learned in rendered["assistant_masks"]] == ours.learned


def test_special_tokens_have_their_jobs(tokenizer: Tokenizer, theirs: Any) -> None:
    assert theirs.bos_token_id == tokenizer.bos_id
    assert theirs.eos_token_id == tokenizer.im_end_id
    assert theirs.pad_token_id == tokenizer.pad_id
    assert set(theirs.all_special_ids) == tokenizer.special_ids
    assert theirs.chat_template == CHAT_TEMPLATE
    assert len(theirs) == tokenizer.vocab_size
