"""A home in which every name and every text that a room shows is hostile: the path, a corpus, a scorecard, a recipe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.tui.hostile import HOSTILE
from tests.tui.small_home import RECIPE
from workbench.data import corpus_folder
from workbench.data.documents import Document
from workbench.data.jsonl_zst import JsonlZstWriter
from workbench.failure_report import write_failures
from workbench.plan import Plan, make_plan
from workbench.recipe_file import load_recipe
from workbench.runs import create_run

ROWS = 12


def wicked(number: int) -> str:
    """Every ROWS-th hostile text, one after another, as a file can hold them."""
    texts = [text for text in HOSTILE[number::ROWS] if len(text) < 500]
    return "".join(texts).encode("utf-8", "replace").decode()


def hostile_run(folder: Path) -> tuple[Path, str]:
    """A home below `folder`, and the name of the run in it that has made a corpus and a scorecard."""
    home = folder / "ho\x1b]0;pwned\x07me\u202e[b]\x9b31m"
    (folder / "texts.txt").write_text("some text\n" * 100)
    recipe = folder / "re\x1b]2;pwned\x07cipe[b].toml"
    recipe.write_text(RECIPE)
    plan = make_plan(load_recipe(recipe), home=home)
    create_run(home, plan.name, recipe_text=RECIPE, plan=plan.to_dict())
    _write_corpus(_publish(plan, "corpus"))
    _write_scorecard(_publish(plan, "eval"))
    return home, plan.name


def corpus_of(home: Path) -> Path:
    """The folder of its corpus."""
    return next(home.glob("store/documents/*/report.json")).parent


def scorecard_of(home: Path) -> Path:
    """The folder of its scorecard."""
    return next(home.glob("store/scorecard/*/scorecard.json")).parent


def _publish(plan: Plan, stage: str) -> Path:
    folder = plan.store.folder(plan.stage(stage).makes)
    folder.mkdir(parents=True)
    manifest = {
        "version": 1,
        "files": {},
        "settings": {wicked(0): wicked(1)},
        "summary": {wicked(2): wicked(3)},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def _write_corpus(folder: Path) -> None:
    with corpus_folder.train_writer(folder) as writer:
        for number in range(ROWS):
            document = Document(
                f"{wicked(number)}", f"MARK {wicked(number)}", wicked(number + 1), heldout=False
            )
            corpus_folder.write_document(writer, document)
    with corpus_folder.rejected_writer(folder) as writer:
        for number in range(ROWS):
            document = Document(wicked(number), wicked(number + 2), wicked(number + 1), heldout=False)
            reason, copy = wicked(number % 3), wicked(number + 3)
            writer.write(corpus_folder.rejected_record(document, reason, wicked(number), copy_of=copy))
    corpus_folder.heldout_writer(folder).__exit__(None, None, None)
    with JsonlZstWriter(folder / corpus_folder.CLUSTERS_FILE) as writer:
        for number in range(ROWS):
            kept, copy = (
                {
                    "id": wicked(number + more),
                    "source": wicked(number),
                    "text": f"MARK {wicked(number + more)}",
                }
                for more in (0, 1)
            )
            writer.write(
                {"size": 9, "kept": kept, "copies": [copy, wicked(number), {"similarity": wicked(2)}]}
            )
    amount = {"documents": ROWS, "bytes": 900}
    rejected = {wicked(number): {"documents": 2, "bytes": 20} for number in range(3)}
    source: dict[str, Any] = {
        "read": amount, "train": amount, "heldout": amount, "rejected": {wicked(1): 2},
        "changed": {wicked(4): 3}, "samples": [{"id": wicked(5), "text": wicked(6)}],
    }  # fmt: skip
    report = {
        "documents": ROWS, "bytes": 880, "heldout_documents": 0, "heldout_bytes": 0, "read": 2 * ROWS,
        "rejected": {wicked(number): 2 for number in range(4)},
        "steps": [{"step": wicked(number), "in": amount, "kept": amount, "rejected": rejected} for number in range(3)],
        "sources": {wicked(number): source for number in range(3)},
        "histograms": {wicked(7): {"edges": [0, 20, 60], "counts": [2, 60], "least": 3, "most": 58}},
        "clusters": {"count": 1, "sizes": {"9": 1}},
        "contamination": {"sets": [{"name": wicked(9), "seen": 3, "items": 4, "too_short": 1}]},
    }  # fmt: skip
    (folder / corpus_folder.REPORT_FILE).write_text(json.dumps(report))


def _write_scorecard(folder: Path) -> None:
    score = {"value": 0.5, "stderr": 0.1, "n": 200}
    tasks = {wicked(number): {wicked(number + 1): score} for number in range(4)}
    card = {
        "models": {wicked(number): {"tasks": tasks} for number in range(2)},
        "baselines": {wicked(0): {wicked(3): score}},
        "contamination": {wicked(0): {"items": 200, "seen": 7, "dropped": 2, "too_short": 1}},
    }
    (folder / "scorecard.json").write_text(json.dumps(card))
    items = [
        {"model": wicked(number), "task": wicked(0), "id": wicked(number + 1), "asked": wicked(number + 2),
         "expected": wicked(number + 3), "came": wicked(number + 4), "seen": True}
        for number in range(ROWS)
    ]  # fmt: skip
    write_failures(folder, items)
