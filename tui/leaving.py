"""How the app ends when somebody outside asks for it, by SIGHUP, SIGTERM or SIGINT, at whatever moment one comes.

    before the screen is up    the terminal is as it was: end at once
    while it is up             ask the app to leave, which gives the terminal back (tui/compat.py); else by force
    once it is gone            it ends anyway: let it; else by force

In its last moments Python sets what listens to signals back to their default, which kills: there they are ignored.
Standard library only, for it is in place before Textual is imported.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

SIGNALS = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)
SECONDS_TO_LEAVE = 4.0
"""A terminal that nobody reads may block the app for ever: after this the process leaves anyway."""
SECONDS_TO_GIVE_BACK = 1.0
"""So long the main thread has for it, if it can do anything at all."""


class _Force(threading.Thread):
    """Ends the process some time after it was told to.

    It is there before it is needed, and told by a pipe: a signal may come while the main thread holds the locks that
    starting a thread, or an Event, would wait for.
    """

    def __init__(self) -> None:
        super().__init__(name="leave-by-force", daemon=True)
        self.give_back: Callable[[], None] | None = None
        self._told, self._tell = os.pipe()
        self._status = 0
        self._main = threading.get_ident()

    def later(self, status: int) -> None:
        """End it with `status` after SECONDS_TO_LEAVE."""
        os.write(self._tell, bytes((status,)))

    def run(self) -> None:
        """Wait; let the main thread give back what it can, which then does nothing else any more; end."""
        self._status = os.read(self._told, 1)[0]
        time.sleep(SECONDS_TO_LEAVE)
        if self.give_back is not None:
            signal.pthread_kill(self._main, signal.SIGALRM)
            time.sleep(SECONDS_TO_GIVE_BACK)
        os._exit(self._status)

    def end(self, *_: object) -> None:
        """In the main thread, wherever it is."""
        with contextlib.suppress(Exception):
            if self.give_back is not None:
                self.give_back()
        os._exit(self._status)


_force: _Force | None = None


def stand_by(give_back: Callable[[], None] | None = None) -> None:
    """Be ready for `leave_by_force_later`, which calls `give_back` first, if it can. Call in the main thread."""
    global _force  # noqa: PLW0603 - there is one process to end
    if _force is None:
        _force = _Force()
        _force.start()
        signal.signal(signal.SIGALRM, _force.end)
    _force.give_back = give_back


def leave_by_force_later(status: int) -> None:
    """End the process with `status` in SECONDS_TO_LEAVE if it is still there. From any thread, and from a signal."""
    assert _force is not None, "stand_by() comes first"
    _force.later(status)


@contextlib.contextmanager
def signals_end_it() -> Iterator[None]:
    """From here to the end of the process a signal ends it and nothing else; within, the app may take them over.

    Call in the main thread.
    """

    def end_at_once(number: int, _: FrameType | None) -> None:
        os._exit(128 + number)

    def is_ending(number: int, _: FrameType | None) -> None:
        leave_by_force_later(128 + number)

    stand_by()
    atexit.register(_listen, signal.SIG_IGN)
    _listen(end_at_once)
    try:
        yield
    finally:
        stand_by()
        _listen(is_ending)


def _listen(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    for number in SIGNALS:
        signal.signal(number, handler)
