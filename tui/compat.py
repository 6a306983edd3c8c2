"""Every private corner of Textual that we touch, in one place, each with its reason.

Written against textual 8.2; a new major version starts by reading this file. Knows nothing of runs.
"""

from __future__ import annotations

import asyncio
import codecs
import os
import re
import signal
import threading
from collections.abc import Callable
from typing import Any

import textual.drivers.linux_driver as linux_driver
from rich.segment import Segment
from textual.app import App
from textual.color import Color
from textual.drivers.linux_driver import LinuxDriver
from textual.filter import LineFilter

from workbench.safe_text import HARMFUL

SECONDS_TO_LEAVE = 4.0
"""A terminal that is gone may block the screen's writer for ever: after this the process leaves anyway."""

_HARMFUL_IN_A_ROW = re.compile(f"[{HARMFUL}\n\t]")


class SafeFilter(LineFilter):
    """The last guard before the terminal: no harmful character leaves in any rendered row, whatever drew it.

    Textual passes ESC, OSC and bidi controls of data through nearly every widget. The characters have width
    zero, so that dropping them keeps the layout. Views clean their text before; this catches what they miss.
    """

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The segments of one row without harmful characters."""
        return [
            Segment(_HARMFUL_IN_A_ROW.sub("", text), style, control)
            if _HARMFUL_IN_A_ROW.search(text)
            else Segment(text, style, control)
            for text, style, control in segments
        ]


class InputEndedError(Exception):
    """The terminal will send nothing more."""


class TerminalDriver(LinuxDriver):
    """Textual's driver that survives any input byte and leaves when the input ends.

    8.2 dies of a byte that is not UTF-8 (a latin-1 paste, an old mouse report; textual #6668) and spins at
    19 % of a core on end of file, as under `nohup`.
    """

    def run_input_thread(self) -> None:
        """Read keys until the app ends, or end the app when the terminal does."""
        linux_driver.getincrementaldecoder = _forgiving_decoder  # type: ignore[attr-defined,assignment]
        try:
            super().run_input_thread()
        except (InputEndedError, OSError):
            leave(self._app, return_code=128 + signal.SIGHUP)


def use_mouse(app: App[Any], on: bool) -> None:
    """Take the mouse, or give it back to the terminal, which then selects text with it. Textual has no public way."""
    driver = app._driver
    if isinstance(driver, LinuxDriver):
        if on:
            driver._enable_mouse_support()
        else:
            driver._disable_mouse_support()


def leave(app: App[Any], *, return_code: int) -> None:
    """End `app` from any thread; end the process if the app cannot (it writes to a terminal nobody reads)."""
    _leave_by_force_later(return_code)
    app.call_later(app.exit, return_code=return_code)


def leave_on_signals(app: App[Any]) -> None:
    """Let SIGHUP and SIGTERM restore the terminal and end `app` with status 128+n. Call in the main thread.

    A plain handler, not the loop's: it also runs while the loop is stuck on a full terminal.
    """
    loop = asyncio.get_running_loop()

    def handle(number: int, _: object) -> None:
        _leave_by_force_later(128 + number)
        loop.call_soon_threadsafe(lambda: app.exit(return_code=128 + number))

    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, handle)


def _leave_by_force_later(return_code: int) -> None:
    timer = threading.Timer(SECONDS_TO_LEAVE, os._exit, (return_code,))
    timer.daemon = True
    timer.start()


class _ForgivingDecoder:
    """Bytes to text: a wrong byte becomes U+FFFD; no bytes at all means the input has ended."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def decode(self, data: bytes, final: bool = False) -> str:
        if not data:
            raise InputEndedError
        return self._decoder.decode(data, final)


def _forgiving_decoder(_: str) -> Callable[[], _ForgivingDecoder]:
    return _ForgivingDecoder
