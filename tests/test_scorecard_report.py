"""A scorecard as a table, and the items that came out wrong: intervals, what differs, and files that are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from workbench.errors import BadInput
from workbench.failure_report import FAILURES_FILE, read_failures, write_failures
from workbench.scorecard_report import Score, read_scorecard


def test_two_scores_differ_only_where_they_surely_do() -> None:
    base = Score(0.5, 0.02, 100)
    assert base.interval == pytest.approx((0.4608, 0.5392))
    assert base.differs_from(Score(0.56, 0.02, 100)) is True  # 0.06 > 1.96 * 0.0283
    assert base.differs_from(Score(0.55, 0.02, 100)) is False
    assert base.differs_from(Score(0.9, None, 100)) is None and Score(0.9, None, 1).interval is None


def test_figures_are_rows_and_models_are_columns_in_order(tmp_path: Path) -> None:
    told = {"value": 1, "stderr": None, "n": 3}
    card = {
        "models": {
            "pretrain": {"tasks": {"a": {"bits_per_byte": told}}},
            "dpo": {"tasks": {"a": {"acc": told}}},
        },
        "baselines": {"a": {"gzip": told}},
    }
    (tmp_path / "scorecard.json").write_text(json.dumps(card))
    report = read_scorecard(tmp_path)
    assert report.models == ("pretrain", "dpo")
    assert [(row.metric, set(row.scores), row.less_is_better) for row in report.rows] == [
        ("bits_per_byte", {"pretrain"}, True),
        ("acc", {"dpo"}, False),
    ]
    assert report.baselines["a"]["gzip"].value == 1 and report.seen == {}


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"models": {"a": 1}}', '{"models": {"a": {"tasks": {"t": {"m": {}}}}}}']
)
def test_what_is_no_scorecard_is_said_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "scorecard.json").write_text(text)
    with pytest.raises(BadInput, match=r"scorecard\.json"):
        read_scorecard(tmp_path)


def test_wrong_items_are_read_back_by_task(tmp_path: Path) -> None:
    assert read_failures(tmp_path, "a") == []
    item = {"model": "m", "id": "1", "asked": "?\n\u2028", "expected": "x", "came": "y", "seen": True}
    write_failures(tmp_path, [{**item, "task": "a"}, {**item, "task": "b"}])
    (found,) = read_failures(tmp_path, "a")
    assert (found.asked, found.seen) == ("?\n\u2028", True)
    with (tmp_path / FAILURES_FILE).open("a") as file:
        file.write("[1]\n")
    with pytest.raises(BadInput, match=r"failures\.jsonl:3"):
        read_failures(tmp_path, "a")
