"""Somebody else's tokenizer.json, made one that can hold conversations here; the ids it has stay what they are.

What is missing of the chat format is added behind the last id: for a model those are rows nobody has learned yet.
Whatever chat template the folder has is left behind: here there is one format (chat.py), and it is learned again.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from workbench.tokenizer.chat import CHAT_TOKENS
from workbench.tokenizer.folder import proved_tokenizer, read_content
from workbench.tokenizer.tokenizer import Tokenizer


@dataclasses.dataclass(frozen=True, slots=True)
class Adopted:
    """The tokenizer, how many ids it came with, and the special tokens that were added behind them."""

    tokenizer: Tokenizer
    known_ids: int
    added: tuple[str, ...]


def adopt_tokenizer(folder: Path) -> Adopted:
    """The tokenizer of `folder`, with the tokens of the chat format added where it lacks them.

    Raises NotFound, or BadInput when it is no byte-level BPE that we can compute, one line each.
    """
    path = folder / "tokenizer.json"
    content = read_content(path)
    added = _add_chat_tokens(content)
    tokenizer = proved_tokenizer(content, path=path)
    return Adopted(tokenizer, tokenizer.vocab_size - len(added), added)


def _add_chat_tokens(content: Any) -> tuple[str, ...]:
    """Add to a parsed tokenizer.json what the chat format needs and it lacks; gives what it was.

    Of a file that is none nothing is changed: whoever proves it will say so.
    """
    match content:
        case {"model": {"vocab": dict(vocab)}, "added_tokens": list(listed)} if all(
            isinstance(token, dict) and isinstance(token.get("content"), str) for token in listed
        ):
            pass
        case _:
            return ()
    known = {*vocab, *(token["content"] for token in listed)}
    missing = tuple(token for token in CHAT_TOKENS if token not in known)
    for token_id, token in enumerate(missing, start=len(known)):
        flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        listed.append({"id": token_id, "content": token, **flags, "special": True})
    content["post_processor"] = None  # what is written around a text is ours
    return missing
