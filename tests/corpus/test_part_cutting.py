from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.corpus.fake_run import FakeRun, build, digests, prose, write_jsonl
from workbench.corpus import part_cutting
from workbench.data.corpus_folder import read_artifact_documents
from workbench.data.jsonl_zst import read_jsonl_zst
from workbench.stages import corpus

NOTICE = prose(4242, 2)


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pages in some blocks, every third with the same notice, and one that is nothing but notices."""
    monkeypatch.setattr(corpus, "BLOCK_BYTES", 4000)
    monkeypatch.setattr(corpus, "INLINE_SIZE", 5000)
    pages = [f"{prose(n)}\n\n{NOTICE}\n\nEnd." if n % 3 == 0 else prose(n) for n in range(60)]
    write_jsonl(tmp_path / "pages.jsonl", [*pages, f"{NOTICE}\n\n{NOTICE.upper()}\n\nShort."])
    return tmp_path


def built(base: Path, name: str, *, workers: int = 1, **keys: Any) -> tuple[Path, dict[str, str]]:
    run = FakeRun(base / name / "out")
    build(run, base, "pages.jsonl", workers=workers, repeated_parts=keys, heldout_fraction=0.2)
    return run.folder, digests(run.folder)


def texts_of(folder: Path) -> dict[str, str]:
    return {
        document.id: document.text
        for part in ("train", "heldout")
        for document in read_artifact_documents(folder, part)  # type: ignore[arg-type]
    }


def test_later_copies_are_cut_out_on_both_sides(sources: Path) -> None:
    folder, _ = built(sources, "home")
    texts = texts_of(folder)
    assert texts["pages.jsonl:1"] == f"{prose(0)}\n\n{NOTICE}\n\nEnd."
    for number in range(1, 60):
        wanted = f"{prose(number)}\n\nEnd." if number % 3 == 0 else prose(number)
        assert texts[f"pages.jsonl:{number + 1}"] == wanted
    assert len(texts) == 60
    report = json.loads((folder / "report.json").read_text())
    assert report["rejected"] == {"only_repeated_parts": 1}
    lost = sum(len(NOTICE) + 2 for _ in range(21))
    assert report["repeated_parts"] == {"documents": 20, "parts": 21, "bytes": lost}
    step = next(each for each in report["steps"] if each["step"] == "repeated_parts")
    assert step["rejected"] == {
        "repeated_parts": {"documents": 0, "bytes": lost},
        "only_repeated_parts": {"documents": 1, "bytes": len("Short.")},
    }
    kept = report["steps"][-1]["kept"]["bytes"]
    assert kept == report["bytes"] + report["heldout_bytes"] == sum(map(len, texts.values()))
    (rejected,) = read_jsonl_zst(folder / "rejected.jsonl.zst")
    assert (rejected["id"], rejected["figure"], rejected["text"]) == ("pages.jsonl:61", 6, "Short.")


def test_workers_and_caches_change_nothing(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, one = built(sources, "one")
    assert built(sources, "two", workers=2)[1] == one
    monkeypatch.setattr(part_cutting, "part_digests", None)
    assert built(sources, "one")[1] == one
    more, _ = built(sources, "one", copies=5)
    assert sum(NOTICE in text for text in texts_of(more).values()) == 5
