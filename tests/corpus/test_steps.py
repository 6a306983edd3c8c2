"""What the corpus stage does with what it was asked for, step by step, on small files."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from tests.corpus.fake_run import FakeRun, build, prose, write_jsonl
from workbench.corpus.contamination_report import read_contamination
from workbench.data.jsonl_zst import read_jsonl_zst


@pytest.fixture
def building(tmp_path: Path) -> FakeRun:
    return FakeRun(tmp_path / "home" / "out")


def report_of(run: FakeRun) -> dict[str, Any]:
    return dict(json.loads((run.folder / "report.json").read_text()))


def test_the_funnel_adds_up(tmp_path: Path, building: FakeRun) -> None:
    texts = [prose(seed) for seed in range(120)]
    write_jsonl(
        tmp_path / "a.jsonl", [*texts, texts[1], "short", f"{texts[2]} {prose(999, 1)}", "word " * 200]
    )
    summary = build(
        building,
        tmp_path,
        "a.jsonl",
        filters=("gopher_repetition",),
        near_duplicates={"jaccard": 0.6},
        heldout_fraction=0.2,
    )
    steps = report_of(building)["steps"]
    assert [step["step"] for step in steps] == [
        "read",
        "length",
        "gopher_repetition",
        "exact_duplicates",
        "near_duplicates",
        "held_out",
    ]
    for before, after in itertools.pairwise(steps):
        assert before["kept"] == after["in"]
    for step in steps:
        lost = step["rejected"].values()
        for unit in ("documents", "bytes"):
            assert step["in"][unit] == step["kept"][unit] + sum(each[unit] for each in lost)
    assert steps[-1]["kept"]["documents"] == summary["documents"] + summary["heldout_documents"]
    assert steps[-1]["kept"]["bytes"] == summary["bytes"] + summary["heldout_bytes"]
    rejected = {reason: count for step in steps for reason, count in step["rejected"].items()}
    assert {reason: each["documents"] for reason, each in rejected.items()} == summary["rejected"]
    assert summary["rejected"]["near_duplicate"] == summary["rejected"]["duplicate"] == 1


def test_samples_clusters_and_histograms(tmp_path: Path, building: FakeRun) -> None:
    texts = [prose(seed) for seed in range(60)]
    copies = [texts[4]] * 3 + [f"{texts[4]} {prose(999, 1)}", texts[9]]
    write_jsonl(tmp_path / "a.jsonl", texts + copies + ["x" * number for number in range(1, 31)])
    build(building, tmp_path, "a.jsonl", near_duplicates={"jaccard": 0.6})
    report = report_of(building)
    assert len(report["rejected_samples"]["too_short"]) == 20
    assert all(len(each["text"]) == each["figure"] for each in report["rejected_samples"]["too_short"])
    assert {each["figure"] for each in report["rejected_samples"]["duplicate"]} == {"a.jsonl:5", "a.jsonl:10"}
    assert report["clusters"] == {"count": 2, "sizes": {"2": 1, "5": 1}}
    first, second = read_jsonl_zst(building.folder / "clusters.jsonl.zst")
    assert (first["size"], first["kept"]["id"], second["kept"]["id"]) == (5, "a.jsonl:5", "a.jsonl:10")
    assert first["kept"]["text"] == texts[4][:300]
    assert [each["reason"] for each in first["copies"]] == ["duplicate"] * 3 + ["near_duplicate"]
    assert 0.6 < first["copies"][-1]["similarity"] < 1
    characters = report["histograms"]["characters"]
    assert sum(characters["counts"]) == 95 and characters["least"] == 1
    assert len(characters["edges"]) == len(characters["counts"]) + 1
    assert characters["edges"] == sorted(characters["edges"])


@pytest.mark.parametrize("action", ["drop", "mark"])
def test_test_items_are_dropped_or_marked(tmp_path: Path, building: FakeRun, action: str) -> None:
    item = " ".join(prose(777, 3).split())
    questions = [{"query": item, "choices": ["yes", "no"], "gold": 0}, {"query": prose(778, 2)}]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(each) + "\n" for each in questions))
    texts = [prose(seed) for seed in range(80)]
    write_jsonl(tmp_path / "a.jsonl", [*texts, f"{prose(90, 2)} {item.upper()} {prose(91, 2)}"])
    summary = build(
        building, tmp_path, "a.jsonl", decontamination={"against": ("test.jsonl",), "action": action}
    )
    (seen,) = read_contamination(building.folder).values()
    assert seen.items == 2
    (told,) = read_jsonl_zst(building.folder / "contaminated.jsonl.zst")
    assert told["id"] == "a.jsonl:81" and told["items"][0]["item"] == "test.jsonl:1"
    if action == "drop":
        assert summary["rejected"] == {"contaminated": 1} and seen.dropped == 1 and not seen.seen
        (sample,) = report_of(building)["rejected_samples"]["contaminated"]
        assert sample["figure"] > 0.9
    else:
        assert not summary["rejected"] and seen.seen == {"test.jsonl:1"}


def test_c4_lines_cut_text_and_are_counted(tmp_path: Path, building: FakeRun) -> None:
    sentences = prose(1, 6).replace(". ", ".\n")
    write_jsonl(
        tmp_path / "a.jsonl", [f"Menu\n{prose(n, 8)}\nno stop here at all" for n in range(40)] + [sentences]
    )
    build(building, tmp_path, "a.jsonl", c4_lines={})
    report = report_of(building)
    assert report["lines_dropped"] == {"no_terminal_punctuation": 80}
    assert report["sources"]["a.jsonl"]["changed"] == {"c4_lines": 40}


def test_a_classifier_is_trained_on_examples_and_asked(tmp_path: Path, building: FakeRun) -> None:
    pytest.importorskip("fasttext")
    good = [f"the river and the hills of {prose(seed)}" for seed in range(60)]
    bad = [f"buy cheap now click here {prose(seed)}" for seed in range(1000, 1060)]
    write_jsonl(tmp_path / "good.jsonl", good[:30])
    write_jsonl(tmp_path / "bad.jsonl", bad[:30])
    write_jsonl(tmp_path / "a.jsonl", good[30:] + bad[30:])
    settings: dict[str, Any] = {
        "filters": ("classifier",),
        "classifier": {
            "good": ("good.jsonl",),
            "bad": ("bad.jsonl",),
            "dim": 8,
            "epochs": 40,
            "buckets": 1000,
        },
        "heldout_fraction": 0.2,
    }
    summary = build(building, tmp_path, "a.jsonl", **settings)
    assert summary["rejected"].get("classifier_low_quality", 0) >= 25
    report = report_of(building)
    told = report["classifier"]
    assert told["good"] + told["heldout_good"] == 30 and told["area_under_curve"] > 0.9
    assert report["histograms"]["quality_probability"]["most"] > 0.5
    first = (building.folder / "classifier.bin").read_bytes()
    (building.home / "cache").rename(building.home / "old")
    build(building, tmp_path, "a.jsonl", **settings)
    assert (building.folder / "classifier.bin").read_bytes() == first
    ready = FakeRun(tmp_path / "home2" / "out")
    (tmp_path / "home" / "out" / "classifier.bin").rename(tmp_path / "ready.bin")
    settings["classifier"] = {"model": "ready.bin"}
    assert build(ready, tmp_path, "a.jsonl", **settings)["rejected"] == summary["rejected"]
