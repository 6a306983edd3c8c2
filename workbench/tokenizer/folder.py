"""A tokenizer as the files other people's tools read, and such files as a tokenizer.

A tokenizer.json may come from a stranger. It is checked as plain JSON before the native parser sees it, which
by itself accepts gaps and duplicates among the ids, compiles any regular expression and may panic.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tokenizers

from workbench.errors import BadInput, NotFound, WorkbenchError
from workbench.files import write_atomic
from workbench.tokenizer.bpe import SPLIT_PATTERN
from workbench.tokenizer.chat import (
    CHAT_TEMPLATE,
    CHAT_TOKENS,
    DOCUMENT_TOKENS,
    EOS_TOKEN,
    IM_START,
    SpecialNames,
)
from workbench.tokenizer.round_trip import prove_round_trip
from workbench.tokenizer.tokenizer import BYTE_OF, Tokenizer

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
)
"""The files `save_tokenizer` writes: what a model folder carries along."""

MAX_FILE_BYTES = 100_000_000  # tokenizer.json of a vocabulary of 260,000 is 33 MB
MAX_VOCAB_SIZE = 1_000_000

# What makes an added token eat what stands beside it.
_GREEDY = ("lstrip", "rstrip", "single_word")
# Regular expressions we are willing to run over text. A pattern from a stranger can take exponential time.
_KNOWN_PATTERNS = {
    SPLIT_PATTERN,  # also Llama 3
    SPLIT_PATTERN.replace(r"\p{N}{1,3}", r"\p{N}"),  # Qwen 2 and 3
}


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write `TOKENIZER_FILES` into `folder`, made if absent. Raises NoSpace when the disk refuses."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in tokenizer.files.items():
        write_atomic(folder / name, content)


def tokenizer_files(tokenizer: Tokenizer) -> dict[str, bytes]:
    """What stands in each of `TOKENIZER_FILES`."""
    special = {
        "bos_token": tokenizer.names.begin,
        "eos_token": EOS_TOKEN,
        "pad_token": tokenizer.names.pad,
        "additional_special_tokens": [IM_START],
    }
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **special,
        "add_bos_token": True,  # before plain text; the chat template writes its own, as Llama 3's does
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }
    texts = (
        tokenizer.backend.to_str(pretty=True) + "\n",
        json.dumps(config, indent=2) + "\n",
        json.dumps(special, indent=2) + "\n",
        CHAT_TEMPLATE,
    )
    return {name: text.encode() for name, text in zip(TOKENIZER_FILES, texts, strict=True)}


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of `folder/tokenizer.json`; no other file is read.

    Raises NotFound when it is not there, BadInput when it is not a byte-level BPE with special tokens for documents
    and turns, or does not give hostile text back.
    """
    path = folder / "tokenizer.json"
    return proved_tokenizer(read_content(path), path=path)


def read_content(path: Path) -> Any:
    """The JSON of a tokenizer.json, whatever it holds. Raises NotFound or BadInput."""
    return _parse_json(_read(path), path=path)


def proved_tokenizer(content: Any, *, path: Path) -> Tokenizer:
    """The tokenizer that `content`, the JSON of the file `path`, describes. Raises BadInput, naming the file.

    Unicode normal form C (Qwen's) is left out: our corpora are in it, so that their ids are the same, and other
    text must come back as it was.
    """
    if isinstance(content, dict) and content.get("normalizer") == {"type": "NFC"}:
        content = {**content, "normalizer": None}
    problem = _problem(content)
    if problem is not None:
        raise BadInput(problem, file=path, fix=_WAY_OUT)
    tokenizer = Tokenizer(_parse_native(json.dumps(content), path=path))
    try:
        prove_round_trip(tokenizer)
    except WorkbenchError as error:
        raise BadInput(error.message, file=path, fix=_WAY_OUT) from None
    return tokenizer


_WAY_OUT = "train a tokenizer here, or fetch this one again from where it came"


def _read(path: Path) -> str:
    if not path.exists():
        raise NotFound(
            "there is no tokenizer.json", file=path.parent, fix="give a folder in Hugging Face format"
        )
    if not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:
        raise BadInput(f"not a file of at most {MAX_FILE_BYTES} bytes", file=path, fix=_WAY_OUT)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot be read ({error})", file=path, fix=_WAY_OUT) from None


def _parse_json(text: str, *, path: Path) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        # json keeps the last of two equal keys; another parser may keep the first.
        if len(content := dict(pairs)) < len(pairs):
            raise ValueError("a key stands there twice")
        return content

    try:
        return json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"not JSON ({error})", file=path, fix=_WAY_OUT) from None


def _parse_native(text: str, *, path: Path) -> tokenizers.Tokenizer:
    try:
        return tokenizers.Tokenizer.from_str(text)
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # a panic of the native parser is not an Exception
        first_line = str(error).partition("\n")[0][:200]
        raise BadInput(f"not a tokenizer ({first_line})", file=path, fix=_WAY_OUT) from None


def _problem(content: Any) -> str | None:
    """What is wrong with a parsed tokenizer.json, or None."""
    match content:
        case {
            "model": {"type": "BPE", "vocab": dict(vocab), "merges": list(merges)},
            "added_tokens": list(added),
        }:
            pass
        case _:
            return "not a BPE tokenizer of the `tokenizers` library"
    if content.get("normalizer") is not None:
        return "it normalises text, so that text would not come back unchanged"
    for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if content["model"].get(key):
            return f"it uses {key}, which byte-level BPE does not"
    return (
        _problem_of_ids(vocab, added)
        or _problem_of_special_tokens(added)
        or _problem_of_spelling(vocab, merges, {token["content"] for token in added})
        or _problem_of_split(content.get("pre_tokenizer"))
    )


def _problem_of_ids(vocab: dict[str, Any], added: list[Any]) -> str | None:
    ids = dict(vocab)
    for token in added:
        match token:
            case {"id": int(token_id), "content": str(written)}:
                if ids.setdefault(written, token_id) != token_id:
                    return f"token {written!r} has two ids, {ids[written]} and {token_id}"
            case _:
                return f"added token {token!r} has no id or no content"
    if len(ids) > MAX_VOCAB_SIZE:
        return f"{len(ids)} tokens are more than {MAX_VOCAB_SIZE}"
    if any(type(token_id) is not int for token_id in ids.values()) or set(ids.values()) != set(
        range(len(ids))
    ):
        return f"the ids are not 0 to {len(ids) - 1}, each once"
    return None


def _problem_of_special_tokens(added: list[Any]) -> str | None:
    special = {token["content"] for token in added if token.get("special") is True}
    missing = [token for token in CHAT_TOKENS if token not in special]
    if SpecialNames.among(special) is None:
        missing.insert(0, next(iter(DOCUMENT_TOKENS)))
    if missing:
        return f"it lacks the special tokens {' '.join(missing)}"
    for token in added:
        if token.get("special") is not True and any(token.get(key) for key in _GREEDY):
            return f"added token {token['content']!r} takes the white space around it along"
    return None


def _problem_of_spelling(vocab: dict[str, Any], merges: list[Any], added: set[str]) -> str | None:
    for character in BYTE_OF:
        if character not in vocab:
            return f"it cannot spell byte {BYTE_OF[character]}"
    for token in vocab:
        if token not in added and not BYTE_OF.keys() >= set(token):
            return f"token {token!r} is not written in the byte-level alphabet"
    for merge in merges:
        pair = merge.split(" ") if isinstance(merge, str) else merge
        match pair:
            case [str(left), str(right)] if left in vocab and right in vocab and left + right in vocab:
                if left + right in added:
                    return f"merge {merge!r} makes a special token out of text"
            case _:
                return f"merge {merge!r} is not of two tokens into a third"
    return None


def _problem_of_split(pre_tokenizer: Any) -> str | None:
    match pre_tokenizer:
        case {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}:  # GPT-2
            return None
        case {  # SmolLM
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Digits", "individual_digits": True},
                {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
            ],
        }:
            return None
        case {
            "type": "Sequence",
            "pretokenizers": [
                {
                    "type": "Split",
                    "pattern": {"Regex": str(pattern)},
                    "behavior": "Isolated",
                    "invert": False,
                },
                {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
            ],
        } if pattern in _KNOWN_PATTERNS:
            return None
    return "it splits text by a pattern that is not one of those we know (ours, Llama 3, Qwen, GPT-2, SmolLM)"
