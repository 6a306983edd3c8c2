"""What a corpus kept and left out, and its documents: paged, searched, judged."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import OptionList

from tests.tui.small_home import fake_texts, shown
from tests.tui.test_screens import _inert, running, text_of, until
from tui.app import WorkbenchApp
from tui.screens.clusters import ClustersScreen, cluster_told
from tui.screens.corpus import CorpusScreen
from tui.screens.documents import DocumentsScreen
from tui.visible import visible
from workbench.plan import Plan


async def test_the_corpus_tells_its_funnel_and_why_documents_were_left_out(
    planned: Plan, corpus: Path, tmp_path: Path
) -> None:
    async with running(WorkbenchApp(tmp_path), (120, 30)) as pilot:
        app = await shown(pilot, CorpusScreen(tmp_path, planned.name), "gopher quality")
        assert "60 documents" in text_of(app) and "length" in text_of(app)
        await pilot.press("down", "down")
        await until(pilot, lambda: "3 words, fewer than 50" in text_of(app))
        assert "← 50" in text_of(app) and "few words<U+202E> here" in text_of(app)
        assert app.screen.command().endswith("--reason gopher_too_few_words --home " + str(tmp_path))
        await pilot.press("enter")
        await until(
            pilot, lambda: isinstance(app.screen, DocumentsScreen) and "left out: 3 words" in text_of(app)
        )
        await pilot.press("escape", *["down"] * 20)
        await until(pilot, lambda: "real words" in text_of(app))
        await _inert(app, pilot)


async def test_documents_are_paged_searched_and_judged(
    planned: Plan, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_texts(monkeypatch)
    async with running(WorkbenchApp(tmp_path), (100, 30)) as pilot:
        app = await shown(pilot, DocumentsScreen(tmp_path, planned.name, corpus, seed=1), "document 0")
        assert "→   tab" in text_of(app) and "from document 1" in text_of(app)
        await pilot.press("full_stop")
        await until(pilot, lambda: "from document 41" in text_of(app))
        await pilot.press("comma")
        await until(pilot, lambda: "from document 1 " in text_of(app))
        await pilot.press("slash", *"document", "space", "5", "0", "enter")
        await until(pilot, lambda: "from document 51" in text_of(app))
        assert "␛" in text_of(app) and "<U+202E>" in text_of(app)
        await _inert(app, pilot)
        await pilot.press("v")
        await until(pilot, lambda: "document 50" in text_of(app))
        await pilot.press("full_stop")
        await until(pilot, lambda: "not found from here on" in text_of(app))
        await pilot.press("k")
        await until(
            pilot, lambda: "✗ characters 10 ≥ 40" in text_of(app) and "✓ characters 900" in text_of(app)
        )
        await pilot.press("escape", "r")
        await until(pilot, lambda: "from document" in text_of(app) and "not found" not in text_of(app))


async def test_the_documents_of_a_source_are_those_of_it_alone(
    planned: Plan, corpus: Path, tmp_path: Path
) -> None:
    async with running(WorkbenchApp(tmp_path), (120, 30)) as pilot:
        app = await shown(pilot, CorpusScreen(tmp_path, planned.name), "here")
        rows = app.screen.query_one(OptionList)
        lines = [str(rows.get_option_at_index(place).prompt) for place in range(rows.option_count)]
        rows.highlighted = next(place for place, line in enumerate(lines) if line.startswith("here "))
        await until(pilot, lambda: "60 kept" in text_of(app))
        await pilot.press("d")
        await until(pilot, lambda: "training from here" in text_of(app) and "from document 1" in text_of(app))
        await pilot.press("full_stop")
        await until(pilot, lambda: "from document 41" in text_of(app))
        assert app.screen.command().endswith("""grep -F '"source":"here"' | less""")
        none = DocumentsScreen(tmp_path, planned.name, corpus, source="elsewhere")
        await shown(pilot, none, "no documents here")


async def test_clusters_of_copies_are_paged_and_say_what_differs(
    planned: Plan, corpus: Path, tmp_path: Path
) -> None:
    async with running(WorkbenchApp(tmp_path), (120, 30)) as pilot:
        app = await shown(pilot, CorpusScreen(tmp_path, planned.name), "clusters of copies")
        rows = app.screen.query_one(OptionList)
        rows.highlighted = next(
            place
            for place in range(rows.option_count)
            if "copies" in str(rows.get_option_at_index(place).prompt)
        )
        await until(pilot, lambda: "1 of 2" in text_of(app) and "90% the same" in text_of(app))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ClustersScreen) and "the 1 largest" in text_of(app))
        await until(pilot, lambda: "left out  c2  here, the same text" in text_of(app))
        assert "kept  c0  here" in text_of(app) and "left out  c1  there, 90% the same" in text_of(app)
        assert "and 1 more" in text_of(app)
        assert "inspect small-1a2b3c/corpus --clusters" in app.screen.command()
        (corpus / "clusters.jsonl.zst").write_bytes(b"\x28\xb5\x2f\xfdnonsense")
        await shown(pilot, ClustersScreen(tmp_path, planned.name, corpus), "is damaged; delete the artifact")
        (corpus / "clusters.jsonl.zst").unlink()
        await shown(pilot, ClustersScreen(tmp_path, planned.name, corpus), "none is kept to be shown")


def test_what_a_copy_says_otherwise_is_marked() -> None:
    text = "to be, or not to be"
    told = cluster_told({"size": 2, "kept": {"text": text}, "copies": [{"text": "to be, or not too be!"}]})
    assert [told.plain[span.start : span.end] for span in told.spans if "underline" in str(span.style)] == [
        "too",
        "!",
    ]


async def test_a_damaged_corpus_says_so_and_what_to_do(planned: Plan, corpus: Path, tmp_path: Path) -> None:
    (corpus / "train-00000.jsonl.zst").write_bytes(b"\x28\xb5\x2f\xfdnonsense")
    async with running(WorkbenchApp(tmp_path), (150, 24)) as pilot:
        app = await shown(pilot, DocumentsScreen(tmp_path, planned.name, corpus), "is damaged")
        (corpus / "report.json").write_text('{"read": "[b]"}')
        await shown(pilot, CorpusScreen(tmp_path, planned.name), "with base 10")
        await _inert(app, pilot)


def test_what_cannot_be_seen_is_shown() -> None:
    assert visible("a\tb \n\u202e\u00a0\u200d\x1b").plain == "a→   b·¶\n<U+202E>⍽<U+200D>␛"
    assert visible("[b]x[/b]").plain == "[b]x[/b]"
    assert visible("a\n", ends=False).plain == "a\n"
