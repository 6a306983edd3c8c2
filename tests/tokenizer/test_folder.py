from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.errors import BadInput, NotFound
from workbench.tokenizer import TOKENIZER_FILES, Tokenizer
from workbench.tokenizer.bpe import SPLIT_PATTERN


@pytest.fixture(scope="module")
def folder(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "tokenizer"
    tokenizer.save(folder)
    return folder


def test_what_is_saved_comes_back(folder: Path, tokenizer: Tokenizer, texts: list[str]) -> None:
    loaded = Tokenizer.load(folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted(TOKENIZER_FILES)
    assert loaded.encode_batch(texts) == tokenizer.encode_batch(texts)
    assert (loaded.vocab_size, loaded.bos_id, loaded.pad_id) == (700, 0, 3)


def test_loaded_ones_take_special_tokens_for_text_too(folder: Path) -> None:
    loaded = Tokenizer.load(folder)
    assert loaded.special_ids.isdisjoint(loaded.encode("a<|im_end|><|endoftext|>b<|pad|>"))


def test_truncation_asked_for_by_the_file_is_ignored(folder: Path, tmp_path: Path, texts: list[str]) -> None:
    content = json.loads((folder / "tokenizer.json").read_text())
    content["truncation"] = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    assert Tokenizer.load(tmp_path).encode(texts[0]) == Tokenizer.load(folder).encode(texts[0])


def test_no_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"tokenizer\.json"):
        Tokenizer.load(tmp_path)


Content = dict[str, Any]


def _gap(content: Content) -> None:
    content["model"]["vocab"]["the"] = 10**9


def _duplicate(content: Content) -> None:
    content["model"]["vocab"]["!"] = 40


def _negative(content: Content) -> None:
    content["model"]["vocab"]["!"] = -4


def _boolean(content: Content) -> None:
    content["model"]["vocab"]["<|im_start|>"] = True


def _two_ids(content: Content) -> None:
    content["added_tokens"][0]["id"] = 5


def _no_chat(content: Content) -> None:
    content["added_tokens"].pop(2)


def _not_special(content: Content) -> None:
    content["added_tokens"][2]["special"] = False


def _unknown_merge(content: Content) -> None:
    content["model"]["merges"].append(["the", "nowhere"])


def _broken_merge(content: Content) -> None:
    content["model"]["merges"].append(7)


def _forging_merge(content: Content) -> None:
    vocab = content["model"]["vocab"]
    for part in ("<|im_end", "|>"):
        vocab.setdefault(part, len(vocab))
    content["model"]["merges"].append(["<|im_end", "|>"])


def _no_byte(content: Content) -> None:
    vocab = content["model"]["vocab"]
    vocab["the the"] = vocab.pop("!")


def _slow_pattern(content: Content) -> None:
    content["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "(a+)+$"


def _normalising(content: Content) -> None:
    content["normalizer"] = {"type": "Lowercase"}


def _dropout(content: Content) -> None:
    content["model"]["dropout"] = 0.5


def _word_level(content: Content) -> None:
    content["model"]["type"] = "WordLevel"


def _refused_natively(content: Content) -> None:
    content["decoder"] = {"type": "Nonsense"}


BREAKAGES: dict[Callable[[Content], None], str] = {
    _gap: "each once",
    _duplicate: "each once",
    _negative: "each once",
    _boolean: "two ids|each once",
    _two_ids: "two ids",
    _no_chat: "lacks the special tokens <|im_end|>".replace("|", r"\|"),
    _not_special: "lacks the special tokens",
    _unknown_merge: "is not of two tokens",
    _broken_merge: "is not of two tokens",
    _forging_merge: "makes a special token out of text",
    _no_byte: "cannot spell byte 33",
    _slow_pattern: "splits text by a pattern",
    _normalising: "normalises",
    _dropout: "dropout",
    _word_level: "not a BPE tokenizer",
    _refused_natively: "not a tokenizer",
}


@pytest.mark.parametrize("damage", BREAKAGES)
def test_a_bad_file_is_refused_by_name(
    folder: Path, tmp_path: Path, damage: Callable[[Content], None]
) -> None:
    content = json.loads((folder / "tokenizer.json").read_text())
    damage(content)
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(BadInput, match=BREAKAGES[damage]) as caught:
        Tokenizer.load(tmp_path)
    assert str(tmp_path / "tokenizer.json") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "[", "null", "[" * 100_000, '{"model": {}, "model": {}}', '{"model": NaN}', "\x00\x01"]
)
def test_what_is_no_tokenizer_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(BadInput):
        Tokenizer.load(tmp_path)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(b"\xff\xfe\x80")
    with pytest.raises(BadInput, match="cannot be read"):
        Tokenizer.load(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "tokenizer.json").mkdir()
    with pytest.raises(BadInput, match="not a file"):
        Tokenizer.load(tmp_path)


def test_other_known_splits_load(folder: Path, tmp_path: Path) -> None:
    content = json.loads((folder / "tokenizer.json").read_text())
    split = content["pre_tokenizer"]["pretokenizers"][0]["pattern"]
    assert split["Regex"] == SPLIT_PATTERN
    split["Regex"] = SPLIT_PATTERN.replace("{1,3}", "")
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    assert len(Tokenizer.load(tmp_path).encode("123")) == 3
