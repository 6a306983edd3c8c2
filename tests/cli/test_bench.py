"""`workbench bench` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from workbench.bench import jobs, race, race_tokens, speed
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
        (["--settings", "fast"], "value for '--settings': 'fast' is not one of"),
        (["--width", "100"], "not a multiple of 64"),
        (["--set", "learing_rate=1"], "did you mean learning_rate"),
        (["--data", "nowhere.txt"], "nowhere.txt"),
        (["--wins", "--settings", "plain"], "leave out one of the two"),
        (["--scaling", "--seconds", "5"], "--scaling is no part of a race"),
        (["--seconds", "5", "--set", "tie_word_embeddings=true"], "a head of its own"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert run(["bench", "train", *TINY, *arguments]) == 2
    captured = capsys.readouterr()
    assert said in captured.err and captured.err.count("\n") == 1 and not captured.out


@pytest.fixture
def race_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Arguments of a race on a small text beside nanoGPT, where every turn is over at once."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def measured(job: Any, **_: Any) -> dict[str, Any]:
        figure = 2.0 if job["system"] == "nanogpt" else 1.5
        curve = [{"seconds": 5.0, "tokens": 64, "steps": 1, "bits_per_byte": figure}]
        facts = {
            "bits_per_byte": figure,
            "seconds": job["seconds"],
            "steps": 1,
            "tokens": int(64 * job["seconds"]),
            "parameters": 1,
            "curve": curve,
        }
        return facts | {"tokens_per_second": 1.0, "mfu": 0.5, "peak_mb": 1.0, "limit": 1e9}

    monkeypatch.setattr(race, "measure_apart", measured)
    (tmp_path / "model.py").touch()
    texts = [" ".join(str(number * word % 1009) for word in range(40)) for number in range(1, 400)]
    text = tmp_path / "texts.jsonl"
    text.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return ["bench", "train", *TINY, "--data", str(text), "--peer", f"nanogpt:{tmp_path}"]


def test_a_race_reports_curves_and_ratios(race_on: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    race_on += ["--our-seconds", "5", "--seconds", "10"]
    assert run([*race_on, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in facts["rows"]] == ["nanogpt", "workbench", "workbench 5 s"]
    assert facts["comparisons"][0]["bits_per_byte_ratio"] == 0.75
    assert facts["comparisons"][0]["time_ratio"] == 0.5
    assert run(race_on) == 0
    assert "its final bits per byte after 5 s, 0.50 of its time" in capsys.readouterr().out


def test_whoever_races_gets_the_settings_that_win(
    race_on: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    def initializer(*arguments: str) -> str:
        assert run([*race_on, "--json", *arguments]) == 0
        return str(json.loads(capsys.readouterr().out)["settings"]["course"]["initializer"])

    assert initializer() == "bigrams"
    assert initializer("--settings", "plain") == "gpt2"
    assert initializer("--set", "initializer=zero-residual") == "zero-residual"


def test_text_that_ran_out_is_told(race_on: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """First weights that know the pairs of a small text make a model that learns it by heart."""

    def said(*arguments: str) -> str:
        assert run([*race_on, *arguments]) == 0
        return capsys.readouterr().out

    assert "Ours read the text" in said("--seconds", "100000")
    assert "Ours read the text" not in said("--seconds", "100000", "--settings", "plain") + said()


def test_seconds_alone_race_on_the_text_that_is_everywhere(
    race_on: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "library"
    folder.mkdir()
    for number in range(1, 200):
        words = " ".join(str(number * word % 1009) for word in range(80))
        (folder / f"module_{number}.py").write_text(f'"""{words}"""\n')
    monkeypatch.setattr(race_tokens, "standard_library", lambda: sorted(folder.iterdir()))
    at = race_on.index("--data")
    assert run([*race_on[:at], *race_on[at + 2 :], "--seconds", "7", "--json"]) == 0
    captured = capsys.readouterr()
    assert [row["seconds"] for row in json.loads(captured.out)["rows"]] == [7, 7]
    assert "the source of Python's library" in captured.err


def test_the_wins_of_a_race_are_a_table_of_their_own(
    race_on: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*race_on, "--wins", "--size", "1m"]) == 0
    out = capsys.readouterr().out
    assert "+ first weights from bigrams" in out and "+0.000" in out
    assert out.count("beside nanogpt:") == 1  # of the race itself, not of every win
