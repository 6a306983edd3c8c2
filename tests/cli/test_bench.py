"""`workbench bench` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from workbench.bench import jobs, speed
from workbench.cli import run
from workbench.model import attention, norms

SHAPE = {
    "layers": 1,
    "width": 64,
    "context": 16,
    "batch-tokens": 64,
    "vocab": 320,
    "threads": 1,
    "dtype": "float32",
}
TINY = ["--no-compile", *(word for name, value in SHAPE.items() for word in (f"--{name}", str(value)))]


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are measured here, one after the other: quicker, and their figures do not matter."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(jobs, "PEAK_SECONDS", 0.01)
    for module, name in ((attention, "attend"), (attention, "may_be_pieced"), (norms, "may_be_pieced")):
        monkeypatch.setattr(module, name, getattr(module, name))
    monkeypatch.setattr(speed, "measure_apart", lambda job, **_: jobs.run_job(job, lambda _: None))


def test_bench_train_reports_rows_and_a_headline(
    in_this_process: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["bench", "train", *TINY, "--steps", "1", "--rounds", "1", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    by_name = {row["name"]: row for row in facts["rows"]}
    for name in ("mfu", "tokens_per_second", "peak_mb", "limit"):
        assert facts[name] == by_name["+ Muon"][name] > 0
        assert all(row[name] > 0 for row in facts["rows"])
    assert sum(facts["parts"].values()) == pytest.approx(1)
    assert by_name["+ loss in chunks"]["times"] > 0 and by_name["plain"]["times"] is None


def test_bench_train_prints_a_table(in_this_process: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run(["bench", "train", *TINY, "--steps", "1", "--rounds", "1", "--scaling", "--optimizer", "adamw"])
        == 0
    )
    out = capsys.readouterr().out
    assert "+ fused AdamW" in out and "A step of ours: data" in out and "time per FLOP" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--peer", "nanogpt"], "write --peer nanogpt:/path/to/checkout"),
        (["--peer", "nanogpt:/nowhere"], "no model.py there"),
        (["--peer", "nanochat:/nowhere"], "no nanochat/gpt.py there"),
        (["--peer", "litgpt:/nowhere"], "no Python there"),
        (["--peer", "megatron"], "not a peer that can be run"),
        (["--size", "9t"], "not a named size"),
        (["--width", "100"], "not a multiple of 64"),
        (["--set", "learing_rate=1"], "did you mean learning_rate"),
        (["--data", "nowhere.txt"], "nowhere.txt"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert run(["bench", "train", *TINY, *arguments]) == 2
    captured = capsys.readouterr()
    assert said in captured.err and captured.err.count("\n") == 1 and not captured.out


def test_a_race_reports_curves_and_ratios(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    from workbench.bench import race

    def measured(job: Any, **_: Any) -> dict[str, Any]:
        figure = 2.0 if job["system"] == "nanogpt" else 1.5
        curve = [{"seconds": 5.0, "tokens": 64, "steps": 1, "bits_per_byte": figure}]
        facts = {
            "bits_per_byte": figure,
            "seconds": 10.0,
            "steps": 1,
            "tokens": 64,
            "parameters": 1,
            "curve": curve,
        }
        return facts | {"tokens_per_second": 1.0, "mfu": 0.5, "peak_mb": 1.0, "limit": 1e9}

    monkeypatch.setattr(race, "measure_apart", measured)
    (tmp_path / "model.py").touch()
    texts = [" ".join(str(number * word % 1009) for word in range(40)) for number in range(1, 400)]
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    race_on = ["--data", str(tmp_path / "texts.jsonl"), "--peer", f"nanogpt:{tmp_path}", "--our-seconds", "5"]
    assert run(["bench", "train", *TINY, *race_on, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in facts["rows"]] == ["nanogpt", "workbench", "workbench 5 s"]
    assert facts["comparisons"][0]["bits_per_byte_ratio"] == 0.75
    assert facts["comparisons"][0]["time_ratio"] == 0.5
    assert run(["bench", "train", *TINY, *race_on]) == 0
    assert "its final bits per byte after 5 s, 0.50 of its time" in capsys.readouterr().out
