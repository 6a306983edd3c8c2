"""A conversation with a model that lives in a child process: start it, ask, read the reply as it comes.

The child (`python -m workbench.cli.chat_server REF --home HOME`) holds the model and the conversation; the REPL
and the chat screen are two views of it. They speak JSON lines, UTF-8, one object a line, over stdin and
stdout.
The child's stderr is for people: the last line of it explains an early death.

To the child
    {"type": "user", "text": T}            a message; answered by `token`s and one `done`, or by `error`
    {"type": "regenerate"}                 forget the last reply and answer the last message again
    {"type": "stop", "shown": N}           end the reply now: `done`, stopped_by "stopped". Idle: nothing answers. With
                                           `shown` the model forgets what it said after the first N characters of
                                           the reply, also of one that has just ended: nobody was shown more
    {"type": "set", "key": K, "value": V}  temperature, top_k, top_p, min_p, repetition_penalty, seed, stop,
                                           max_new_tokens; answered by `settings` (all of them) or `error`
    {"type": "system", "text": T}          the system prompt; forgets the conversation; answered by `messages`
    {"type": "reset"}                      forget the conversation, keep prompt and settings; `messages`
    {"type": "load", "messages": [M…]}     go on from here, M = {"role", "content"}; `messages`
    {"type": "messages"}                   answered by `messages`
    end of file                            the child answers what it was asked and leaves
From the child
    {"type": "ready", "model": NAME, "context_length": N, "settings": {K: V}}    once, when it is loaded
    {"type": "token", "text": T}           a piece of the reply: whole characters, never a special token
    {"type": "done", "stopped_by": W, "new_tokens": N, "tokens_per_second": X, "context_tokens": N}
                                           W: "stop_token", "max_new_tokens", "stop_text", "context", "stopped"
    {"type": "settings", "settings": {K: V}}
    {"type": "messages", "messages": [M…]}
    {"type": "error", "message": LINE}     the request failed, the child goes on
Requests are answered in order; `stop` is heard while a reply is being made, all others wait for its end.
A type the child does not know is answered by `error`; the view passes over those it does not know, and both over keys.
A failure to load: one line on stderr and an exit code of
`workbench.errors.ExitCode`. Text is passed as it is: the view cleans it (`safe_text.SafeStream`).

Knows no tensors, no tokenizer and no terminal; standard library only.
"""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from workbench.errors import BadInput

LONGEST_LINE = 4_000_000
"""Bytes of one request; the child refuses a longer one."""
LONGEST_MESSAGE = 100_000
"""Characters of one message a person may send: a pasted file, not a pasted disk."""
_WAITING_EVENTS = 1000  # a reader that stalls makes the child wait instead of filling memory
_SECONDS_TO_LEAVE = 2.0


@dataclass(frozen=True, slots=True)
class Ready:
    """The model is loaded."""

    model: str
    context_length: int
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the reply, as the model wrote it."""

    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """The reply is complete."""

    stopped_by: str
    new_tokens: int
    tokens_per_second: float
    context_tokens: int


@dataclass(frozen=True, slots=True)
class Settings:
    """How replies are sampled now."""

    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Messages:
    """The conversation so far, each `{"role", "content"}`."""

    messages: Sequence[Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Failed:
    """A request could not be done; the conversation goes on."""

    message: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The child is gone: nothing more will come. `message` says why, empty if it left as asked."""

    returncode: int
    message: str


ChatEvent = Ready | Token | Done | Settings | Messages | Failed | Ended


class ChatClient:
    """One child and its conversation. A context manager: leaving it ends the child."""

    def __init__(self, command: Sequence[str]) -> None:
        self._events: queue.Queue[ChatEvent] = queue.Queue(_WAITING_EVENTS)
        self._end: Ended | None = None
        self._closing = threading.Event()
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the reader thread
        # A session of its own: Ctrl-C in the view stops the reply, not the model.
        self._child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, name="chat-reader", daemon=True)
        self._reader.start()

    @classmethod
    def start(cls, reference: str, *, home: Path) -> ChatClient:
        """Load the model `reference` of `home` in a new child. Returns at once; `Ready` or `Ended` comes."""
        return cls(server_command(reference, home=home))

    def __enter__(self) -> ChatClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def returncode(self) -> int | None:
        """How the child ended; None while it lives."""
        return self._child.poll()

    def send(self, kind: str, **fields: Any) -> None:
        """Send one request; silently nothing if the child is gone (`Ended` says so)."""
        line = json.dumps({"type": kind, **fields}) + "\n"
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(line.encode())
            self._child.stdin.flush()
        except (OSError, ValueError):
            pass

    def next_event(self, timeout_seconds: float | None = None) -> ChatEvent | None:
        """What came next; None if nothing came in time. After `Ended` it is `Ended` every time."""
        if self._end is not None:
            return self._end
        try:
            event = self._events.get(timeout=timeout_seconds)
        except queue.Empty:
            return None
        if isinstance(event, Ended):
            self._end = event
        return event

    def ask(self, text: str) -> Iterator[ChatEvent]:
        """Say `text` and yield events up to and including `Done`, `Failed` or `Ended`.

        A consumer that stops consuming stops the reply; what is left of it is thrown away.
        """
        self.send("user", text=text)
        yield from self.follow()

    def follow(self) -> Iterator[ChatEvent]:
        """Events up to and including the next `Done`, `Failed` or `Ended`."""
        ended = False
        try:
            while not ended:
                event = self.next_event()
                assert event is not None  # it waits as long as it takes
                ended = isinstance(event, Done | Failed | Ended)
                yield event
        finally:
            if not ended:
                self.send("stop")
                while not isinstance(self.next_event(), Done | Failed | Ended):
                    pass

    def close(self) -> None:
        """End the child: politely by stop and end of file, then by signals. Safe to call twice."""
        self._closing.set()
        self.send("stop")
        assert self._child.stdin is not None
        with contextlib.suppress(OSError):
            self._child.stdin.close()
        for last_resort in (self._child.terminate, self._child.kill):
            try:
                self._child.wait(_SECONDS_TO_LEAVE)
                break
            except subprocess.TimeoutExpired:
                last_resort()
        self._child.wait()
        self._reader.join(_SECONDS_TO_LEAVE)

    def _read(self) -> None:
        assert self._child.stdout is not None
        with self._child.stdout as lines:
            for line in lines:
                if (event := parse_event(line)) is not None:
                    self._put(event)
        returncode = self._child.wait()
        self._put(Ended(returncode, "" if self._closing.is_set() else self._last_words(returncode)))
        self._stderr.close()

    def _put(self, event: ChatEvent) -> None:
        while not self._closing.is_set():
            try:
                self._events.put(event, timeout=0.1)
                return
            except queue.Full:
                continue
        with contextlib.suppress(queue.Full):
            self._events.put_nowait(event)

    def _last_words(self, returncode: int) -> str:
        size = self._stderr.seek(0, 2)
        self._stderr.seek(max(0, size - 4096))
        lines = self._stderr.read().decode(errors="replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        return said[-1] if said else f"the model's process ended with code {returncode}"


def server_command(reference: str, *, home: Path) -> list[str]:
    """The command line of the child."""
    return [sys.executable, "-m", "workbench.cli.chat_server", reference, "--home", str(home)]


def parse_event(line: bytes) -> ChatEvent | None:
    """One line of the child as an event; None for anything that is not one."""
    try:
        record = json.loads(line)
        match record.get("type"):
            case "token":
                return Token(str(record["text"]))
            case "done":
                return Done(
                    stopped_by=str(record.get("stopped_by", "")),
                    new_tokens=int(record.get("new_tokens", 0)),
                    tokens_per_second=float(record.get("tokens_per_second") or 0.0),
                    context_tokens=int(record.get("context_tokens", 0)),
                )
            case "ready":
                settings = dict(record.get("settings") or {})
                return Ready(str(record["model"]), int(record.get("context_length", 0)), settings)
            case "settings":
                return Settings(dict(record["settings"]))
            case "messages":
                return Messages([dict(message) for message in record["messages"]])
            case "error":
                return Failed(str(record["message"]))
    except (ValueError, TypeError, KeyError, AttributeError):
        pass
    return None


@dataclass(frozen=True, slots=True)
class Request:
    """What a line a person typed asks of the child."""

    kind: str
    fields: Mapping[str, Any] = field(default_factory=dict)


def request_of(line: str) -> Request:
    """What to send for a typed line: a message, or one of /system /set /reset /regenerate.

    Raises BadInput for an empty or overlong message, an unknown command or a `/set` without a value.
    """
    if len(line) > LONGEST_MESSAGE:
        raise BadInput(
            f"that is {len(line):,} characters; at most {LONGEST_MESSAGE:,}",
            fix="put it into a file and train on it",
        )
    if not line.strip():
        raise BadInput("an empty message says nothing", fix="type something")
    if not line.startswith("/"):
        return Request("user", {"text": line})
    command, _, rest = line[1:].strip().partition(" ")
    match command, rest.split(maxsplit=1):
        case "system", _:
            return Request("system", {"text": rest.strip()})
        case (("reset" | "regenerate"), []):
            return Request(command)
        case "set", [key, value]:
            return Request("set", {"key": key, "value": _setting(value)})
        case "set", _:
            raise BadInput("/set takes a name and a value", fix="for example /set temperature 0.7")
    known = "known are /system /set /reset /regenerate /save /load /help /exit"
    raise BadInput(f"/{command} is not a command here", fix=known)


def _setting(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value
