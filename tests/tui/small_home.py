"""A home with a run of a small recipe: what it has planned, and a corpus and a scorecard that it has made."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.screen import Screen

from tests.tui.test_screens import CHILD, HOSTILE, text_of, until
from tui.app import WorkbenchApp
from workbench.data import corpus_folder
from workbench.data.documents import Document
from workbench.data.jsonl_zst import JsonlZstWriter
from workbench.failure_report import write_failures
from workbench.plan import Plan, make_plan
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
    copy = {
        "id": "c1",
        "source": "there",
        "text": "to be or not too be",
        "reason": "near_duplicate",
        "similarity": 0.9,
    }
    with JsonlZstWriter(folder / corpus_folder.CLUSTERS_FILE) as writer:
        kept = {"id": "c0", "source": "here", "text": "to be or not to be"}
        writer.write({"size": 4, "kept": kept, "copies": [copy, {**kept, "id": "c2", "reason": "duplicate"}]})
    return folder


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


def fake_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts are cut by the fake child."""
    monkeypatch.setattr(TextClient, "over", lambda _: TextClient([sys.executable, str(TEXT_CHILD)]))


async def shown(pilot: Pilot[None], screen: Screen[Any], text: str) -> WorkbenchApp:
    """Open `screen` and wait until it says `text`, wherever the length of a path has its lines broken."""
    app = pilot.app
    assert isinstance(app, WorkbenchApp)
    app.push_screen(screen)
    await until(pilot, lambda: text in text_of(app) or text in " ".join(text_of(app).split()))
    return app
