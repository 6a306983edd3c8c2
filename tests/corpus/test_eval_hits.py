from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.corpus.fake_run import FakeRun, build, digests, prose, write_jsonl
from workbench.corpus import contamination
from workbench.corpus.contamination_report import read_contamination
from workbench.data.corpus_folder import read_artifact_documents
from workbench.errors import BadInput
from workbench.stages import corpus

QUESTIONS = [prose(5000 + number, 2) for number in range(6)]
SETTINGS: dict[str, Any] = {"heldout_fraction": 0.5}


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sixty documents in some blocks, two of which hold a question, and one of those another."""
    monkeypatch.setattr(corpus, "BLOCK_BYTES", 4000)
    monkeypatch.setattr(corpus, "INLINE_SIZE", 5000)
    texts = [prose(number) for number in range(60)]
    texts[7] = f"{texts[7]} {QUESTIONS[0].upper()}"
    texts[33] = f"{QUESTIONS[0]} {texts[33]} {QUESTIONS[4]}"
    write_jsonl(tmp_path / "pages.jsonl", texts)
    records = [{"query": text, "choices": ["yes", "no"], "gold": 0} for text in QUESTIONS]
    (tmp_path / "quiz.jsonl").write_text("\n".join(map(json.dumps, records)))
    return tmp_path


def built(base: Path, name: str, *, workers: int = 1, **keys: Any) -> tuple[Path, dict[str, str]]:
    run = FakeRun(base / name / "out")
    table = {"against": ("quiz.jsonl",), **keys}
    build(run, base, "pages.jsonl", workers=workers, decontamination=table, **SETTINGS)
    return run.folder, digests(run.folder)


def trained_on(folder: Path) -> set[str]:
    return {document.id for document in read_artifact_documents(folder, "train")}


def test_what_is_held_out_was_not_trained_on(sources: Path) -> None:
    folder, _ = built(sources, "mark", action="mark")
    assert json.loads((folder / "report.json").read_text())["rejected"] == {}
    trained = {"pages.jsonl:8": {"quiz.jsonl:1"}, "pages.jsonl:34": {"quiz.jsonl:1", "quiz.jsonl:5"}}
    seen = set().union(*(items for document, items in trained.items() if document in trained_on(folder)))
    (known,) = read_contamination(folder).values()
    assert (known.seen, known.dropped) == (seen, 0)
    report = json.loads((folder / "report.json").read_text())
    assert report["contamination"]["sets"] == [
        {"name": "quiz.jsonl", "items": 6, "too_short": 0, "seen": len(seen)}
    ]


def test_workers_and_caches_change_nothing(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, one = built(sources, "one")
    assert built(sources, "two", workers=2)[1] == one
    with monkeypatch.context() as patch:
        patch.setattr(contamination.RunTable, "scan", None)
        assert built(sources, "one")[1] == one
        built(sources, "one", min_share=0.9, action="mark")


def test_a_set_that_is_none_is_said_before_any_work(sources: Path) -> None:
    with pytest.raises(BadInput, match="no evaluation set is called 'quizz'"):
        built(sources, "bad", against=("quizz",))
