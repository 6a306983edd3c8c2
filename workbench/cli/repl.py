"""The chat REPL: a view of a model that lives in a child process. Lines in, streamed replies out."""

from __future__ import annotations

import contextlib
import json
import os
import readline
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.chat_client import (
    ChatClient,
    ChatEvent,
    Done,
    Ended,
    Failed,
    Messages,
    Ready,
    Settings,
    Token,
)
from workbench.cli.output import result, say
from workbench.errors import BadInput, NotFound, WorkbenchError
from workbench.runs import find_home
from workbench.safe_text import SafeStream, one_line
from workbench.saved_chat import file_named, read_chat, write_chat

HISTORY_LINES = 1000
PATIENCE = 3
"""Ctrl-C so many times in one reply leaves, for a model that does not answer even to that."""
ENDINGS = {
    "max_new_tokens": "cut at max_new_tokens; /set max_new_tokens 400 for more",
    "context": "the context is full; /reset starts afresh",
    "stopped": "stopped",
}
COMMANDS = {
    "/help": "this list",
    "/system TEXT": "set the system prompt and start afresh; without TEXT take it away",
    "/set KEY VALUE": "temperature, top_k, top_p, min_p, repetition_penalty, max_new_tokens, seed, stop",
    "/reset": "forget the conversation",
    "/save FILE": "write the conversation as JSON",
    "/load FILE": "go on from a saved conversation",
    "/regenerate": "answer the last message again",
    "/compare REF": "let another model answer the last message too",
    "/exit": "leave (also ctrl-d)",
}


class GoneError(WorkbenchError):
    """The child that held the model is gone: the conversation cannot go on."""


def talk(reference: str, *, home: Path | None, system: str | None = None) -> None:
    """Talk until the person leaves. Raises the child's own error when the model cannot be loaded."""
    where = find_home(home)
    with ChatClient.start(reference, home=where) as client:
        repl = Repl(client, reference, home=where)
        if system:
            repl.request("system", text=system)
        say(repl.greeting())
        with _history(where) as remember:
            for line in _lines():
                remember()
                if not repl.take(line):
                    return


class Repl:
    """One conversation at a prompt: `take` a typed line, show what comes of it."""

    def __init__(self, client: ChatClient, reference: str, *, home: Path) -> None:
        self._client = client
        self._home = home
        self._ready = wait_until_ready(client, reference)
        self._settings: Mapping[str, Any] = self._ready.settings

    def greeting(self) -> str:
        """Which model it is and how to get on."""
        about = f"{self._ready.model} (context {self._ready.context_length:,} tokens)"
        return f"{about}\n/help lists the commands, ctrl-c stops a reply, ctrl-d leaves"

    def take(self, line: str) -> bool:
        """Do what `line` asks: a message or a slash command. False: the person leaves."""
        if line in ("/exit", "/quit"):
            return False
        try:
            if line.startswith("/"):
                self._command(line)
            elif line:
                self._client.send("user", text=line)
                show_reply(self._client)
        except GoneError:
            raise
        except WorkbenchError as error:
            say(str(error))
        return True

    def request(self, kind: str, **fields: Any) -> ChatEvent:
        """Send a request that makes no reply; the event that answers it. Raises its error as BadInput."""
        return _request(self._client, kind, **fields)

    def _command(self, line: str) -> None:
        name, _, rest = line.partition(" ")
        rest = rest.strip()
        match name:
            case "/help":
                for usage, meaning in COMMANDS.items():
                    result(f"{usage:<16} {meaning}")
            case "/system":
                self.request("system", text=rest)
                say("system prompt set; the conversation starts afresh" if rest else "no system prompt")
            case "/set":
                self._set(rest)
            case "/reset":
                self.request("reset")
                say("forgotten")
            case "/save":
                self._save(file_named(rest, example="/save talk.json"))
            case "/load":
                self._load(file_named(rest, example="/load talk.json"))
            case "/regenerate":
                self._client.send("regenerate")
                show_reply(self._client)
            case "/compare":
                self._compare(rest)
            case _:
                raise BadInput(f"{name} is not a command", fix="/help lists them")

    def _set(self, rest: str) -> None:
        key, _, value = rest.replace("=", " ", 1).partition(" ")
        if key:
            try:
                parsed = json.loads(value.strip())
            except (ValueError, RecursionError):
                parsed = value.strip()
            event = self.request("set", key=key, value=parsed)
            assert isinstance(event, Settings)
            self._settings = event.settings
        say("   ".join(f"{name} {json.dumps(setting)}" for name, setting in self._settings.items()))

    def _conversation(self) -> list[dict[str, str]]:
        event = self.request("messages")
        assert isinstance(event, Messages)
        return [dict(message) for message in event.messages]

    def _save(self, path: Path) -> None:
        messages = self._conversation()
        write_chat(path, messages)
        say(f"saved {len(messages)} messages to {path}")

    def _load(self, path: Path) -> None:
        messages = read_chat(path)
        self.request("load", messages=messages)
        for message in messages[-4:]:
            result(f"{message['role']}: {one_line(message['content'], 200)}")

    def _compare(self, reference: str) -> None:
        """The last message answered by another model, after the same conversation, with the same settings."""
        if not reference:
            raise BadInput("which model?", fix="for example /compare quickstart/sft")
        messages = self._conversation()
        while messages and messages[-1]["role"] != "user":
            messages.pop()
        if not messages:
            raise BadInput("nothing was said yet", fix="say something first, then compare")
        try:
            with ChatClient.start(reference, home=self._home) as other:
                wait_until_ready(other, reference)
                for key, value in self._settings.items():
                    _request(other, "set", key=key, value=value)
                _request(other, "load", messages=messages[:-1])
                say(f"{reference}:")
                other.send("user", text=messages[-1]["content"])
                show_reply(other)
        except GoneError as error:  # only the other one
            raise WorkbenchError(error.message) from None


def wait_until_ready(client: ChatClient, reference: str) -> Ready:
    """The child's first event. Raises its last words, with its exit code, when it could not load the model."""
    event = client.next_event()
    if isinstance(event, Ready):
        return event
    message, code = (event.message, event.returncode) if isinstance(event, Ended) else ("", 1)
    error: Callable[[str], WorkbenchError] = {2: BadInput, 3: NotFound}.get(code, WorkbenchError)
    raise error(message or f"the model {reference!r} could not be loaded")


def show_reply(client: ChatClient) -> None:
    """Print the reply that was asked for as it comes. Ctrl-C stops it: what was said stays, and no more is shown."""
    guard, shown = SafeStream(), _Shown()
    with _stopping_on_interrupt(client, shown):
        for event in client.follow():
            match event:
                case Token():
                    if not shown.stops:
                        shown.characters += len(event.text)
                        sys.stdout.write(guard.feed(event.text))
                        sys.stdout.flush()
                case Done():
                    print(guard.close(), flush=True)
                    _say_how_it_ended(event)
                case Failed():
                    raise BadInput(event.message)
                case Ended():
                    print(guard.close(), flush=True)
                    raise GoneError(event.message or "the model's process ended", fix="start the chat again")


def _say_how_it_ended(done: Done) -> None:
    how = ENDINGS.get(done.stopped_by)
    if sys.stdin.isatty() or how:
        speed = f", {done.tokens_per_second:,.0f} a second" if done.tokens_per_second else ""
        say(f"[{done.new_tokens} tokens{speed}{'; ' + how if how else ''}]")


def _request(client: ChatClient, kind: str, **fields: Any) -> ChatEvent:
    client.send(kind, **fields)
    event = client.next_event()
    if isinstance(event, Failed):
        raise BadInput(event.message)
    if event is None or isinstance(event, Ended):
        raise GoneError("the model's process ended", fix="start the chat again")
    return event


@dataclass(slots=True)
class _Shown:
    """How much of a reply was shown, as the child sent it, and how often it was asked to stop."""

    characters: int = 0
    stops: int = 0


@contextlib.contextmanager
def _stopping_on_interrupt(client: ChatClient, shown: _Shown) -> Iterator[None]:
    """Within, Ctrl-C asks the child to stop instead of raising in the middle of an event."""

    def ask(*_: object) -> None:
        shown.stops += 1
        if shown.stops >= PATIENCE:
            raise KeyboardInterrupt
        with contextlib.suppress(RuntimeError):  # in the middle of another send: the next press does it
            client.send("stop", shown=shown.characters)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _lines() -> Iterator[str]:
    """What the person types, until end of file. Ctrl-C throws the line away."""
    prompt = "› " if sys.stdin.isatty() else ""
    while True:
        try:
            yield input(prompt).strip()
        except EOFError:
            if prompt:
                print()
            return
        except KeyboardInterrupt:
            print()
        except UnicodeDecodeError:
            say("that was not UTF-8 text")


@contextlib.contextmanager
def _history(home: Path) -> Iterator[Callable[[], None]]:
    """Arrow-up over earlier sessions, in a file for its owner's eyes only. Gives the function that adds a line.

    Line by line, so that a session which is hung up on is remembered too.
    """
    path = home / "chat_history"
    if not sys.stdin.isatty():
        yield lambda: None
        return
    with contextlib.suppress(OSError, UnicodeDecodeError):
        readline.read_history_file(path)
    readline.set_history_length(HISTORY_LINES)

    def remember() -> None:
        with contextlib.suppress(OSError):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
            path.chmod(0o600)
            readline.append_history_file(1, path)

    try:
        yield remember
    finally:
        with contextlib.suppress(OSError):
            readline.write_history_file(path)  # cut to HISTORY_LINES
            path.chmod(0o600)
