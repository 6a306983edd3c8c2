"""A reply that comes fast: drawn a few times a second whatever its speed, and ended by a key while it comes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.tui.test_screens import chat_app, running, say, text_of, until
from tui.widgets.conversation import FLUSH_SECONDS, Turn


async def test_a_fast_reply_is_drawn_five_times_a_second_at_most_and_esc_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grown: list[str] = []
    grow = Turn.grow

    def count(turn: Turn, text: str, *, footnote: str = "") -> None:
        grown.append(text)
        grow(turn, text, footnote=footnote)

    monkeypatch.setattr(Turn, "grow", count)
    app, chat = chat_app(tmp_path)
    async with running(app) as pilot:
        app.push_screen(chat)
        await until(pilot, lambda: "context 256" in text_of(app))
        begun = time.monotonic()
        await say(pilot, "endless")  # a token every two milliseconds, until it is stopped
        await until(pilot, lambda: "".join(grown).count("again") >= 300)
        await pilot.press("escape")
        await until(pilot, lambda: "tok/s · stopped" in text_of(app))
        # Three more than whole slices fit in: the one that had begun before, the one that the end cuts, the last line.
        assert len(grown) <= (time.monotonic() - begun) / FLUSH_SECONDS + 3
        assert len(grown) < "".join(grown).count("again") / 3
