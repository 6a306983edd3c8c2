"""A tokenizer in the words of a GGUF file, as llama.cpp reads them.

llama.cpp's own converter tells a split pattern by a hash over the ids of a sample text, and so refuses every vocabulary
that it has not seen (`BPE pre-tokenizer was not recognized`). Here the pattern itself says its name.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from workbench.errors import BadInput
from workbench.tokenizer.bpe import SPLIT_PATTERN
from workbench.tokenizer.chat import PLAIN_CHAT_TEMPLATE
from workbench.tokenizer.tokenizer import Tokenizer

# Llama 3's pattern has two names there. "llama-bpe" takes a whole word that is in the vocabulary without merging, as
# Llama 3's own tokenizer says it should; "dbrx" merges.
_PATTERNS = {SPLIT_PATTERN: "dbrx", SPLIT_PATTERN.replace(r"\p{N}{1,3}", r"\p{N}"): "qwen2"}
_WITHOUT_MERGING = {"dbrx": "llama-bpe"}
_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED = 1, 3, 4, 5


def tokenizer_pairs(
    tokenizer: Tokenizer, *, rows: int
) -> dict[str, int | float | str | Sequence[str] | Sequence[int]]:
    """What the file says of the tokenizer, for a model whose embedding has so many `rows`.

    Raises BadInput for a split pattern that llama.cpp has no name for.
    """
    content = json.loads(tokenizer.backend.to_str())
    words = {token_id: word for word, token_id in content["model"]["vocab"].items()}
    types = dict.fromkeys(words, _NORMAL)
    for token in content["added_tokens"]:
        words[token["id"]] = token["content"]
        types[token["id"]] = _CONTROL if token["special"] else _USER_DEFINED
    for token_id in range(len(words), rows):  # a model may have more rows than its tokenizer has words
        words[token_id], types[token_id] = f"[UNUSED{token_id}]", _UNUSED
    merges = content["model"]["merges"]
    return {
        "tokenizer.ggml.model": "gpt2",  # byte-level BPE
        "tokenizer.ggml.pre": pattern_name(
            content["pre_tokenizer"], ignores_merges=bool(content["model"].get("ignore_merges"))
        ),
        "tokenizer.ggml.tokens": [words[token_id] for token_id in range(len(words))],
        "tokenizer.ggml.token_type": [types[token_id] for token_id in range(len(words))],
        "tokenizer.ggml.merges": [each if isinstance(each, str) else " ".join(each) for each in merges],
        "tokenizer.ggml.bos_token_id": tokenizer.bos_id,
        "tokenizer.ggml.eos_token_id": tokenizer.im_end_id,
        "tokenizer.ggml.padding_token_id": tokenizer.pad_id,
        "tokenizer.ggml.add_bos_token": True,  # every document begins with it, in training as here
        "tokenizer.chat_template": PLAIN_CHAT_TEMPLATE,
    }


def pattern_name(pre_tokenizer: object, *, ignores_merges: bool) -> str:
    """llama.cpp's name of how text is split. Raises BadInput where it has none."""
    name: str | None = None
    match pre_tokenizer:
        case {"type": "ByteLevel"}:
            name = "gpt-2"
        case {"pretokenizers": [{"type": "Digits"}, {"type": "ByteLevel"}]}:
            name = "smollm"
        case {
            "pretokenizers": [{"type": "Split", "pattern": {"Regex": str(pattern)}}, {"type": "ByteLevel"}]
        }:
            name = _PATTERNS.get(pattern)
    if name is not None and ignores_merges:
        name = _WITHOUT_MERGING.get(name)
    if name is None:
        raise BadInput("llama.cpp has no name for how this tokenizer splits text", fix="use --to hf")
    return name
