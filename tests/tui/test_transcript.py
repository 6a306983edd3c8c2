"""The page of a conversation: which rows are sent again, and that nobody who reads is moved."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widgets import Static

from tests.tui.hostile import HOSTILE
from tui.theme import DARK
from tui.widgets.transcript import TURNS_KEPT, Transcript, Turn
from workbench.safe_text import safe_text


class Page(App[None]):
    """A transcript and one row below it."""

    def compose(self) -> ComposeResult:
        yield Transcript()
        yield Static("below")

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return dict(DARK.variables)


@asynccontextmanager
async def page(size: tuple[int, int] = (60, 13)) -> AsyncIterator[tuple[Transcript, Pilot[None]]]:
    app = Page()
    async with app.run_test(size=size) as pilot:
        yield app.query_one(Transcript), pilot


def seen(transcript: Transcript) -> list[str]:
    """What stands in its rows."""
    rows = transcript.app.screen._compositor.render_strips()
    return [row.text.rstrip(" ▕") for row in rows[: transcript.size.height]]


def lines(count: int, first: int = 0) -> str:
    return "".join(f"line {number}\n" for number in range(first, first + count))


async def test_who_speaks_stands_beside_the_first_row() -> None:
    async with page() as (transcript, pilot):
        transcript.add(Turn("you", "hello " * 12))
        transcript.add(Turn("model", "two\nrows", footnote="4 tokens"))
        transcript.add(Turn("model"))
        await pilot.pause()
        assert [row for row in seen(transcript) if row] == [
            " you    " + "hello " * 7 + "hello",
            " " * 8 + "hello hello hello hello",
            " model  two",
            " " * 8 + "rows",
            " " * 8 + "4 tokens",
            " model  (nothing)",
        ]


async def test_a_growing_reply_sends_its_last_row_and_no_other() -> None:
    async with page() as (transcript, pilot):
        transcript.add(Turn("you", lines(4)))
        reply = transcript.add(Turn("model", is_finished=False))
        transcript.grow(reply, "one ")
        await pilot.pause()
        before = transcript.rows_painted
        for word in ("two ", "three ", "four"):
            transcript.grow(reply, word)
        assert transcript.rows_painted == before + 3
        transcript.grow(reply, "")
        transcript.grow(reply, "\n")
        assert transcript.rows_painted == before + 3, "an empty row is no other than before"
        await pilot.pause()
        assert seen(transcript)[5] == " model  one two three four"


async def test_a_long_reply_moves_the_page_by_half_and_not_by_a_row() -> None:
    async with page((60, 25)) as (transcript, pilot):
        reply = transcript.add(Turn("model", is_finished=False))
        before = transcript.rows_painted
        for number in range(240):
            transcript.grow(reply, f"line {number}\n")
        # 24 rows: moved each time twelve are full, 24 sent; else the one that grew and at times the mark.
        assert transcript.rows_painted - before < 240 * (1 + 24 / 12 + 1)
        await pilot.pause()
        assert " " * 8 + "line 239" in seen(transcript)
        transcript.change(reply, footnote="240 tokens")
        await pilot.pause()
        assert " " * 8 + "240 tokens" in seen(transcript)


async def test_who_scrolls_back_is_not_moved_by_what_comes() -> None:
    async with page() as (transcript, pilot):
        reply = transcript.add(Turn("model", lines(40), is_finished=False))
        await pilot.pause()
        transcript.scroll_page(-1)
        await pilot.pause()
        stood = seen(transcript)
        before = transcript.rows_painted
        transcript.grow(reply, lines(40, 40))
        transcript.change(reply, footnote="end")
        transcript.add(Turn("note", "something"))
        await pilot.pause()
        assert seen(transcript) == stood and transcript.has_more
        assert transcript.rows_painted - before <= 2 * transcript.size.height, (
            "only the mark of the place moved"
        )
        for _ in range(12):
            transcript.scroll_page(1)
        await pilot.pause()
        assert " note   something" in seen(transcript) and not transcript.has_more
        transcript.add(Turn("note", "followed again"))
        await pilot.pause()
        assert " note   followed again" in seen(transcript)


async def test_what_a_person_says_is_always_seen() -> None:
    async with page() as (transcript, pilot):
        transcript.add(Turn("model", lines(40)))
        transcript.scroll_rows(-100)
        transcript.add(Turn("you", "here I am"))
        await pilot.pause()
        assert " you    here I am" in seen(transcript)


async def test_the_end_of_scrolling_is_the_end_of_the_text() -> None:
    async with page() as (transcript, pilot):
        transcript.add(Turn("model", lines(40)))
        transcript.scroll_rows(-1000)
        await pilot.pause()
        assert seen(transcript)[0] == " model  line 0"
        transcript.scroll_rows(1000)
        await pilot.pause()
        assert [row for row in seen(transcript) if row][-1] == " " * 8 + "line 39"


async def test_the_oldest_go_and_the_page_stays() -> None:
    async with page() as (transcript, pilot):
        for number in range(TURNS_KEPT):
            transcript.add(Turn("note", f"turn {number}"))
        transcript.scroll_page(-2)
        await pilot.pause()
        stood = seen(transcript)
        for number in range(20):
            transcript.add(Turn("note", f"later {number}"))
        await pilot.pause()
        assert seen(transcript) == stood and len(transcript.turns) == TURNS_KEPT


async def test_a_turn_that_was_taken_away_cannot_be_changed() -> None:
    async with page() as (transcript, pilot):
        gone, stays = Turn("model", "gone", is_finished=False), Turn("model", "stays")
        transcript.add(gone)
        transcript.add(stays)
        transcript.take_away(gone)
        transcript.take_away(gone)
        transcript.grow(gone, "no")
        transcript.change(gone, footnote="no")
        await pilot.pause()
        assert [row for row in seen(transcript) if row] == [" model  stays"]
        transcript.clear()
        await pilot.pause()
        assert not any(seen(transcript))


@pytest.mark.parametrize("size", [(20, 6), (45, 12), (200, 50), (3, 3), (60, 13)])
async def test_another_size_breaks_the_text_anew(size: tuple[int, int]) -> None:
    async with page() as (transcript, pilot):
        for number in range(30):
            transcript.add(Turn("you" if number % 2 else "model", f"turn {number} " + "word " * 40))
        await pilot.resize_terminal(*size)
        await pilot.pause()
        assert not transcript.has_more
        if size[0] > 10:
            assert any("word" in row for row in seen(transcript))
        transcript.scroll_rows(-10_000)
        await pilot.resize_terminal(60, 13)
        await pilot.pause()
        assert seen(transcript)[0].startswith(" model  turn 0")


def pieces() -> Iterator[str]:
    for text in HOSTILE:
        yield safe_text(text)[:3000]


async def test_no_text_breaks_a_row() -> None:
    async with page((40, 10)) as (transcript, pilot):
        reply = transcript.add(Turn("model", is_finished=False))
        for number, text in enumerate(pieces()):
            transcript.grow(reply, text)
            if number % 10 == 0:
                await pilot.pause()
                strips = transcript.app.screen._compositor.render_strips()
                assert all(strip.cell_length == 40 for strip in strips)
        transcript.change(reply, footnote="[/b] [@click=app.quit]x[/]")
        await pilot.pause()
        assert any("[@click=app.quit]x[/]" in row for row in seen(transcript))


async def test_text_that_is_marked_with_the_mouse_can_be_copied() -> None:
    async with page() as (transcript, pilot):
        transcript.add(Turn("model", "first row\nsecond row"))
        await pilot.pause()
        await pilot.mouse_down(Transcript, offset=(8, 0))
        await pilot.hover(Transcript, offset=(14, 1))
        await pilot.mouse_up(Transcript, offset=(14, 1))
        await pilot.pause()
        assert transcript.app.screen.get_selected_text() == "first row\nsecond"


async def test_a_page_whose_text_became_shorter_is_full_again() -> None:
    async with page() as (transcript, pilot):
        transcript.add(Turn("model", lines(40)))
        reply = transcript.add(Turn("model", lines(20)))
        await pilot.pause()
        transcript.take_away(reply)
        await pilot.pause()
        shown = seen(transcript)
        assert shown[-2:] == [" " * 8 + "line 39", ""] and all(shown[:-1])
