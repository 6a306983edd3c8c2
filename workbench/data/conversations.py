"""Conversations: what supervised fine-tuning learns from, read from the four shapes people write them in.

    messages            [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
    ShareGPT            conversations: [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}]
    Alpaca              instruction, input (may be empty), output
    prompt/completion   prompt, completion; also prompt/response and question/answer

Turns must alternate user, assistant after an optional system message and end with the assistant. A record
that does not is rejected with its reason; so are tool calls, which are not supported. Knows no tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from workbench.data.formats import (
    MAX_BAD_RECORDS,
    ExampleFile,
    Fields,
    Format,
    UnusableError,
    read_examples,
    text_of,
)

Role = Literal["system", "user", "assistant"]

ROLES: dict[str, Role] = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
}
TOOL_ROLES = {"tool", "function", "function_call", "tool_call", "observation", "tool_response"}


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns that alternate user, assistant after an optional system message, and end with the assistant.

    `heldout` says on which side of the split it belongs where the source decides that; None: by hash.
    """

    id: str
    messages: tuple[Message, ...]
    heldout: bool | None = None


def read_conversations(path: Path, *, max_bad_records: float = MAX_BAD_RECORDS) -> ExampleFile[Conversation]:
    """The conversations of `path`, the format detected, and the records rejected.

    Raises BadInput as `formats.read_examples` does.
    """
    return read_examples(path, CONVERSATION_FORMATS, max_bad_records=max_bad_records)


# -- turns: shared with preferences.py ---------------------------------------------------------------


def read_messages(value: Any) -> tuple[Message, ...]:
    """Messages from a list of {role, content} or {from, value}; an empty system message is left out.

    Raises UnusableError for anything else, unknown roles, and content that is empty or not text.
    """
    if not isinstance(value, list) or not value:
        raise UnusableError("the messages are not a list with at least one turn")
    messages = [_read_message(item, number) for number, item in enumerate(value, 1)]
    return tuple(message for message in messages if message is not None)


def _read_message(item: Any, number: int) -> Message | None:
    if not isinstance(item, dict):
        raise UnusableError(f"turn {number} is not an object with role and content")
    role_name = item.get("role", item.get("from"))
    content = item.get("content", item.get("value"))
    if role_name in TOOL_ROLES or item.get("tool_calls"):
        raise UnusableError(f"turn {number} is a tool call ({role_name}), which is not supported")
    role = ROLES.get(role_name) if isinstance(role_name, str) else None
    if role is None:
        raise UnusableError(f"turn {number} has the unknown role {str(role_name)[:40]!r}")
    if role == "system" and content in (None, ""):
        return None
    return Message(role, text_of(content, f"turn {number} ({role})"))


def check_turns(messages: Sequence[Message], *, last: Role) -> None:
    """Raise UnusableError unless turns alternate from the user on, after an optional system, to `last`."""
    turns = messages[1:] if messages and messages[0].role == "system" else messages
    for number, message in enumerate(turns):
        expected = "user" if number % 2 == 0 else "assistant"
        if message.role != expected:
            raise UnusableError(
                f"roles are out of order: turn {number + 1 + len(messages) - len(turns)} is {message.role}, "
                f"expected {expected}"
            )
    if not turns or turns[-1].role != last:
        raise UnusableError(f"the last turn is {turns[-1].role if turns else 'missing'}, expected {last}")


def system_message(fields: Fields) -> tuple[Message, ...]:
    """The message of a `system` key beside the turns, if there is one."""
    text = fields.get("system")
    return (Message("system", text_of(text, "system")),) if text else ()


def alpaca_prompt(fields: Fields) -> tuple[Message, ...]:
    """Alpaca's instruction and input as one user message, after its `system` and `history` if present."""
    instruction = text_of(fields["instruction"], "instruction").strip()
    extra = fields.get("input") or ""
    if extra:
        instruction = f"{instruction}\n\n{text_of(extra, 'input').strip()}"
    earlier: list[Message] = []
    for pair in fields.get("history") or ():
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise UnusableError("history is not a list of [question, answer] pairs")
        earlier += [
            Message("user", text_of(pair[0], "history")),
            Message("assistant", text_of(pair[1], "history")),
        ]
    return (*system_message(fields), *earlier, Message("user", instruction))


# -- the formats -------------------------------------------------------------------------------------


def _whole(identity: str, messages: Sequence[Message]) -> Conversation:
    check_turns(messages, last="assistant")
    return Conversation(identity, tuple(messages))


def _has(*keys: str) -> Any:
    return lambda fields: all(key in fields for key in keys)


def _from_list(key: str) -> Any:
    def convert(identity: str, fields: Fields) -> Conversation:
        if fields.get("label") is False:
            raise UnusableError("label is false: an example of what not to say")
        messages = read_messages(fields[key])
        if messages and messages[0].role != "system":
            messages = (*system_message(fields), *messages)
        return _whole(identity, messages)

    return convert


def _from_alpaca(identity: str, fields: Fields) -> Conversation:
    reply = text_of(fields["output"], "output (the assistant's turn)").strip()
    return _whole(identity, (*alpaca_prompt(fields), Message("assistant", reply)))


def _from_pair(prompt_key: str, reply_key: str) -> Any:
    def convert(identity: str, fields: Fields) -> Conversation:
        prompt, reply = fields[prompt_key], fields[reply_key]
        if isinstance(prompt, list):
            asked = read_messages(prompt)
        else:
            asked = (*system_message(fields), Message("user", text_of(prompt, prompt_key).strip()))
        if isinstance(reply, list):
            said = read_messages(reply)
        else:
            said = (Message("assistant", text_of(reply, f"{reply_key} (the assistant's turn)").strip()),)
        return _whole(identity, (*asked, *said))

    return convert


CONVERSATION_FORMATS: tuple[Format[Conversation], ...] = (
    Format("messages", "messages[] of role, content", _has("messages"), _from_list("messages")),
    Format("ShareGPT", "conversations[] of from, value", _has("conversations"), _from_list("conversations")),
    Format("Alpaca", "instruction, input, output", _has("instruction", "output"), _from_alpaca),
    *(
        Format(f"{prompt}/{reply}", f"{prompt}, {reply}", _has(prompt, reply), _from_pair(prompt, reply))
        for prompt, reply in (("prompt", "completion"), ("prompt", "response"), ("question", "answer"))
    ),
)
