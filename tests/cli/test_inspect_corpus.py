"""What `inspect` says of a corpus: where the text went and why, whatever the text is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cli.conftest import Workbench
from tests.corpus.fake_run import FakeRun, build, prose, write_jsonl

HOSTILE = "\x1b]0;owned\x07\x1b[31m[bold red]\u202edlrow\u200b \u001b[2J"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of hostile text with copies, short documents and some that a filter rejects."""
    base = tmp_path_factory.mktemp("corpus")
    texts = [f"{HOSTILE} {prose(seed)}" for seed in range(80)]
    copies = [texts[3], texts[3], f"{texts[3]} {prose(500, 1)}", *[f"{HOSTILE} word " * 60] * 2]
    write_jsonl(base / "a.jsonl", texts + copies + [HOSTILE, "tiny"])
    (base / "b\x1b[31m.jsonl").write_bytes((base / "a.jsonl").read_bytes())
    run = FakeRun(base / "home" / "out")
    quiz = base / "a rather long name of an evaluation set.json"
    quiz.write_text(json.dumps([{"query": prose(7)}, {"query": prose(8000)}, {"query": "Is it so?"}]))
    settings = {
        "filters": ("gopher_repetition",),
        "near_duplicates": {"jaccard": 0.6},
        "decontamination": {"against": (quiz.name,), "action": "mark"},
        "heldout_fraction": 0.01,
    }
    build(run, base, "*.jsonl", max_bad_records=0.5, **settings)
    manifest = {
        "kind": "documents",
        "files": {},
        "settings": {"min_characters": 40, "gopher_repetition": {"max_top_2_gram_share": 0.2}},
        "summary": {"seconds": {"reading": 61.0, "deciding": 0.2}},
    }
    (run.folder / "manifest.json").write_text(json.dumps(manifest))
    return run.folder


def test_what_cleaning_took_out_is_told(workbench: Workbench, corpus: Path) -> None:
    lines = " ".join(workbench("inspect", corpus).out.split())
    facts = json.loads(workbench("inspect", corpus, "--json").out)
    (counts,) = facts["sources"].values()  # of the pattern
    removed = counts["removed"]
    # HOSTILE: a title, a colour, a cleared screen; one zero-width space.
    assert removed["terminal_escapes"] == 3 * removed["zero_width"] > 0
    assert (
        f"taken out: terminal escapes {removed['terminal_escapes']:,}, zero width {removed['zero_width']}"
        in lines
    )


LOOKS = (
    [],
    ["--samples", 0],
    ["--samples", 40],
    ["--step", "length"],
    ["--step", "gopher repetition"],
    ["--reason", "too_short"],
    ["--reason", "gopher_top_2_gram"],
    ["--reason", "near_duplicate"],
    ["--clusters"],
)


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: " ".join(map(str, look)))
def test_nothing_hostile_and_nothing_wide_is_said(
    workbench: Workbench, corpus: Path, look: list[object]
) -> None:
    told = workbench("inspect", corpus, *look)
    assert (told.code, told.err) == (0, "")
    assert not set(told.out) & set("\x1b\x07\u202e\u200b")
    lines = [line for line in told.out.splitlines() if str(corpus) not in line]
    assert max(map(len, lines)) <= 80
    facts = json.loads(workbench("inspect", corpus, *look, "--json").out)
    assert facts["kind"] == "corpus"


def test_the_overview_says_where_the_text_went(workbench: Workbench, corpus: Path) -> None:
    out = workbench("inspect", corpus).out
    assert "test items, found in 1 document, kept and marked:" in out
    assert re.search(r"a rather long .*…: 1 of 3, 1 too short to tell", out)
    assert "took      reading 1m 01s, deciding 0.2s" in out
    lines = {line.split("  ")[0]: line for line in out.splitlines()}
    assert lines["length"].split()[-1] == "4" and "170" in lines["length"]
    assert lines["exact duplicates"].split()[-1] == "85"
    assert re.search(r"\d+ characters, fewer than 40", out)
    assert re.search(r"\n  characters +\d+ [▁-█ ]{10,} \d", out)
    assert "--clusters" in out


def test_a_reason_is_explained_with_its_threshold(workbench: Workbench, corpus: Path) -> None:
    out = workbench("inspect", corpus, "--reason", "gopher_top_2_gram").out
    assert "its most frequent run of 2 words makes" in out and "more than 20.0%" in out
    assert "← 0.2" in out
    facts = json.loads(workbench("inspect", corpus, "--reason", "gopher_top_2_gram", "--json").out)
    assert facts["count"] == 4 and len(facts["samples"]) == 4 and facts["samples"][0]["figure"] > 0.2


def test_copies_are_shown_with_what_is_kept(workbench: Workbench, corpus: Path) -> None:
    facts = json.loads(workbench("inspect", corpus, "--clusters", "--json").out)
    largest = facts["largest"][0]
    assert largest["kept"]["id"].endswith("a.jsonl:4") and largest["size"] == 8
    out = workbench("inspect", corpus, "--clusters").out
    assert "8 documents, kept is" in out and "and 3 more" in out


@pytest.mark.parametrize(
    ("look", "says"),
    [
        (["--reason", "to_short"], "did you mean too_short?"),
        (["--step", "gopher"], "did you mean gopher_repetition?"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(
    workbench: Workbench, corpus: Path, look: list[object], says: str
) -> None:
    told = workbench("inspect", corpus, *look)
    assert (told.code, told.out) == (2, "") and says in told.err and told.err.count("\n") == 1


def test_only_a_corpus_has_steps(workbench: Workbench, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text " * 100)
    told = workbench("inspect", tmp_path / "a.txt", "--clusters")
    assert told.code == 2 and "look into a corpus" in told.err


@pytest.mark.parametrize("report", ["{}", "[]", '{"rejected": {"x": "y"}, "sources": 3}', "not json"])
def test_a_damaged_report_is_one_line(workbench: Workbench, tmp_path: Path, report: str) -> None:
    (tmp_path / "rejected.jsonl.zst").write_bytes(b"")
    (tmp_path / "report.json").write_text(report)
    for look in ([], ["--reason", "x"], ["--step", "x"], ["--clusters"]):
        told = workbench("inspect", tmp_path, *look)
        assert told.err.count("\n") <= 1 and told.code in (0, 2)


def test_bad_records_and_held_out_passages_are_told(workbench: Workbench, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [prose(seed, 40) for seed in range(6)])
    with (tmp_path / "a.jsonl").open("a") as file:
        file.write("no JSON\n7\n")
    run = FakeRun(tmp_path / "home" / "out")
    build(run, tmp_path, "a.jsonl", max_bad_records=0.5)
    lines = " ".join(workbench("inspect", run.folder).out.split())
    assert "8 records from 1 source(s), 2 of them bad" in lines
    assert "passages of documents" in lines


def test_the_histograms_of_a_step_show_its_thresholds(workbench: Workbench, corpus: Path) -> None:
    report = json.loads((corpus / "report.json").read_text())
    edges = report["histograms"]["top_2_gram_share"]["edges"]
    shown = workbench("inspect", corpus, "--step", "gopher_repetition").out
    assert ("← 0.2" in shown) == (edges[0] <= 0.2 < edges[-1]) is True
