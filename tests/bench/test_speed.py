from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from workbench.bench import clocks, jobs, process, speed
from workbench.bench.clocks import Stopwatch
from workbench.bench.jobs import run_job
from workbench.bench.parts import PARTS
from workbench.bench.scaling import measure_scaling, scaled
from workbench.bench.settings import OurSettings, parse_settings
from workbench.bench.workload import Workload
from workbench.data.shards import TokenShards
from workbench.errors import BadInput
from workbench.model import attention, norms

CPU = torch.device("cpu")


def test_a_stopwatch_does_not_count_while_held(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter([100.0, 103.0, 110.0, 112.0])
    monkeypatch.setattr(clocks, "now", lambda *_: next(readings))
    watch = Stopwatch("wall", CPU)  # at 100
    with watch.held():  # from 103 to 110
        pass
    assert watch.seconds == 5.0  # at 112


def test_rounds_are_interleaved_and_rows_are_medians(
    workload: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    speeds = iter([10.0, 40.0, 30.0, 20.0, 20.0, 60.0])

    def turn(job: Any, **_: Any) -> dict[str, Any]:
        asked.append(job["name"])
        figures = ("step_seconds", "limit", "mfu", "peak_mb", "parameters", "flops_per_token")
        return {"tokens_per_second": next(speeds), **dict.fromkeys(figures, 1)}

    monkeypatch.setattr(speed, "measure_apart", turn)
    jobs = [{"name": "a", "after": None, "dtype": "float32"}, {"name": "b", "after": "a", "dtype": "float32"}]
    first, second = speed.measure_speed(jobs, workload, Path("."), steps=1, rounds=3, say=lambda _: None)
    assert asked == ["a", "b"] * 3
    assert (first["tokens_per_second"], first["tokens_per_second_min"], first["tokens_per_second_max"]) == (
        20,
        10,
        30,
    )
    assert first["times"] is None and second["times"] == 2.0


def test_every_rung_of_ours_can_be_measured(
    workload: Workload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "PEAK_SECONDS", 0.01)
    for module, name in ((attention, "attend"), (attention, "may_be_pieced"), (norms, "may_be_pieced")):
        monkeypatch.setattr(module, name, getattr(module, name))  # a measuring process replaces them for good
    tokens = speed.synthetic_tokens(tmp_path, workload)
    for job in speed.our_jobs(workload, OurSettings()):
        asked = {**job, "kind": "speed", "workload": workload.to_json(), "tokens": str(tokens), "steps": 1}
        row = run_job(asked, lambda _: None)
        assert row["tokens_per_second"] == pytest.approx(workload.batch_tokens / row["step_seconds"])
        assert row["mfu"] == pytest.approx(row["tokens_per_second"] * row["flops_per_token"] / row["limit"])


def test_rungs_are_those_of_the_batch_that_is_trained(workload: Workload) -> None:
    """Of two rows no eight micro-batches can be made, whatever the workload says."""
    names = {job["name"] for job in speed.our_jobs(workload, parse_settings(["batch_tokens=32"]))}
    assert "+ in two micro-batches" in names and "+ in eight micro-batches" not in names
    eight = speed.our_jobs(workload, parse_settings(["batch_tokens=128"]))
    assert "+ in eight micro-batches" in {job["name"] for job in eight}


def test_the_parts_are_the_whole_step(workload: Workload, tmp_path: Path) -> None:
    tokens = speed.synthetic_tokens(tmp_path, workload)
    job = {"kind": "speed", "parts": True, "system": "ours", "settings": OurSettings().to_json()}
    shares = run_job({**job, "workload": workload.to_json(), "tokens": str(tokens)}, lambda _: None)["parts"]
    assert tuple(shares) == PARTS and sum(shares.values()) == pytest.approx(1)
    assert all(share >= 0 for share in shares.values())
    assert min(shares["forward"], shares["backward"], shares["optimizer"]) > 0.02


def test_a_process_that_dies_is_told_by_its_last_words(workload: Workload, tmp_path: Path) -> None:
    job = {
        "kind": "speed",
        "name": "row",
        "system": "ours",
        "workload": workload.to_json(),
        "tokens": "nowhere",
    }
    with pytest.raises(process.WorkbenchError, match="row failed: KeyError: 'settings'"):
        process.measure_apart(job)


def test_scaling_varies_width_and_tokens(workload: Workload) -> None:
    sizes = {name: (each.hidden_size, each.batch_tokens) for name, each in scaled(workload).items()}
    assert sizes == {
        "width 64": (64, 64),
        "width 128": (128, 64),
        "32 tokens": (64, 32),
        "64 tokens": (64, 64),
        "128 tokens": (64, 128),
    }


def test_scaling_measures_every_size_in_every_round_and_the_usual_one_once(
    workload: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []

    def turn(job: Any, **_: Any) -> dict[str, Any]:
        size = Workload.from_json(job["workload"])
        assert TokenShards.open(Path(job["tokens"])).num_tokens == 8 * size.batch_tokens
        assert job["settings"]["course"]["batch_tokens"] == 0, "or every row would have the same"
        asked.append((size.hidden_size, size.batch_tokens))
        per_second = 100.0 if size.hidden_size == 64 else 20.0
        figures = dict.fromkeys(("step_seconds", "limit", "mfu", "peak_mb", "parameters"), 1)
        return {"tokens_per_second": per_second, "flops_per_token": size.hidden_size**2, **figures}

    monkeypatch.setattr(speed, "measure_apart", turn)
    settings = parse_settings(["batch_tokens=32"])
    rows = measure_scaling(workload, settings, steps=1, rounds=2, say=lambda _: None)
    sizes = [(64, 64), (128, 64), (64, 32), (64, 128)]
    assert sorted(asked[:4]) == sorted(asked[4:]) == sorted(sizes)
    assert [(row["name"], row["tokens"], row["relative_cost"]) for row in rows] == [
        ("width 64", 64, 1.0),
        ("width 128", 64, pytest.approx(5 / 4)),  # a fifth of the speed for four times the FLOPs
        ("32 tokens", 32, 1.0),
        ("64 tokens", 64, 1.0),
        ("128 tokens", 128, 1.0),
    ]


def test_shapes_that_cannot_be_are_refused() -> None:
    with pytest.raises(BadInput, match="multiple of 64"):
        Workload(hidden_size=100)
    with pytest.raises(BadInput, match="whole rows"):
        Workload(context_length=300)
