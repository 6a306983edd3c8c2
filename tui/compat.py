"""Every private corner of Textual that we touch, in one place, each with its reason.

Written against textual 8.2; a new major version starts by reading this file. Knows nothing of runs.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import re
import selectors
import signal
import termios
from collections.abc import Iterator
from typing import Any

from rich.color import ColorSystem
from rich.console import Console
from rich.segment import Segment
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual._xterm_parser import XTermParser
from textual.app import App
from textual.binding import BindingsMap
from textual.color import Color
from textual.constants import ESCAPE_DELAY
from textual.dom import DOMNode
from textual.drivers.linux_driver import LinuxDriver
from textual.filter import LineFilter
from textual.screen import ModalScreen, Screen, ScreenResultType
from textual.strip import Strip
from textual.timer import Timer

from tui.cells import TerminalCells, Text
from tui.leaving import SIGNALS, leave_by_force_later, stand_by
from workbench.safe_text import HARMFUL

LISTEN_SECONDS = 0.1
"""So long one look at the terminal waits for a key: how late the thread sees that the app has ended."""
ESC_SECONDS = ESCAPE_DELAY + 0.002
"""So long it waits after an esc: what has not followed then is not the rest of another key."""

AS_IT_WAS = (
    b"\x18\x1b[?2026l"  # out of a code that was cut, and of a picture
    b"\x1b[?2004l\x1b[?7h\x1b[?2048l\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l"
    b"\x1b[<u\x1b[0m\x1b[?1049l\x1b[?25h\x1b[?1004l"
)
"""Everything off that LinuxDriver turns on, in its order."""

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


class OnlyChanges(CompositorUpdate):
    """A picture of Textual's compositor of which only the cells that differ are sent.

    8.2 sends a widget that changed from its left edge on, and all of the screen when anything is laid out again.
    """

    def __init__(self, update: LayoutUpdate | ChopsUpdate, terminal: TerminalCells) -> None:
        self._update, self._terminal = update, terminal

    def render_segments(self, console: Console) -> str:
        """What to write to the terminal; called once, when it is surely written."""
        colors = console._color_system or ColorSystem.TRUECOLOR
        strips = _whole(self._update) if isinstance(self._update, LayoutUpdate) else _touched(self._update)
        return self._terminal.draw((y, x, _texts(strip, colors)) for y, x, strip in strips)


def only_changes(picture: Any, terminal: TerminalCells) -> Any:
    """What App._display is given, as a picture that sends only its changes."""
    return OnlyChanges(picture, terminal) if isinstance(picture, LayoutUpdate | ChopsUpdate) else picture


def _whole(update: LayoutUpdate) -> Iterator[tuple[int, int, Strip]]:
    left, top = update.region.offset
    for y, strips in enumerate(update.strips, top):
        x = left
        for strip in strips:
            yield y, x, strip
            x += strip.cell_length


def _touched(update: ChopsUpdate) -> Iterator[tuple[int, int, Strip]]:
    """The pieces of rows that a dirty region touches. Others may be of a widget that lies behind."""
    for y, first, end in update.spans:
        for x_end, (x, strip) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
            if strip is not None and x < end and x_end > first:
                yield y, x, strip


def _texts(strip: Strip, colors: ColorSystem) -> Iterator[Text]:
    for text, style, _ in strip:
        if style is None:
            yield text, ""
        else:
            ansi = style._ansi
            yield text, Strip.render_ansi(style, colors) if ansi is None else ansi


class Dialog(ModalScreen[ScreenResultType]):
    """A modal screen in which the keys of the app hold too: help, copy, the mouse, the way out.

    8.2 lets a modal screen hide them. What the part with the focus types stays a letter: it was taken out of the chain.
    """

    @property
    def _modal_binding_chain(self) -> list[tuple[DOMNode, BindingsMap]]:
        return self._binding_chain


class TerminalDriver(LinuxDriver):
    """Textual's driver with an ear of its own: survives any input byte, leaves when the input ends, hears esc at once.

    8.2 dies of a byte that is not UTF-8 (a latin-1 paste, an old mouse report; textual #6668), spins at 19 % of a core
    on end of file, as under `nohup`, and sees a tenth of a second late that an esc begins no other key.
    """

    def _sigcont_application(self, *_: object) -> None:
        """Take the terminal again after ctrl-z, and after a stop from outside, which gave nothing back before.

        There 8.2 begins a second time over what still runs: two threads listen, one key wakes both, and the one that
        does not get it never ends.
        """
        if self._key_thread is None:  # not begun yet
            return
        before, listens = self.attrs_before, self._key_thread.is_alive()
        if listens:
            self.disable_input()
            self.close()
            self._must_signal_resume = True
        super()._sigcont_application()
        if listens:
            self.attrs_before = before  # what is there now is our own

    def run_input_thread(self) -> None:
        """Read keys until the app ends, or end the app when the terminal does."""
        parser = XTermParser(self._debug)
        decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
        waiting = LISTEN_SECONDS
        try:
            with selectors.SelectSelector() as selector:
                selector.register(self.fileno, selectors.EVENT_READ)
                leaves = False
                while not leaves:
                    leaves = (
                        self.exit_event.is_set()
                    )  # once more, so that the shell is not given what comes late
                    if selector.select(waiting):
                        data = os.read(self.fileno, 4096)
                        if not data:
                            raise EOFError
                        waiting = ESC_SECONDS if data.endswith(b"\x1b") else LISTEN_SECONDS
                        text = decode(
                            data
                        )  # nothing yet of half a letter, and nothing means the end to the parser
                        for event in parser.feed(text) if text else ():
                            self.process_message(event)
                    else:
                        waiting = LISTEN_SECONDS
                    for event in parser.tick():
                        self.process_message(event)
        except (EOFError, OSError):
            leave(self._app, return_code=128 + signal.SIGHUP)


def let_switch(screen: Screen[Any], app: App[Any]) -> None:
    """Let `app` switch from its first screen to another one: 8.2 looks for whoever waits for its result, and fails."""
    screen._push_result_callback(app, None)


def surely_rings(timer: Timer) -> Timer:
    """A timer that was just set, and that rings late where the machine stalls.

    8.2 gives one up whose moment passes between its first two looks at the clock, once or never: on a crowded machine
    a terminal was then never again told its new size, as it is waited for before another is set.
    """
    timer._skip = False
    return timer


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
    leave_by_force_later(return_code)
    app.call_later(app.exit, return_code=return_code)


def leave_on_signals(app: App[Any]) -> None:
    """Let signals restore the terminal and end `app` with status 128+n. Call in the main thread, before it draws.

    A plain handler, not the loop's: it also runs while the loop is stuck on a full terminal.
    """
    loop = asyncio.get_running_loop()
    stand_by(lambda: give_back(app))

    def handle(number: int, _: object) -> None:
        leave_by_force_later(128 + number)
        with contextlib.suppress(RuntimeError):  # the loop has ended, and the screen before it
            loop.call_soon_threadsafe(lambda: app.exit(return_code=128 + number))

    for number in SIGNALS:
        signal.signal(number, handle)


def give_back(app: App[Any]) -> None:
    """Leave the terminal as it was although nobody reads it: what it has not taken of our pictures is thrown away.

    The thread that waits to write has the terminal to itself until a signal makes it try again: then there is no room
    and no waiting, and it gives up.
    """
    driver = app._driver
    if not isinstance(driver, LinuxDriver) or driver.attrs_before is None or driver._file is None:
        return
    termios.tcsetattr(driver.fileno, termios.TCSANOW, driver.attrs_before)
    screen, writer = driver._file.fileno(), driver._writer_thread
    os.set_blocking(screen, False)
    try:
        if writer is not None and writer.ident is not None and writer.is_alive():
            signal.pthread_kill(writer.ident, signal.SIGTERM)
            writer.join(LISTEN_SECONDS)
        termios.tcflush(screen, termios.TCOFLUSH)
        os.write(screen, AS_IT_WAS)
    finally:
        os.set_blocking(screen, True)  # the shell has the same
