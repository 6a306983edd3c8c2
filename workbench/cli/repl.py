"""The chat REPL: a view of a model that lives in a child process. Lines in, streamed replies out."""

from __future__ import annotations

import contextlib
import json
import os
import readline
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from workbench.chat_client import ChatClient, ChatEvent, Done, Ended, Failed, Messages, Ready, Settings, Token
from workbench.cli.output import result, say
from workbench.errors import BadInput, NotFound, WorkbenchError
from workbench.files import write_atomic
from workbench.runs import find_home
from workbench.safe_text import SafeStream, one_line, safe_text

HISTORY_LINES = 1000
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


def talk(reference: str, *, home: Path | None, system: str | None = None) -> None:
    """Talk until the person leaves. Raises the child's own error when the model cannot be loaded."""
    where = find_home(home)
    with ChatClient.start(reference, home=where) as client:
        ready = _wait_until_ready(client, reference)
        if system:
            client.send("system", text=system)
            _answer(client)
        say(f"{ready.model}: reads {ready.context_length} tokens; /help lists the commands, ctrl-c stops a reply, ctrl-d leaves")
        with _history(where):
            for line in _lines():
                if line.startswith("/"):
                    if not _command(client, line, where):
                        return
                elif line:
                    _show(client.ask(line))


def _wait_until_ready(client: ChatClient, reference: str) -> Ready:
    event = client.next_event()
    if isinstance(event, Ready):
        return event
    message = event.message if isinstance(event, Ended) else ""
    error: Callable[..., WorkbenchError] = {2: BadInput, 3: NotFound}.get(event.returncode if isinstance(event, Ended) else 1, WorkbenchError)
    raise error(message or f"the model {reference!r} could not be loaded")


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


def _show(events: Iterator[ChatEvent]) -> None:
    """Print a reply as it comes; Ctrl-C stops it, and what was said stays."""
    guard = SafeStream()
    try:
        for event in events:
            if isinstance(event, Token):
                sys.stdout.write(guard.feed(event.text))
                sys.stdout.flush()
            elif isinstance(event, Done):
                print(guard.close())
                how = ENDINGS.get(event.stopped_by)
                speed = f"{event.new_tokens} tokens, {event.tokens_per_second:.0f} a second"
                if sys.stdin.isatty() or how:
                    say(f"[{speed}{'; ' + how if how else ''}]")
            elif isinstance(event, Failed):
                say(event.message)
            elif isinstance(event, Ended):
                raise WorkbenchError(event.message or "the model's process ended")
    except KeyboardInterrupt:
        with contextlib.suppress(AttributeError):
            events.close()  # type: ignore[attr-defined]  # a generator: leaving it stops the reply
        print()
        say("[stopped]")


def _command(client: ChatClient, line: str, home: Path) -> bool:
    """Do one slash command. False: leave."""
    name, _, rest = line.partition(" ")
    rest = rest.strip()
    try:
        match name:
            case "/exit" | "/quit":
                return False
            case "/help":
                for usage, meaning in COMMANDS.items():
                    result(f"{usage:<16} {meaning}")
            case "/system":
                client.send("system", text=rest)
                _answer(client)
                say("system prompt set; the conversation starts afresh" if rest else "no system prompt")
            case "/set":
                _set(client, rest)
            case "/reset":
                client.send("reset")
                _answer(client)
                say("forgotten")
            case "/save":
                _save(client, rest)
            case "/load":
                _load(client, rest)
            case "/regenerate":
                client.send("regenerate")
                _show(client.follow())
            case "/compare":
                _compare(client, rest, home)
            case _:
                raise BadInput(f"{name} is not a command", fix="/help lists them")
    except WorkbenchError as error:
        say(str(error))
    return True


def _answer(client: ChatClient) -> ChatEvent:
    """The one event that answers a request which makes no reply. Raises its error."""
    event = client.next_event()
    if isinstance(event, Failed):
        raise BadInput(event.message)
    if event is None or isinstance(event, Ended):
        raise WorkbenchError("the model's process ended")
    return event


def _set(client: ChatClient, rest: str) -> None:
    key, _, value = rest.replace("=", " ", 1).partition(" ")
    if key:
        try:
            parsed = json.loads(value.strip())
        except ValueError:
            parsed = value.strip()
        client.send("set", key=key, value=parsed)
        event = _answer(client)
        assert isinstance(event, Settings)
        say(", ".join(f"{name} {setting}" for name, setting in event.settings.items()))
    else:
        say("write /set KEY VALUE, for example /set temperature 0.7")


def _conversation(client: ChatClient) -> list[dict[str, str]]:
    client.send("messages")
    event = _answer(client)
    assert isinstance(event, Messages)
    return [dict(message) for message in event.messages]


def _file(rest: str) -> Path:
    names = shlex.split(rest)
    if len(names) != 1:
        raise BadInput("a file name is missing", fix="for example /save talk.json")
    return Path(names[0]).expanduser()


def _save(client: ChatClient, rest: str) -> None:
    path = _file(rest)
    messages = _conversation(client)
    try:
        write_atomic(path, json.dumps({"messages": messages}, indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        raise BadInput(f"cannot be written: {error.strerror}", file=path) from None
    say(f"saved {len(messages)} messages to {path}")


def _load(client: ChatClient, rest: str) -> None:
    path = _file(rest)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        messages = content["messages"]
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}", file=path) from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BadInput("is not a saved conversation", file=path, fix='it holds {"messages": [...]}, as /save writes it') from None
    client.send("load", messages=messages)
    _answer(client)
    for message in messages[-4:]:
        result(f"{message['role']}: {one_line(message['content'], 200)}")


def _compare(client: ChatClient, rest: str, home: Path) -> None:
    if not rest:
        raise BadInput("which model?", fix="for example /compare quickstart/sft")
    messages = _conversation(client)
    while messages and messages[-1]["role"] != "user":
        messages.pop()
    if not messages:
        raise BadInput("nothing was said yet", fix="say something first, then compare")
    with ChatClient.start(rest, home=home) as other:
        _wait_until_ready(other, rest)
        other.send("load", messages=messages[:-1])
        _answer(other)
        say(f"{safe_text(rest)}:")
        _show(other.ask(messages[-1]["content"]))


@contextlib.contextmanager
def _history(home: Path) -> Iterator[None]:
    """Arrow-up over earlier sessions; the file is for its owner's eyes only."""
    path = home / "chat_history"
    if not sys.stdin.isatty():
        yield
        return
    with contextlib.suppress(OSError, UnicodeDecodeError):
        readline.read_history_file(path)
    readline.set_history_length(HISTORY_LINES)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
            readline.write_history_file(path)
            path.chmod(0o600)
