"""Preferences: one prompt, a better and a worse reply, read from the shapes people write them in.

    prompt/chosen/rejected   prompt as text or messages; replies as text, one message or whole conversations
    shared prefix            chosen and rejected only: two conversations that differ in the last turn, as
                             message lists or as transcripts, "\\n\\nHuman: … \\n\\nAssistant: …"
                             (Anthropic's HH, Bai et al. 2022)
    Alpaca preference        instruction, input, chosen, rejected
    ShareGPT preference      conversations that end with the user; chosen and rejected as {from, value}

A pair whose replies are equal says nothing and is left out. Unpaired judgements (KTO) are refused with a word
on what is needed. Knows no tokens.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.data.conversations import (
    Message,
    alpaca_prompt,
    check_turns,
    read_messages,
    system_message,
)
from workbench.data.formats import (
    MAX_BAD_RECORDS,
    ExampleFile,
    Fields,
    Format,
    RefusedFormat,
    UninformativeError,
    UnusableError,
    read_examples,
    text_of,
)


@dataclass(frozen=True, slots=True)
class Preference:
    """A prompt that ends with a user message, the reply people preferred and the one they did not.

    `heldout` says on which side of the split it belongs where the source decides that; None: by hash.
    """

    id: str
    prompt: tuple[Message, ...]
    chosen: str
    rejected: str
    heldout: bool | None = None


def read_preferences(path: Path, *, max_bad_records: float = MAX_BAD_RECORDS) -> ExampleFile[Preference]:
    """The preference pairs of `path`, the format detected, and the records rejected.

    Raises BadInput as `formats.read_examples` does, and for a file of unpaired judgements.
    """
    return read_examples(path, PREFERENCE_FORMATS, refused=REFUSED_FORMATS, max_bad_records=max_bad_records)


_TRANSCRIPT_TURN = re.compile(r"\n\n(Human|Assistant):")


def read_transcript(text: str) -> tuple[Message, ...]:
    """Messages of a "\\n\\nHuman: … \\n\\nAssistant: …" transcript. Raises UnusableError when it is none."""
    before, *pieces = _TRANSCRIPT_TURN.split(text if text.startswith("\n\n") else f"\n\n{text.lstrip()}")
    if before.strip() or not pieces:
        raise UnusableError("the text is not a transcript of Human: and Assistant: turns")
    speakers, contents = pieces[0::2], pieces[1::2]
    return tuple(
        Message("user" if speaker == "Human" else "assistant", text_of(content, f"turn {number}").strip())
        for number, (speaker, content) in enumerate(zip(speakers, contents, strict=True), 1)
    )


def _pair(identity: str, prompt: tuple[Message, ...], chosen: str, rejected: str) -> Preference:
    check_turns(prompt, last="user")
    if chosen.strip() == rejected.strip():
        raise UninformativeError("chosen and rejected are the same reply")
    return Preference(identity, prompt, chosen.strip(), rejected.strip())


def _turns(value: Any, what: str) -> tuple[Message, ...]:
    """A conversation from a message list, one message object or a transcript."""
    if isinstance(value, list):
        return read_messages(value)
    if isinstance(value, dict):
        return read_messages([value])
    return read_transcript(text_of(value, what))


def _reply(value: Any, what: str, prompt: tuple[Message, ...]) -> str:
    """The reply to `prompt`: text, one message, or a conversation that repeats the prompt before it."""
    if isinstance(value, str):
        return text_of(value, what)
    turns = _turns(value, what)
    if turns[-1:] == () or turns[-1].role != "assistant":
        raise UnusableError(f"{what} does not end with the assistant")
    if len(turns) > 1 and turns[:-1] != prompt:
        raise UnusableError(f"{what} repeats another conversation than the prompt")
    return turns[-1].content


def _from_prompt(identity: str, fields: Fields) -> Preference:
    asked = fields["prompt"]
    if isinstance(asked, list):
        prompt = read_messages(asked)
    elif isinstance(asked, str) and asked.startswith("\n\nHuman:"):
        prompt = read_transcript(asked.removesuffix("\n\nAssistant:"))
    else:
        prompt = (*system_message(fields), Message("user", text_of(asked, "prompt").strip()))
    chosen, rejected = (_reply(fields[side], side, prompt) for side in ("chosen", "rejected"))
    return _pair(identity, prompt, chosen, rejected)


def _from_shared_prefix(identity: str, fields: Fields) -> Preference:
    chosen, rejected = (_turns(fields[side], side) for side in ("chosen", "rejected"))
    for side, turns in (("chosen", chosen), ("rejected", rejected)):
        check_turns(turns, last="assistant")
        if len(turns) < 2:
            raise UnusableError(f"{side} holds no prompt before the reply")
    if chosen[:-1] != rejected[:-1]:
        raise UnusableError("chosen and rejected differ before the last turn")
    return _pair(identity, chosen[:-1], chosen[-1].content, rejected[-1].content)


def _from_alpaca(identity: str, fields: Fields) -> Preference:
    prompt = alpaca_prompt(fields)
    chosen, rejected = (_reply(fields[side], side, prompt) for side in ("chosen", "rejected"))
    return _pair(identity, prompt, chosen, rejected)


def _from_sharegpt(identity: str, fields: Fields) -> Preference:
    prompt = read_messages(fields["conversations"])
    if prompt[:1] and prompt[0].role != "system":
        prompt = (*system_message(fields), *prompt)
    chosen, rejected = (_reply(fields[side], side, prompt) for side in ("chosen", "rejected"))
    return _pair(identity, prompt, chosen, rejected)


def _paired_with(key: str) -> Any:
    return lambda fields: key in fields and "chosen" in fields and "rejected" in fields


def _is_unpaired(fields: Fields) -> bool:
    return "chosen" not in fields and ("label" in fields or "kto_tag" in fields)


PREFERENCE_FORMATS: tuple[Format[Preference], ...] = (
    Format("prompt/chosen/rejected", "prompt, chosen, rejected", _paired_with("prompt"), _from_prompt),
    Format(
        "ShareGPT preference",
        "conversations[], chosen, rejected",
        _paired_with("conversations"),
        _from_sharegpt,
    ),
    Format(
        "Alpaca preference", "instruction, input, chosen, rejected", _paired_with("instruction"), _from_alpaca
    ),
    Format("shared prefix", "chosen, rejected", _paired_with("chosen"), _from_shared_prefix),
)
REFUSED_FORMATS = (
    RefusedFormat(
        _is_unpaired,
        "holds single replies with a label (KTO), not pairs",
        fix="DPO needs two replies to one prompt: chosen and rejected",
    ),
)
