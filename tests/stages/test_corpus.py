from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.corpus.fake_run import FakeRun, build, prose, write_jsonl
from workbench.data.corpus_folder import read_artifact_documents
from workbench.data.jsonl_zst import read_jsonl_zst
from workbench.errors import BadInput, Stopped
from workbench.stages import corpus


@pytest.fixture
def building(tmp_path: Path) -> FakeRun:
    return FakeRun(tmp_path / "out")


def part(run: FakeRun, name: Any) -> dict[str, str]:
    return {document.id: document.text for document in read_artifact_documents(run.folder, name)}


def rejected(run: FakeRun) -> list[dict[str, Any]]:
    return list(read_jsonl_zst(run.folder / "rejected.jsonl.zst"))


def test_every_record_ends_exactly_once(tmp_path: Path, building: FakeRun) -> None:
    texts = [prose(seed) for seed in range(200)]
    write_jsonl(tmp_path / "a.jsonl", [*texts, "short", texts[3].upper().replace(" ", "  "), prose(999, 400)])
    with (tmp_path / "a.jsonl").open("a") as file:
        file.write('{"tex": "typo"}\n')
    summary = build(building, tmp_path, "a.jsonl", max_characters=10_000, heldout_fraction=0.1)
    train, heldout = part(building, "train"), part(building, "heldout")
    assert {record["id"].rpartition("/")[2]: record["reason"] for record in rejected(building)} == {
        "a.jsonl:201": "too_short",
        "a.jsonl:202": "duplicate",
        "a.jsonl:203": "too_long",
        "a.jsonl:204": "no_text",
    }
    assert {record["reason"]: record["figure"] for record in rejected(building)}["duplicate"] == "a.jsonl:4"
    assert sorted([*train.values(), *heldout.values()]) == sorted(texts)
    assert 5 <= len(heldout) <= 40
    assert summary.pop("seconds").keys() == {"reading", "deciding", "writing"}
    assert summary == {
        "documents": len(train),
        "bytes": sum(len(text) for text in train.values()),
        "heldout_documents": len(heldout),
        "heldout_bytes": sum(len(text) for text in heldout.values()),
        "read": 204,
        "rejected": {"duplicate": 1, "no_text": 1, "too_long": 1, "too_short": 1},
    }
    report = json.loads((building.folder / "report.json").read_text())
    assert report["bad_records"][0]["place"].endswith("a.jsonl:204")
    assert report["sources"]["a.jsonl"]["read"] == {
        "documents": 203,
        "bytes": report["sources"]["a.jsonl"]["read"]["bytes"],
        "bad_records": 1,
    }
    assert any("a.jsonl:204 no_text" in text for text in building.said)
    assert sorted(path.name for path in building.folder.iterdir()) == [
        "clusters.jsonl.zst",
        "heldout.jsonl.zst",
        "rejected.jsonl.zst",
        "report.json",
        "train-00000.jsonl.zst",
    ]


def test_the_split_depends_on_the_text_alone(tmp_path: Path, building: FakeRun) -> None:
    texts = [prose(seed) for seed in range(100)]
    write_jsonl(tmp_path / "a.jsonl", texts)
    build(building, tmp_path, "a.jsonl", heldout_fraction=0.2)
    before = set(part(building, "heldout").values())
    write_jsonl(tmp_path / "b.jsonl", [*reversed(texts), *(prose(seed) for seed in range(500, 600))])
    build(building, tmp_path, "b.jsonl", heldout_fraction=0.2)
    assert before == set(part(building, "heldout").values()) & set(texts)


def test_twice_the_same_gives_the_same_bytes(tmp_path: Path, building: FakeRun) -> None:
    write_jsonl(tmp_path / "a.jsonl", [prose(seed) for seed in range(100)])
    digests = []
    for _ in range(2):
        build(building, tmp_path, "a.jsonl")
        digests.append(
            [hashlib.blake2b(path.read_bytes()).digest() for path in sorted(building.folder.iterdir())]
        )
    assert digests[0] == digests[1]


def test_the_held_out_side_stays_within_its_bytes_and_the_surplus_is_trained_on(
    tmp_path: Path, building: FakeRun
) -> None:
    texts = [prose(seed) for seed in range(200)]
    write_jsonl(tmp_path / "a.jsonl", texts)
    summary = build(building, tmp_path, "a.jsonl", heldout_fraction=0.3, heldout_max_bytes=3000)
    assert 0 < summary["heldout_bytes"] <= 3000
    assert summary["documents"] + summary["heldout_documents"] == 200


def test_near_copies_of_training_text_are_not_measured_on(tmp_path: Path, building: FakeRun) -> None:
    texts = [prose(seed, 30) for seed in range(60)]
    near = [f"{text} {prose(1000 + number, 3)}" for number, text in enumerate(texts)]
    write_jsonl(tmp_path / "a.jsonl", texts + near)
    build(building, tmp_path, "a.jsonl", heldout_fraction=0.1)
    train, heldout = part(building, "train").values(), part(building, "heldout").values()
    reasons = [record for record in rejected(building) if record["reason"] == "near_copy_of_training"]
    assert reasons and all(record["figure"] > 0.5 for record in reasons)
    assert len(train) + len(heldout) + len(reasons) == 120
    assert len(reasons) > len(heldout)
    assert any("held-out documents are near copies of training text" in said for said in building.said)
    for text in heldout:  # only where both copies were held out may one be
        assert not any(other.startswith(text) or text.startswith(other) for other in train)


def test_a_single_novel_gives_both_sides(tmp_path: Path, building: FakeRun) -> None:
    novel = "\n\n".join(prose(seed) for seed in range(300))
    (tmp_path / "novel.txt.gz").write_bytes(gzip.compress(novel.encode()))
    summary = build(building, tmp_path, "*.gz")
    train, heldout = part(building, "train"), part(building, "heldout")
    assert 2 <= len(heldout) <= 20
    assert summary["bytes"] > 0.9 * len(novel)
    paragraphs = novel.split("\n\n")
    assert not any(text.split("\n\n")[0] in "\n\n".join(train.values()) for text in heldout.values())
    assert (
        sum(text.count("\n\n") + 1 for text in [*train.values(), *heldout.values()]) <= len(paragraphs) + 40
    )
    assert any("passages" in text for text in building.said)
    assert not (building.folder / "whole").exists()


def test_a_book_of_six_is_not_held_out_whole(tmp_path: Path, building: FakeRun) -> None:
    """Whatever book the hash picks: a sixth is not the fiftieth that was asked for."""
    shares = []
    for first in range(8):
        folder = tmp_path / str(first)
        folder.mkdir()
        for book in range(6):
            text = "\n\n".join(prose(1000 * first + 100 * book + n) for n in range(60))
            (folder / f"{book}.txt").write_text(text)
        summary = build(building, folder, "*.txt", heldout_fraction=0.1)
        shares.append(summary["heldout_bytes"] / (summary["bytes"] + summary["heldout_bytes"]))
    assert all(0.01 < share < 0.25 for share in shares), shares


def test_a_corpus_of_copies_is_used_with_a_warning(tmp_path: Path, building: FakeRun) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfhello world, this is fine\r\n" * 200)
    summary = build(building, tmp_path, "a.txt")
    assert summary["documents"] and summary["heldout_documents"]
    assert any("near copy" in text for text in building.said)


def test_not_utf8_is_said(tmp_path: Path, building: FakeRun) -> None:
    (tmp_path / "a.txt").write_bytes(
        ("Le café était fermé, et la journée fut longue. " * 200).encode("cp1252")
    )
    build(building, tmp_path, "a.txt")
    assert "café était fermé" in " ".join(part(building, "train").values())
    assert any("Windows-1252" in text for text in building.said)


def test_python_docs_hold_out_whole_symbols(
    tmp_path: Path, building: FakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workbench.data import python_docs
    from workbench.data.documents import Document

    documents = [Document(f"d{i}", prose(i), "python-docs", heldout=i % 4 == 0) for i in range(40)]
    monkeypatch.setattr(python_docs, "documents", lambda packages: iter(documents))
    build(building, tmp_path, "python-docs", heldout_max_bytes=2000)
    heldout = part(building, "heldout")
    assert heldout and all(int(name[1:]) % 4 == 0 for name in heldout)
    assert all(int(name[1:]) % 4 for name in part(building, "train"))
    assert {record["reason"] for record in rejected(building)} == {"heldout_surplus"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (['{"text": "half', '{"text": "good"}'], r"a\.jsonl:1: not json .*1 of 2 records are bad \(50 %"),
        (["{", '"text": 5', "}"], r"a\.jsonl:1: "),
        (['{"text": "short"}'] * 3, "no document was kept of 3 read: 2 duplicate|too_short"),
        (["oops"] * 500, r"a\.jsonl:1: not json .*100 of 100"),
    ],
)
def test_what_cannot_become_a_corpus_is_refused(
    tmp_path: Path, building: FakeRun, lines: list[str], message: str
) -> None:
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    with pytest.raises(BadInput, match=message) as caught:
        build(building, tmp_path, "a.jsonl")
    assert "\n" not in str(caught.value)
    assert "a.jsonl" in str(caught.value)


def test_bad_records_within_the_share_are_left_out(tmp_path: Path, building: FakeRun) -> None:
    write_jsonl(tmp_path / "a.jsonl", [prose(seed) for seed in range(3)])
    with (tmp_path / "a.jsonl").open("a") as file:
        file.write('["not", "an", "object"]\n')
    assert build(building, tmp_path, "a.jsonl", max_bad_records=0.25)["rejected"] == {"not_an_object": 1}


def test_a_stop_ends_it_and_the_next_attempt_starts_clean(
    tmp_path: Path, building: FakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus, "BETWEEN_LOOKS_SECONDS", 0.0)
    write_jsonl(tmp_path / "a.jsonl", [prose(seed) for seed in range(300)])
    building.stop_after = 1
    with pytest.raises(Stopped):
        build(building, tmp_path, "a.jsonl")
    building.stop_after = None
    assert build(building, tmp_path, "a.jsonl")["read"] == 300
    assert not (building.folder / "scratch").exists()
