from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.corpus.planted import text_of
from workbench.corpus.contamination import ContaminationIndex
from workbench.corpus.contamination_report import (
    CONTAMINATED_FILE,
    CONTAMINATION_FILE,
    Action,
    ContaminationReport,
    read_contamination,
    seen_items,
)
from workbench.corpus.eval_items import EvalItem
from workbench.data.jsonl_zst import read_jsonl_zst
from workbench.errors import Damaged

PASSAGES = [" ".join(text_of(number, 20)) for number in range(3)]
ITEMS = [
    EvalItem("a.jsonl", "a.jsonl:1", (PASSAGES[0],)),
    EvalItem("a.jsonl", "a.jsonl:2", (PASSAGES[1],)),
    EvalItem("a.jsonl", "a.jsonl:3", ("too short",)),
    EvalItem("b.jsonl", "b.jsonl:1", (PASSAGES[2],)),
]


def reported(folder: Path, action: Action) -> dict[str, object]:
    index = ContaminationIndex(ITEMS)
    texts = ["nothing", f"a page with {PASSAGES[0]}", f"{PASSAGES[0][:90]} … {PASSAGES[1]}"]
    with ContaminationReport(folder, index, ngram=13, min_share=0.0, action=action) as report:
        found = index.judge(index.table.scan(texts))
        for number in (1, 2):
            report.add(f"page-{number}", "web", [each for each in found if each.text == number])
        return report.write()


def test_the_report_says_which_items_were_seen_and_where(tmp_path: Path) -> None:
    facts = reported(tmp_path, "mark")
    assert json.loads((tmp_path / CONTAMINATION_FILE).read_text()) == facts
    assert facts["documents"] == 2
    first, second = facts["sets"]  # type: ignore[misc]
    assert (first["items"], first["too_short"], first["seen"]) == (3, 1, 2)
    assert first["seen_items"][0] == {
        "item": "a.jsonl:1",
        "documents": 2,
        "share": 1.0,
        "examples": ["page-1", "page-2"],
    }
    assert (second["items"], second["seen"], second["seen_items"]) == (1, 0, [])
    documents = list(read_jsonl_zst(tmp_path / CONTAMINATED_FILE))
    assert [each["id"] for each in documents] == ["page-1", "page-2"]
    assert [each["item"] for each in documents[1]["items"]] == ["a.jsonl:1", "a.jsonl:2"]
    assert documents[1]["items"][0]["share"] < 1.0


def test_a_set_is_known_again_by_what_it_says(tmp_path: Path) -> None:
    reported(tmp_path, "mark")
    known = read_contamination(tmp_path)
    same = [EvalItem("elsewhere/a.jsonl", item.id, item.passages) for item in ITEMS[:3]]
    found = seen_items(known, same)
    assert found is not None
    assert found.seen == {"a.jsonl:1", "a.jsonl:2"}
    assert found.to_json() == {"items": 3, "seen": 2, "dropped": 0, "too_short": 1}
    assert seen_items(known, same[:2]) is None
    assert read_contamination(tmp_path / "nowhere") == {}


def test_what_was_dropped_was_not_seen(tmp_path: Path) -> None:
    reported(tmp_path, "drop")
    found = seen_items(read_contamination(tmp_path), ITEMS[:3])
    assert found is not None
    assert found.to_json() == {"items": 3, "seen": 0, "dropped": 2, "too_short": 1}


def test_a_damaged_file_is_said(tmp_path: Path) -> None:
    (tmp_path / CONTAMINATION_FILE).write_text('{"action": "mark"}')
    with pytest.raises(Damaged, match="is damaged"):
        read_contamination(tmp_path)
