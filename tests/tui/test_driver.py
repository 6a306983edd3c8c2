"""The ear of the app, on a terminal that the test plays: which keys it hears of which bytes, and how long it waits."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from textual import events
from textual.message import Message

import tui.compat
from tui.compat import ESC_SECONDS, LISTEN_SECONDS, TerminalDriver


class Played:
    """A terminal that says these bytes one after another; at None nothing comes for as long as it is listened to."""

    def __init__(self, *said: bytes | None) -> None:
        self.said = list(said)
        self.waited: list[float] = []
        self.now = 100.0
        self.heard: list[Message] = []
        self.left: list[int] = []
        self.ended = threading.Event()

    # the selector

    def __enter__(self) -> Played:
        return self

    def __exit__(self, *_: object) -> None: ...

    def register(self, *_: object) -> None: ...

    def select(self, seconds: float) -> list[object]:
        self.waited.append(seconds)
        if not self.said:
            self.ended.set()
        if not self.said or self.said[0] is None:
            self.said = self.said[1:]
            self.now += seconds
            return []
        return [object()]

    def keys(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """What a driver hears of it until it ends."""
        driver: Any = TerminalDriver.__new__(TerminalDriver)
        driver._debug, driver.fileno, driver._app, driver.exit_event = False, 0, None, self.ended
        driver.process_message = self.heard.append
        monkeypatch.setattr("textual._parser.get_time", lambda: self.now)
        monkeypatch.setattr(tui.compat.selectors, "SelectSelector", lambda: self)
        monkeypatch.setattr(tui.compat.os, "read", lambda *_: self.said.pop(0))
        monkeypatch.setattr(tui.compat, "leave", lambda _, return_code: self.left.append(return_code))
        driver.run_input_thread()
        return [event.key for event in self.heard if isinstance(event, events.Key)]


def test_an_esc_alone_is_heard_as_soon_as_it_can_be_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Played(b"a", b"\x1b", None, b"b")
    assert terminal.keys(monkeypatch) == ["a", "escape", "b"]
    assert terminal.waited[:4] == [LISTEN_SECONDS, LISTEN_SECONDS, ESC_SECONDS, LISTEN_SECONDS]
    assert ESC_SECONDS < LISTEN_SECONDS + 0.01 and terminal.left == []


def test_a_key_that_comes_in_two_parts_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Played(b"\x1b", b"[A", None, b"\x1b[", b"B").keys(monkeypatch) == ["up", "down"]


def test_bytes_that_are_no_text_are_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = Played(b"\xe9", b"caf\xc3", b"\xa9").keys(monkeypatch)
    assert keys[-4:] == ["c", "a", "f", "é"]


def test_the_end_of_the_terminal_ends_the_app(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Played(b"a", b"", b"never read")
    assert terminal.keys(monkeypatch) == ["a"] and terminal.left == [129]


def test_what_comes_after_the_end_of_the_app_is_not_left_to_the_shell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Played(b"late")
    terminal.ended.set()
    terminal.keys(monkeypatch)
    assert terminal.said == []
