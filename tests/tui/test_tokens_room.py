"""Text cut by one tokenizer, or by two."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.content import Content
from textual.widgets import TextArea

from tests.tui.small_home import fake_texts, publish, shown
from tests.tui.test_screens import _inert, running, text_of, until
from tui.app import WorkbenchApp
from tui.screens.tokens import Cut, TokensScreen, boundaries
from workbench.plan import Plan


async def test_tokens_show_boundaries_ids_and_a_second_tokenizer(
    planned: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_texts(monkeypatch)
    publish(planned, "tokenizer")
    async with running(WorkbenchApp(tmp_path), (100, 30)) as pilot:
        app = await shown(pilot, TokensScreen(tmp_path, planned.name), "bytes/token")
        app.screen.query_one(TextArea).text = "abc de\x1b[31mfé"
        await until(pilot, lambda: "abc│·de│␛[3│1mf│é" in text_of(app))
        assert "5 tokens  14 bytes  2.80" in text_of(app)
        await _inert(app, pilot)
        await pilot.press("ctrl+o")
        await until(pilot, lambda: "Beside which" in text_of(app) and "300 entries" in text_of(app))
        await pilot.press("enter")
        await until(pilot, lambda: "20% fewer tokens" in text_of(app))
        await pilot.press("ctrl+o")
        await until(pilot, lambda: "fewer" not in text_of(app))
        app.screen.query_one(TextArea).text = "die"
        await until(pilot, lambda: "has ended" in text_of(app))


def test_tokens_are_told_apart_by_more_than_colour_and_broken_ones_are_hex() -> None:
    cut = Cut("x", ids=(1, 2, 3), pieces=(b"a b", b"\xc3", b"\n"))
    drawn: Content = boundaries(cut)
    assert drawn.plain == "a·b│⟨C3⟩│¶\n"
    assert any("$panel" in str(span.style) for span in drawn.spans)
