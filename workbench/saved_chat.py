"""A conversation in a file: what `/save` writes and `/load` reads, at the prompt and in the app.

One JSON object, `{"messages": [{"role", "content"}, …]}`, with the roles of training data: system, user, assistant.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.chat_client import LONGEST_LINE
from workbench.errors import BadInput
from workbench.files import write_atomic

LONGEST_CHAT = LONGEST_LINE - 100
"""Bytes of the messages as JSON: they travel to the model in one line."""


def read_chat(path: Path) -> list[dict[str, str]]:
    """The messages that `path` holds. Raises BadInput when it cannot be read, is none, or is longer than any chat."""
    try:
        if not path.is_file() and path.exists():
            raise BadInput("is not a file", file=path)
        with path.open("rb") as file:
            text = file.read(LONGEST_CHAT + 1)
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}", file=path) from None
    if len(text) > LONGEST_CHAT:
        raise BadInput(
            "is too long for a conversation", file=path, fix=f"it has {LONGEST_CHAT:,} bytes at most"
        )
    try:
        messages = [_message(entry) for entry in json.loads(text)["messages"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        fix = 'it holds {"messages": [...]}, as /save writes it'
        raise BadInput("is not a saved conversation", file=path, fix=fix) from None
    if len(json.dumps(messages)) > LONGEST_CHAT:
        raise BadInput("is too long for a conversation", file=path, fix="cut its oldest messages off")
    return messages


def write_chat(path: Path, messages: Sequence[Mapping[str, str]], *, durable: bool = True) -> None:
    """Replace `path` by these messages, whole or not at all. Raises BadInput when it cannot be written."""
    text = json.dumps({"messages": list(messages)}, indent=1, ensure_ascii=False) + "\n"
    try:
        write_atomic(path, text.encode(errors="replace"), durable=durable)
    except OSError as error:
        raise BadInput(f"cannot be written: {error.strerror}", file=path) from None


def file_named(rest: str, *, example: str) -> Path:
    """The one file that `rest` of a command names, quoted as in a shell or not. Raises BadInput, with the `example`."""
    try:
        names = shlex.split(rest)
    except ValueError:
        names = [rest]
    if len(names) != 1:
        raise BadInput("write one file name", fix=f"for example {example}")
    return Path(names[0]).expanduser()


def _message(entry: Any) -> dict[str, str]:
    role, content = entry["role"], entry["content"]
    if not isinstance(role, str) or not isinstance(content, str):
        raise TypeError("a message is text")
    return {"role": role, "content": content}
