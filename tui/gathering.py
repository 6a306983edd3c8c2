"""A fast stream in batches: what comes is handed on a few times a second, however much of it there is.

Knows neither what makes the events nor what shows them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from workbench.chat_client import ChatEvent, Ended, Token

PATIENCE_SECONDS = 0.2
"""So long nothing may come before the consumer gets a moment to see whether it is still wanted."""


def gathered(
    next_event: Callable[[float], ChatEvent | None],
    *,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[tuple[ChatEvent, ...]]:
    """Batches, one in `seconds` at most, up to the one that holds `Ended`; empty ones while nothing comes.

    next_event: waits so many seconds for one event. The first after a pause is handed on at once; then what comes
    is left to gather, because to be woken for each token costs more than the token. Neighbouring tokens are one.
    """
    handed_on_at = float("-inf")
    while True:
        event = next_event(PATIENCE_SECONDS)
        if event is None:
            yield ()
            continue
        if (early := handed_on_at + seconds - clock()) > 0:
            sleep(early)
        batch: list[ChatEvent] = []
        handed_on_at = until = clock()
        while event is not None:
            if isinstance(event, Token) and batch and isinstance(batch[-1], Token):
                batch[-1] = Token(batch[-1].text + event.text)
            else:
                batch.append(event)
            if isinstance(event, Ended):
                yield tuple(batch)
                return
            # What comes faster than it is read ends the batch too.
            event = next_event(0.0) if clock() < until + seconds else None
        yield tuple(batch)
