"""Other people's tokenizers: made as their trainers make them, taken over, and compared with transformers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from workbench.errors import BadInput
from workbench.tokenizer import Tokenizer, adopt_tokenizer, render, stop_ids
from workbench.tokenizer.bpe import SPLIT_PATTERN

Backend = tokenizers.Tokenizer


def _gpt2(backend: Backend) -> list[str]:
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.post_processor = processors.ByteLevel(trim_offsets=False)
    return ["<|endoftext|>"]


def _qwen(backend: Backend) -> list[str]:
    backend.normalizer = normalizers.NFC()
    pattern = tokenizers.Regex(SPLIT_PATTERN.replace("{1,3}", ""))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(pattern, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def _llama3(backend: Backend) -> list[str]:
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(SPLIT_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"]


def _smollm(backend: Backend) -> list[str]:
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    return ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>"]


FAMILIES = {"gpt2": _gpt2, "qwen": _qwen, "llama3": _llama3, "smollm": _smollm}


def write(folder: Path, texts: list[str], family: Callable[[Backend], list[str]]) -> Path:
    backend = Backend(models.BPE())
    special = family(backend)
    backend.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    # As these families have it: special tokens behind the learned ones.
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator(texts, trainer)
    backend.add_special_tokens(special)
    backend.save(str(folder / "tokenizer.json"))
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_ids_stay_and_what_chats_need_is_added_behind_them(
    tmp_path: Path, texts: list[str], family: str
) -> None:
    write(tmp_path, texts, FAMILIES[family])
    theirs = Backend.from_file(str(tmp_path / "tokenizer.json"))
    adopted = adopt_tokenizer(tmp_path)
    ours = adopted.tokenizer
    assert adopted.known_ids == theirs.get_vocab_size()
    lacks = () if family in ("qwen", "smollm") else ("<|im_start|>", "<|im_end|>")
    assert adopted.added == lacks
    assert ours.vocab_size == adopted.known_ids + len(lacks)
    for text in (*texts[:5], "1234 cafés, don't\n\n  so"):
        assert ours.encode(text) == theirs.encode(text, add_special_tokens=False).ids
        assert ours.decode(ours.encode(text)) == text


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_adopted_is_saved_whole(tmp_path: Path, texts: list[str], family: str) -> None:
    ours = adopt_tokenizer(write(tmp_path, texts, FAMILIES[family])).tokenizer
    ours.save(tmp_path / "saved")
    again = Tokenizer.load(tmp_path / "saved")
    assert (again.bos_id, again.pad_id, stop_ids(again)) == (ours.bos_id, ours.pad_id, stop_ids(ours))
    assert again.encode_batch(texts) == ours.encode_batch(texts)

    messages = [{"role": "user", "content": "Hi 12"}, {"role": "assistant", "content": "Ho!"}]
    theirs = PreTrainedTokenizerFast.from_pretrained(tmp_path / "saved")
    rendered = render(again, [Said(**message) for message in messages])
    assert theirs.apply_chat_template(messages, return_dict=True)["input_ids"] == rendered.ids


class Said:
    def __init__(self, role: str, content: str) -> None:
        self.role, self.content = role, content


def test_the_end_of_a_document_stops_a_reply(tmp_path: Path, texts: list[str]) -> None:
    llama3 = adopt_tokenizer(write(tmp_path, texts, _llama3)).tokenizer
    assert llama3.bos_id == llama3.special_id("<|begin_of_text|>")
    assert stop_ids(llama3) == (llama3.im_end_id, llama3.special_id("<|end_of_text|>"))
    assert llama3.pad_id == llama3.special_id("<|end_of_text|>")


def test_ids_beyond_the_vocabulary_say_nothing(tmp_path: Path, texts: list[str]) -> None:
    ours = adopt_tokenizer(write(tmp_path, texts, _gpt2)).tokenizer
    assert ours.decode([*ours.encode("a"), ours.vocab_size + 7]) == "a"
    assert ours.decode([ours.vocab_size], keep_special=True) == ""


def test_text_that_is_not_in_normal_form_comes_back_too(tmp_path: Path, texts: list[str]) -> None:
    ours = adopt_tokenizer(write(tmp_path, texts, _qwen)).tokenizer
    assert ours.decode(ours.encode("e\u0301")) == "e\u0301"


def _sentencepiece(content: dict[str, Any]) -> None:
    content["normalizer"] = {"type": "Prepend", "prepend": "▁"}


def _nothing_begins_a_document(content: dict[str, Any]) -> None:
    content["added_tokens"][0]["content"] = "[CLS]"


def _eats_spaces(content: dict[str, Any]) -> None:
    token = {"id": 401, "content": "<mask>", "lstrip": True, "rstrip": False, "special": False}
    content["added_tokens"].append(token | {"single_word": False, "normalized": False})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_sentencepiece, "normalises"),
        (_nothing_begins_a_document, r"lacks the special tokens <\|endoftext\|>"),
        (_eats_spaces, "white space"),
        (lambda content: content.pop("added_tokens"), "not a BPE tokenizer"),
        (lambda content: content["added_tokens"].append(7), "no id or no content"),
    ],
)
def test_what_cannot_be_taken_is_said_in_one_line(
    tmp_path: Path, texts: list[str], damage: Callable[[dict[str, Any]], None], message: str
) -> None:
    path = write(tmp_path, texts, _gpt2) / "tokenizer.json"
    content = json.loads(path.read_text())
    damage(content)
    path.write_text(json.dumps(content))
    with pytest.raises(BadInput, match=message) as caught:
        adopt_tokenizer(tmp_path)
    assert "\n" not in str(caught.value)
