"""A model in a process of its own: JSON lines in, JSON lines out (the protocol is in `workbench.chat_client`).

    python -m workbench.cli.chat_server REF --home HOME

Holds the model, the conversation and the sampling settings. The REPL, the chat screen and
`workbench chat --json` are views of it. Knows no terminal.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import queue
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.chat_client import LONGEST_LINE
from workbench.cli.speaker import ModelSpeaker, Speaker, sampling_of
from workbench.data.conversations import ROLES, Message
from workbench.errors import BadInput, ExitCode, WorkbenchError
from workbench.runs import find_home
from workbench.safe_text import one_line

DEFAULTS: dict[str, Any] = {
    "temperature": 0.0,
    "top_k": 0,
    "top_p": 1.0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "max_new_tokens": 200,
    "seed": 0,
    "stop": [],
}
REQUESTS = ("user", "regenerate", "stop", "set", "system", "reset", "load", "messages")
LONGEST_TEXT = 1_000_000


class ChatSession:
    """One conversation: takes requests, yields answers. Knows the protocol, not where the lines come from."""

    def __init__(self, speaker: Speaker, *, name: str, system: str | None = None) -> None:
        self._speaker = speaker
        self._name = name
        self._settings: dict[str, Any] = dict(DEFAULTS)
        self._messages: list[Message] = [Message("system", system)] if system else []
        self._has_just_replied = False

    def ready(self) -> dict[str, Any]:
        """The first line the other side gets."""
        return {
            "type": "ready",
            "model": self._name,
            "context_length": self._speaker.context_length,
            "settings": self._settings,
        }

    def answer(self, request: Mapping[str, Any], stop: Callable[[], bool]) -> Iterator[dict[str, Any]]:
        """The lines that answer one request. A bad one is answered by `error` and changes nothing."""
        self._has_just_replied = False
        try:
            yield from self._answer(request, stop)
        except WorkbenchError as error:
            yield {"type": "error", "message": str(error)}

    def forget_after(self, characters: int) -> None:
        """Keep so many characters of the reply that was the last answer: who stopped it was shown no more."""
        if self._has_just_replied:
            self._messages[-1] = Message("assistant", self._messages[-1].content[:characters])

    def _answer(self, request: Mapping[str, Any], stop: Callable[[], bool]) -> Iterator[dict[str, Any]]:
        kind = request.get("type")
        if kind == "user":
            text = _text(request)
            if not text.strip():
                raise BadInput("an empty message says nothing", fix="give it a text")
            yield from self._speak([*self._messages, Message("user", text)], stop)
        elif kind == "regenerate":
            messages = list(self._messages)
            if not messages or messages[-1].role != "assistant":
                raise BadInput("there is no reply to make again", fix="say something first")
            yield from self._speak(messages[:-1], stop)
        elif kind == "set":
            self._set(str(request.get("key")), request.get("value"))
            yield {"type": "settings", "settings": self._settings}
        elif kind == "system":
            text = _text(request)
            self._messages = [Message("system", text)] if text else []
            yield self._conversation()
        elif kind == "reset":
            self._messages = [message for message in self._messages[:1] if message.role == "system"]
            yield self._conversation()
        elif kind == "load":
            self._messages = _messages(request.get("messages"))
            yield self._conversation()
        elif kind == "messages":
            yield self._conversation()
        elif kind is None:
            raise BadInput(
                "that line is not a request", fix='write {"type": "user", "text": "…"} on one line'
            )
        else:
            raise BadInput(
                f"{one_line(str(kind), 40)!r} is not a type of request",
                fix=f"there are {', '.join(REQUESTS)}",
            )

    def _conversation(self) -> dict[str, Any]:
        return {"type": "messages", "messages": [dataclasses.asdict(message) for message in self._messages]}

    def _speak(self, messages: list[Message], stop: Callable[[], bool]) -> Iterator[dict[str, Any]]:
        for part in self._speaker.reply(messages, self._settings, stop):
            if isinstance(part, str):
                yield {"type": "token", "text": part}
            else:
                self._messages = [*messages, Message("assistant", part.text)]
                self._has_just_replied = True
                facts = dataclasses.asdict(part)
                del facts["text"]
                yield {"type": "done", **facts}

    def _set(self, key: str, value: Any) -> None:
        if key not in DEFAULTS:
            raise BadInput(f"{key!r} is not a setting", fix=f"there are {', '.join(DEFAULTS)}")
        if key == "stop":
            value = [value] if isinstance(value, str) else value
            if not isinstance(value, list) or not all(isinstance(text, str) and text for text in value):
                raise BadInput("stop takes a text or a list of texts")
        elif key == "max_new_tokens" and (type(value) is not int or not 1 <= value <= 1_000_000):
            raise BadInput(f"max_new_tokens = {value!r} is not a whole number from 1 to 1,000,000")
        settings = {**self._settings, key: value}
        sampling_of(settings)
        self._settings = settings


class _Inbox:
    """Requests as they come, read by a thread of its own so that a `stop` is heard while a reply is being made.

    A stop means every request that came before it, so it is never too early nor too late. How much of the reply was
    shown when it was sent concerns the last of them.
    """

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._waiting: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._stopped_through = 0
        self._shown: dict[int, int] = {}
        threading.Thread(target=self._listen, args=(lines,), name="chat-listener", daemon=True).start()

    def _listen(self, lines: Iterator[bytes]) -> None:
        received = 0
        for line in lines:
            request = _request(line)
            if request.get("type") == "stop":
                shown = request.get("shown")
                if type(shown) is int and shown >= 0:
                    self._shown.setdefault(received, shown)
                self._stopped_through = received
            else:
                received += 1
                self._waiting.put(request)
        self._waiting.put(None)

    def requests(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Numbered requests until the lines end."""
        return enumerate(iter(self._waiting.get, None), start=1)

    def is_stopped(self, number: int) -> bool:
        """Whether a stop came after request `number`."""
        return number <= self._stopped_through

    def shown_of(self, number: int) -> int | None:
        """How many characters of the reply to request `number` were shown when it was stopped, if that was told."""
        return self._shown.pop(number, None)


def serve(session: ChatSession, lines: Iterator[bytes], write: Callable[[str], None]) -> None:
    """Answer requests in order until the lines end and all are answered."""
    inbox = _Inbox(lines)
    write(json.dumps(session.ready()))
    for number, request in inbox.requests():
        if (shown := inbox.shown_of(number - 1)) is not None:
            session.forget_after(shown)
        for answer in session.answer(request, functools.partial(inbox.is_stopped, number)):
            write(json.dumps(answer))


def _request(line: bytes) -> dict[str, Any]:
    """The request of a line; for a line that is none, one that is answered by an error."""
    try:
        request = json.loads(line) if len(line) <= LONGEST_LINE else None
    except (ValueError, RecursionError):
        request = None
    return request if isinstance(request, dict) else {"type": None}


def _text(request: Mapping[str, Any]) -> str:
    text = request.get("text")
    if not isinstance(text, str) or len(text) > LONGEST_TEXT:
        raise BadInput("the message is not a text of reasonable length")
    return text.encode(errors="replace").decode()


def _messages(value: Any) -> list[Message]:
    if not isinstance(value, list):
        raise BadInput("a conversation is a list of {role, content}")
    messages = []
    for entry in value:
        fields = entry if isinstance(entry, dict) else {}
        role, content = ROLES.get(str(fields.get("role"))), fields.get("content")
        if role is None or not isinstance(content, str):
            raise BadInput("a message needs a role (system, user, assistant) and a text as content")
        messages.append(Message(role, content))
    return messages


def open_session(reference: str, *, home: Path | None, system: str | None = None) -> ChatSession:
    """A conversation with the model that `reference` means. Raises NotFound, BadInput or Damaged."""
    from workbench.references import open_checkpoint

    return ChatSession(open_checkpoint(reference, ModelSpeaker, home=home), name=reference, system=system)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of the child process."""
    parser = argparse.ArgumentParser(prog="python -m workbench.cli.chat_server")
    parser.add_argument("reference")
    parser.add_argument("--home", type=Path)
    parser.add_argument("--system")
    options = parser.parse_args(arguments)
    try:
        session = open_session(options.reference, home=find_home(options.home), system=options.system)
        serve_stdio(session)
    except WorkbenchError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        return ExitCode.FINE
    return ExitCode.FINE


def serve_stdio(session: ChatSession) -> None:
    """Serve over this process's stdin and stdout."""

    def write(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    serve(session, iter(sys.stdin.buffer.readline, b""), write)


if __name__ == "__main__":
    sys.exit(main())
