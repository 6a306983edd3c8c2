"""`workbench bench corpus`: planted text, judges, and the verb."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from workbench import recipe_filters
from workbench.bench import (
    corpus,
    corpus_contamination,
    corpus_dedup,
    corpus_extract,
    corpus_filters,
    corpus_languages,
    corpus_masks,
    corpus_pass,
    corpus_repair,
)
from workbench.bench.planted import LEVELS, judge_removals, load_planted, plant, similarity
from workbench.cli import run
from workbench.errors import BadInput


@pytest.fixture
def texts() -> list[str]:
    return [
        " ".join(f"w{number * 7919 % 5003 + at * (number + 3) % 997}" for at in range(300))
        for number in range(120)
    ]


def test_copies_are_planted_at_the_similarities_they_say(tmp_path: Path, texts: list[str]) -> None:
    size = plant(tmp_path, texts)
    planted = load_planted(tmp_path)
    assert size == sum(len(text.encode()) for text in planted.texts)
    assert {level for _, _, level, _ in planted.copies} == {1.0, *LEVELS}
    for copy, original, level, told in planted.copies:
        assert told == similarity(planted.texts[copy], planted.texts[original])
        assert told == pytest.approx(level, abs=0.04)


def test_the_judge_counts_what_was_found_and_what_was_wrong(tmp_path: Path, texts: list[str]) -> None:
    plant(tmp_path, texts)
    planted = load_planted(tmp_path)
    exact = [[copy, original] for copy, original, level, _ in planted.copies if level == 1.0]
    foreign = min({0, 1, 2, 3, 4, 5, 6, 7, 8, 9} - {number for pair in exact for number in pair})
    told = judge_removals(planted, {"half": [*exact[::2], [foreign, exact[0][0]]]})["half"]
    assert told["found_1"] == pytest.approx(len(exact[::2]) / len(exact))
    assert (told["wrong"], told["removed"]) == (1, len(exact[::2]) + 1)


def test_ours_finds_all_near_copies_and_removes_nothing_else(tmp_path: Path, texts: list[str]) -> None:
    corpus_dedup.prepare(tmp_path, texts)
    planted = corpus_dedup.load(tmp_path)
    found = corpus_dedup.judge(tmp_path, {"ours": corpus_dedup.workbench(planted)})["ours"]
    assert found["found_1"] == found["found_0.95"] == found["found_0.9"] == 1.0
    assert found["wrong"] == 0
    assert corpus_dedup.workbench(corpus_dedup.little(planted)) is not None


def test_ours_masks_all_that_was_planted_and_nothing_else(tmp_path: Path, texts: list[str]) -> None:
    size = corpus_masks.prepare(tmp_path, texts)
    material = corpus_masks.load(tmp_path)
    assert size == sum(len(text.encode()) for text in material.texts)
    assert len(material.planted) == len(texts) / 5
    for contender in (corpus_masks.workbench, corpus_masks.workbench_all_kinds):
        told = corpus_masks.judge(tmp_path, {"ours": contender(material)})["ours"]
        assert told == {"found": 1.0, "other texts changed": 0.0}
    nothing = corpus_masks._told(material, lambda text: text)
    assert corpus_masks.judge(tmp_path, {"no": nothing})["no"] == {"found": 0.0, "other texts changed": 0.0}
    assert corpus_masks.little(material).planted.keys() == {0, 5}


def test_the_whole_pass_keeps_what_is_no_copy(tmp_path: Path, texts: list[str]) -> None:
    corpus_pass.prepare(tmp_path, [*texts, *texts[:30]])
    folder = corpus_pass.load(tmp_path)
    assert corpus_pass.workbench(corpus_pass.little(folder)) == {"kept": 1.0}
    assert corpus_pass.judge(folder, {"ours": corpus_pass.workbench(folder)}) == {"ours": {"kept": 0.8}}
    assert not list(tmp_path.glob("out-*"))


def test_ours_finds_the_test_items_that_the_plain_way_finds(tmp_path: Path, texts: list[str]) -> None:
    corpus_contamination.prepare(tmp_path, texts)
    material = corpus_contamination.load(tmp_path)
    found = corpus_contamination.workbench(material)
    assert found == corpus_contamination.plain(material)
    assert corpus_contamination.judge(tmp_path, {"ours": found})["ours"]["found"] == 1.0


def test_filters_are_asked_with_the_thresholds_of_the_recipe() -> None:
    tables = {
        "c4": recipe_filters.C4(),
        "gopher_repetition": recipe_filters.GopherRepetition(),
        "gopher_quality": recipe_filters.GopherQuality(),
        "fineweb": recipe_filters.FineWeb(),
    }
    for name, table in tables.items():
        defaults = {key: value for key, value in dict(table).items() if key.startswith(("min_", "max_"))}
        assert corpus_filters.THRESHOLDS[name] == pytest.approx(defaults)


def test_filters_keep_prose_and_the_judge_compares(tmp_path: Path) -> None:
    prose = (
        "The river of the valley runs slowly to the sea, and that is where we used to walk with our dogs.\n"
        "People say that old bridges have a life of their own, which may well be true of this one.\n"
        "In summer children jump from it into the water. Their parents would rather not know of it.\n"
        "Nobody remembers who built it. Its stones come from a quarry two days away by ox cart.\n"
    )
    texts = [prose, "home | about | contact\n" * 30, "", prose[:100]]
    assert corpus_filters.prepare(tmp_path, texts) == sum(map(len, texts))
    kept = corpus_filters.workbench(corpus_filters.load(tmp_path))
    assert kept == [0]
    told = corpus_filters.judge(tmp_path, {"workbench": kept, "other": [0, 1]})
    assert told["workbench"] == {"kept": 0.25, "as workbench": 1.0}
    assert told["other"] == {"kept": 0.5, "as workbench": 0.75}
    assert corpus_filters.workbench(corpus_filters.little(texts)) == [0]


def test_the_verb_measures_in_processes_of_their_own(
    tmp_path: Path, texts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.txt").write_text("\n".join(texts * 3))
    arguments = ["bench", "corpus", "contamination", "--data", str(tmp_path / "text.txt"), "--rounds", "1"]
    assert run([*arguments, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["name"] for row in rows] == ["workbench", "plain Python"]
    for row in rows:
        assert row["mb_per_second"] > 0
        assert row["peak_mb"] >= row["loaded_mb"] > 0
        assert row["figures"]["found"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing"], "there is no area 'nothing'"),
        (["dedup", "--peer", "nobody"], "not a peer of this area"),
        (["dedup", "--data", "{short}"], "too little text to measure on"),
    ],
)
def test_what_cannot_be_measured_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    short = tmp_path / "short.txt"
    short.write_text("a few words")
    assert run(["bench", "corpus", *(each.format(short=short) for each in arguments)]) == 2
    assert said in capsys.readouterr().err


def test_a_peer_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match="rensa is not installed here"):
        corpus.parse_peers(["rensa"], ["dedup"])
    assert corpus.parse_peers(["rensa:/some/python"], ["dedup"]) == {"rensa": "/some/python"}


def test_repair_leaves_clean_text_alone(tmp_path: Path) -> None:
    assert corpus_repair.prepare(tmp_path, ["plain  \n", "cafÃ© “x”"]) == len("plaincafé “x”".encode())
    material = corpus_repair.load(tmp_path)
    assert corpus_repair.little(material)[:2] == ["plain", "café “x”"]
    answers = {name: contender(material) for name, contender in corpus_repair.CONTENDERS.items()}
    assert corpus_repair.judge(tmp_path, answers) == {
        name: {"left alone": 1.0} for name in ("workbench", "ftfy")
    }
    assert corpus_repair.workbench(["fine", "cafÃ©"]) == corpus_repair.ftfy(["fine", "cafÃ©"]) == [1]


def test_languages_are_compared(tmp_path: Path) -> None:
    pytest.importorskip("py3langid")
    corpus_languages.prepare(
        tmp_path, ["A whole sentence in English, it seems.", "Ein ganzer Satz auf Deutsch ist das."]
    )
    material = corpus_languages.load(tmp_path)
    answers = {name: contender(material) for name, contender in corpus_languages.CONTENDERS.items()}
    assert answers["workbench"] == ["en", "de"]
    assert corpus_languages.judge(tmp_path, answers)["py3langid"] == {"as workbench": 1.0}


def test_extraction_is_judged_by_pages_whose_article_is_known(tmp_path: Path) -> None:
    pytest.importorskip("resiliparse")
    article = (
        "The quick brown fox jumps over the lazy dog, and nobody who saw it will ever forget that afternoon."
    )
    page = f"<nav><a href=/>Home</a></nav><article><p>{article}</p></article><footer>All rights reserved here.</footer>"
    for kind in ("article_extraction/html", "segments/html", "readability/one"):
        (tmp_path / kind).mkdir(parents=True)
    (tmp_path / "article_extraction/html/k.html").write_text(page)
    (tmp_path / "article_extraction/ground-truth.json").write_text(
        json.dumps({"k": {"articleBody": article}})
    )
    (tmp_path / "segments/html/a.html").write_text(page)
    truth = {"a.html": {"with": ["brown fox"], "without": ["rights reserved"]}}
    (tmp_path / "segments/ground-truth.json").write_text(json.dumps(truth))
    (tmp_path / "readability/one/source.html").write_text(page)
    (tmp_path / "readability/one/expected.html").write_text(
        f"<p>{article} And a line that nobody has found.</p>"
    )
    found = corpus_extract.rows(tmp_path, "workbench")
    assert found["articles"] == {"f1": 1.0, "precision": 1.0, "recall": 1.0}
    assert found["segments"] == {"with_found": 1.0, "without_absent": 1.0}
    assert found["readability"]["precision"] == 1.0
    assert 0.6 < found["readability"]["recall"] < 0.8
