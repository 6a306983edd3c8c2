"""The rooms: what a run has made, looked into by keys; a recipe, edited; two models, asked at once."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from textual.content import Content
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Button, Input, OptionList, TextArea

from tests.tui.test_screens import CHILD, HOSTILE, _inert, running, say, text_of, until
from tui.app import WorkbenchApp
from tui.launching import start
from tui.screens import doctor
from tui.screens.chat import ChatScreen
from tui.screens.corpus import CorpusScreen
from tui.screens.doctor import DoctorScreen
from tui.screens.documents import DocumentsScreen
from tui.screens.failures import FailuresScreen
from tui.screens.help import HelpScreen
from tui.screens.plan import PlanScreen
from tui.screens.recipe import RecipeScreen
from tui.screens.run import RunScreen
from tui.screens.scores import ScoresScreen
from tui.screens.start import StartScreen
from tui.screens.tokens import Cut, TokensScreen, boundaries
from tui.state import FILE_NAME, State
from tui.visible import visible
from tui.widgets.composer import Composer
from tui.widgets.still import StillText
from workbench.chat_client import ChatClient
from workbench.data import corpus_folder
from workbench.data.documents import Document
from workbench.doctor import Finding
from workbench.errors import BadInput, RecipeError
from workbench.failure_report import write_failures
from workbench.plan import Plan, make_plan
from workbench.prechecks import precheck
from workbench.recipe_file import load_recipe
from workbench.runs import create_run
from workbench.text_client import TextClient

TEXT_CHILD = CHILD.parent / "fake_text_child.py"
RECIPE = """name = "small"

[corpus]
sources = ["texts.txt"]  # ours
filters = ["gopher_quality"]

[tokenizer]
vocab_size = 300

[pack]

[model]
num_hidden_layers = 2
hidden_size = 32

[pretrain]
tokens = "2000"
batch_tokens = 256
context_length = 64

[eval]
tasks = ["heldout"]
"""


@pytest.fixture
def planned(tmp_path: Path) -> Plan:
    """A run of a small recipe that has made nothing yet."""
    (tmp_path / "texts.txt").write_text("some text\n" * 100)
    (tmp_path / "small.toml").write_text(RECIPE)
    plan = make_plan(load_recipe(tmp_path / "small.toml"), home=tmp_path, name="small-1a2b3c")
    create_run(tmp_path, plan.name, recipe_text=RECIPE, plan=plan.to_dict())
    return plan


def publish(plan: Plan, stage: str, **settings: Any) -> Path:
    """The folder of what a stage made, with its manifest."""
    folder = plan.store.folder(plan.stage(stage).makes)
    folder.mkdir(parents=True)
    manifest = {"version": 1, "files": {}, "settings": settings, "summary": {}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture
def corpus(planned: Plan) -> Path:
    """A corpus of 60 documents, one of them hostile, and two that were left out for a reason."""
    folder = publish(
        planned, "corpus", min_characters=40, filters=["gopher_quality"], gopher_quality={"min_words": 50}
    )
    with corpus_folder.train_writer(folder) as writer:
        for number in range(60):
            text = f"document {number} " + (
                HOSTILE.replace("\udce9", "") if number == 50 else "of words \ttab "
            )
            corpus_folder.write_document(writer, Document(f"d{number}", text, "here", heldout=False))
    with corpus_folder.rejected_writer(folder) as writer:
        for number in range(2):
            document = Document(f"r{number}", "few words\u202e here", "here", heldout=False)
            writer.write(corpus_folder.rejected_record(document, "gopher_too_few_words", 3 + number))
    corpus_folder.heldout_writer(folder).__exit__(None, None, None)
    amount = {"documents": 62, "bytes": 900}
    kept = {"documents": 60, "bytes": 880}
    source = {"read": amount, "train": kept, "heldout": amount, "rejected": {"gopher_too_few_words": 2}}
    report = {
        "documents": 60, "bytes": 880, "heldout_documents": 0, "heldout_bytes": 0, "read": 62,
        "rejected": {"gopher_too_few_words": 2},
        "steps": [
            {"step": "length", "in": amount, "kept": amount, "rejected": {}},
            {"step": "gopher_quality", "in": amount, "kept": kept,
             "rejected": {"gopher_too_few_words": {"documents": 2, "bytes": 20}}},
        ],
        "sources": {"here": {**source, "samples": [{"id": "d1", "text": "a sample"}]}, HOSTILE[:40]: source},
        "histograms": {"real_words": {"edges": [0, 20, 60], "counts": [2, 60], "least": 3, "most": 58}},
        "clusters": {"count": 1, "sizes": {"2": 1}},
    }  # fmt: skip
    (folder / "report.json").write_text(json.dumps(report))
    return folder


async def shown(pilot: Pilot[None], screen: Screen[Any], text: str) -> WorkbenchApp:
    """Open `screen` and wait until it says `text`."""
    app = pilot.app
    assert isinstance(app, WorkbenchApp)
    app.push_screen(screen)
    await until(pilot, lambda: text in text_of(app))
    return app


async def test_every_room_opens_by_one_key_from_the_list_and_from_a_run(
    planned: Plan, corpus: Path, scorecard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_texts(monkeypatch)
    publish(planned, "tokenizer")
    monkeypatch.setattr(doctor, "examine", lambda _: iter([Finding("load", "low")]))
    app = WorkbenchApp(tmp_path)
    rooms = {"2": RecipeScreen, "3": CorpusScreen, "4": TokensScreen, "6": ScoresScreen, "9": DoctorScreen}
    async with running(app) as pilot:
        await until(pilot, lambda: planned.name in text_of(app))
        for _ in range(2):
            for key, room in rooms.items():
                await pilot.press(key)
                await until(pilot, lambda room=room: isinstance(app.screen, room))  # type: ignore[misc]
                assert app.screen.command().startswith("workbench ")
                await pilot.press("escape")
                await until(pilot, lambda room=room: not isinstance(app.screen, room))  # type: ignore[misc]
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(app.screen, RunScreen))


async def test_rooms_of_a_run_that_has_made_nothing_say_so(planned: Plan, tmp_path: Path) -> None:
    async with running(WorkbenchApp(tmp_path)) as pilot:
        app = await shown(pilot, CorpusScreen(tmp_path, planned.name), "✗")
        assert "corpus is not finished" in " ".join(text_of(app).split())
        await shown(pilot, ScoresScreen(tmp_path, planned.name), "eval is not")
        await shown(pilot, ScoresScreen(tmp_path, "gone"), "gone")


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


def fake_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts are cut by the fake child."""
    monkeypatch.setattr(TextClient, "over", lambda _: TextClient([sys.executable, str(TEXT_CHILD)]))


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


async def test_a_recipe_is_edited_checked_and_saved(
    planned: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with running(WorkbenchApp(tmp_path), (110, 30)) as pilot:
        screen = RecipeScreen(tmp_path, "small.toml")
        app = await shown(pilot, screen, "plan  ")
        await until(pilot, lambda: "✓ valid" in text_of(app) and "○ pretrain" in text_of(app))
        await go_to(pilot, "vocab_size")
        assert "How many" in text_of(app) or "300" in text_of(app)
        await pilot.press("enter")
        screen.query_one(Input).value = "9 99"
        await until(pilot, lambda: "✗ 1 problem" in text_of(app) and "[tokenizer] vocab_size" in text_of(app))
        await pilot.press("escape")
        await until(pilot, lambda: "✓ valid" in text_of(app))
        await pilot.press("enter")
        screen.query_one(Input).value = "400"
        await pilot.press("enter")
        await until(pilot, lambda: "changed, not saved" in text_of(app) and "✓ valid" in text_of(app))
        assert "--set tokenizer.vocab_size=400" in screen.command()
        await pilot.press("u")
        await until(pilot, lambda: "changed" not in text_of(app))
        await pilot.press("enter")
        screen.query_one(Input).value = "500"
        await pilot.press("enter", "W")
        screen.query_one(Input).value = "other"
        await pilot.press("enter")
        await until(pilot, (tmp_path / "other.toml").is_file)
        assert (tmp_path / "other.toml").read_text() == RECIPE.replace("vocab_size = 300", "vocab_size = 500")
        assert (tmp_path / "small.toml").read_text() == RECIPE
        await until(pilot, lambda: "other.toml" in text_of(app) and "✓ valid" in text_of(app))
        await pilot.press("g")
        await until(
            pilot, lambda: isinstance(app.screen, PlanScreen) and "memory at its highest" in text_of(app)
        )


async def go_to(pilot: Pilot[None], key: str) -> None:
    """The cursor to a key of the recipe."""
    rows = pilot.app.screen.query_one(OptionList)
    at = next(n for n in range(rows.option_count) if key in str(rows.get_option_at_index(n).prompt))
    rows.highlighted = at
    await pilot.pause(0.1)


async def test_a_recipe_that_cannot_be_read_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.toml").write_text(f"name = {json.dumps(HOSTILE[:30])}\n[pretrain]\nlearing_rate = 1\n")
    async with running(WorkbenchApp(tmp_path), (110, 30)) as pilot:
        app = await shown(pilot, RecipeScreen(tmp_path, "bad.toml"), "learning_rate?")
        await _inert(app, pilot)
        assert "G start" in text_of(app)
        await pilot.press("G")
        assert isinstance(app.screen, RecipeScreen)
        await go_to(pilot, "learing_rate")
        await until(pilot, lambda: "takes it out" in text_of(app))
        await pilot.press("backspace")
        await until(pilot, lambda: "✗ 2 problems" in text_of(app) and "learing_rate" not in text_of(app))
        await shown(pilot, RecipeScreen(tmp_path, "none.toml"), "there is no such recipe")


async def test_what_would_fail_late_is_told_and_refused_as_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts.txt").write_text("some text\n" * 100)
    (tmp_path / "chats.jsonl").write_text('{"who": "knows"}\n')
    text = RECIPE.replace('tasks = ["heldout"]', 'tasks = ["heldoot"]')
    (tmp_path / "late.toml").write_text(text.replace("[eval]", '[sft]\nsources = ["chats.jsonl"]\n\n[eval]'))
    loaded = load_recipe(tmp_path / "late.toml")
    with pytest.raises(RecipeError) as told:
        precheck(make_plan(loaded, home=tmp_path), loaded)
    examples, task = told.value.problems
    launched: list[Plan] = []
    monkeypatch.setattr("workbench.launcher.launch", launched.append)
    async with running(WorkbenchApp(tmp_path), (240, 40)) as pilot:
        app = await shown(pilot, RecipeScreen(tmp_path, "late.toml"), "✗ 2 problems")
        await until(pilot, lambda: examples.message[:150] in text_of(app) and task.message in text_of(app))
        await go_to(pilot, "tasks")
        await until(
            pilot, lambda: "did you mean heldout?" in str(app.screen.query_one("#told", StillText).content)
        )
        await pilot.press("G")
        await until(pilot, lambda: "start: [sft] sources:" in text_of(app))
        await shown(
            pilot, StartScreen(tmp_path, first="late.toml"), f"✗ line {examples.line}: [sft] sources:"
        )
        words = " ".join(text_of(app).split())
        assert f"line {task.line}: [eval] tasks:" in words
        assert app.screen.query_one("#start", Button).disabled
        await pilot.press("G", "enter")
        assert isinstance(app.screen, StartScreen)
    with pytest.raises(RecipeError) as refused:
        start(loaded, home=tmp_path)
    assert str(refused.value) == str(told.value) and launched == []


async def test_what_will_not_fit_is_not_started_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts.txt").write_text("some text\n" * 100)
    (tmp_path / "huge.toml").write_text(RECIPE.replace("hidden_size = 32", "hidden_size = 131072"))
    launched: list[Plan] = []
    monkeypatch.setattr("workbench.launcher.launch", launched.append)
    async with running(WorkbenchApp(tmp_path), (140, 30)) as pilot:
        app = await shown(pilot, RecipeScreen(tmp_path, "huge.toml"), "! cannot run here: ")
        await pilot.press("G")
        await until(pilot, lambda: "start: it cannot run here: " in text_of(app))
        await shown(pilot, StartScreen(tmp_path, first="huge.toml"), "✗ cannot run here: ")
        assert app.screen.query_one("#start", Button).disabled
        await pilot.press("G", "enter")
        assert isinstance(app.screen, StartScreen) and app.screen.command().startswith("workbench run")
    loaded = load_recipe(tmp_path / "huge.toml")
    with pytest.raises(BadInput, match="will not fit"):
        start(loaded, home=tmp_path)
    assert launched == []


@pytest.fixture
def scorecard(planned: Plan) -> Path:
    """A scorecard of two stages with a task that was partly seen, and two items that came out wrong."""
    folder = publish(planned, "eval")

    def score(value: float, stderr: float | None = 0.02) -> dict[str, Any]:
        return {"value": value, "stderr": stderr, "n": 200}

    card = {
        "models": {
            "pretrain": {"tasks": {"names": {"acc": score(0.5)}, "heldout": {"bits_per_byte": score(1.2)}}},
            "sft": {"tasks": {"names": {"acc": score(0.7)}, "heldout": {"bits_per_byte": score(1.21)}}},
        },
        "baselines": {"names": {"spelling [b]": score(0.4, None)}},
        "contamination": {"names": {"items": 200, "seen": 7, "dropped": 2, "too_short": 1}},
    }
    (folder / "scorecard.json").write_text(json.dumps(card))
    item = {
        "model": "sft",
        "task": "names",
        "id": "q1",
        "asked": HOSTILE.replace("\udce9", ""),
        "expected": "B",
    }
    write_failures(
        folder, [{**item, "came": "C", "seen": True}, {**item, "id": "q2", "task": "else", "came": ""}]
    )
    return folder


async def test_scores_stand_beside_each_other_and_say_whether_they_differ(
    planned: Plan, scorecard: Path, tmp_path: Path
) -> None:
    async with running(WorkbenchApp(tmp_path), (100, 30)) as pilot:
        app = await shown(pilot, ScoresScreen(tmp_path, planned.name), ".500 ±.020")
        await until(pilot, lambda: "▲ better" in text_of(app))
        for said in (
            "pretrain",
            "sft",
            ".661 to .739",
            "├",
            "spelling [b]",
            "7 of 200 items stand in training text",
        ):
            assert said in text_of(app)
        assert "The share of the questions that were answered right" in text_of(app)
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen) and "Few-Shot Learners" in text_of(app))
        await pilot.press("escape", "down")
        await until(pilot, lambda: "· not different" in text_of(app))
        await pilot.press("up", "enter")
        await until(pilot, lambda: isinstance(app.screen, FailuresScreen) and "expected" in text_of(app))
        assert "1 item that" in text_of(app) and "this item stands in training text" in text_of(app)
        await _inert(app, pilot)
        await shown(pilot, FailuresScreen(tmp_path, planned.name, scorecard, "heldout"), "keeps no items")


async def test_doctor_tells_problems_first_and_speeds_when_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [Finding("memory", "8 GB"), Finding("load", "3.1", "others use [b]this", "wait")]
    monkeypatch.setattr(doctor, "examine", lambda _: iter(found))
    async with running(WorkbenchApp(tmp_path)) as pilot:
        app = await shown(pilot, DoctorScreen(tmp_path), "! 1 to look at")
        lines = text_of(app).splitlines()
        assert "others use [b]this" in lines[2] and "→ wait" in lines[3]
        peaks = {"float32_flops": 2e11, "memory_bytes_per_second": 9e9}
        use = {"name": "bfloat16", "times": 2.5, "instead_of": "float32", "active": True}
        idle = {"name": "float8", "times": None, "active": False, "why_not": "it needs [b]a GPU"}
        app.screen.post_message(
            doctor.Measured({"peaks": peaks, "uses": [use, idle], "arithmetic": "bfloat16", "threads": 2})
        )
        await until(
            pilot, lambda: "2.5 times as quick as float32" in text_of(app) and "200 GFLOP/s" in text_of(app)
        )
        assert "· float8: it needs [b]a GPU" in text_of(app)


async def test_two_models_hear_the_same_words(tmp_path: Path) -> None:
    first, second = (ChatClient([sys.executable, str(CHILD)]) for _ in range(2))
    chat = ChatScreen(tmp_path, "a/sft", beside="b/sft", client=first, second_client=second)
    async with running(WorkbenchApp(tmp_path), (100, 24)) as pilot:
        app = await shown(pilot, chat, "▏ chat")
        await until(pilot, lambda: text_of(app).count("context 256") == 2)
        await say(pilot, "hello")
        await until(pilot, lambda: text_of(app).count("you said hello") == 2)
        await until(pilot, lambda: text_of(app).count("100 tok/s") == 2)
        await say(pilot, "**bold**")
        await until(pilot, lambda: text_of(app).count("you said **bold**") == 2)
        await pilot.press("ctrl+g")
        await until(pilot, lambda: text_of(app).count("you said bold") == 2)
        assert State(tmp_path / FILE_NAME).get("markdown", False), "remembered"
        await say(pilot, "die")
        await until(pilot, lambda: text_of(app).count("no such checkpoint") == 2)
        assert chat.query_one(Composer).disabled
        await pilot.press("ctrl+o")
        await until(pilot, lambda: "▏" not in text_of(app))
        await pilot.press("ctrl+o")
        await until(pilot, lambda: "No run has made one yet" in text_of(app))


@pytest.mark.parametrize("size", [(20, 6), (45, 12), (60, 15), (200, 50)])
async def test_rooms_fit_any_terminal(
    planned: Plan,
    corpus: Path,
    scorecard: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: tuple[int, int],
) -> None:
    fake_texts(monkeypatch)
    async with running(WorkbenchApp(tmp_path), (80, 24)) as pilot:
        for screen in (
            CorpusScreen(tmp_path, planned.name),
            DocumentsScreen(tmp_path, planned.name, corpus),
            ScoresScreen(tmp_path, planned.name),
            TokensScreen(tmp_path, planned.name),
            RecipeScreen(tmp_path, tmp_path / "small.toml"),
        ):
            pilot.app.push_screen(screen)
            await pilot.resize_terminal(*size)
            await pilot.pause(0.05)


@pytest.mark.parametrize("room", [CorpusScreen, ScoresScreen, TokensScreen])
def test_pictures(
    planned: Plan,
    corpus: Path,
    scorecard: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    snap_compare: Any,
    room: Any,
) -> None:
    monkeypatch.setenv("WORKBENCH_THEME", "dark")
    monkeypatch.delenv("NO_COLOR", raising=False)
    fake_texts(monkeypatch)
    said = {CorpusScreen: "3 words, fewer", ScoresScreen: "▲ better", TokensScreen: "bytes/token"}[room]

    async def look(pilot: Pilot[None]) -> None:
        app = await shown(pilot, room(tmp_path, planned.name), "small-1a2b3c")
        if room is CorpusScreen:
            await until(pilot, lambda: "few words" in text_of(app))
            await pilot.press("down", "down")
        await until(pilot, lambda: said in text_of(app))

    assert snap_compare(WorkbenchApp(tmp_path), terminal_size=(100, 30), run_before=look)
