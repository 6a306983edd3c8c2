"""GPUs of a run: several are told as one, in tiles; a clock that is held down is a finding; nothing told breaks it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.tui.test_screens import running, text_of, until
from tui.app import WorkbenchApp
from tui.diagnosis import diagnose
from tui.feed import RunFeed
from tui.gpus import gpus_of
from tui.run_seen import RunSeen, StageSeen
from tui.widgets.tiles import tiles_of
from workbench.files import lock_file
from workbench.runs import Run

MakeRun = Any
GPU = {
    "name": "NVIDIA H200", "busy": 0.98, "memory_bytes": 61_400_000_000, "memory_total_bytes": 139_000_000_000,
    "watts": 640.0, "limit_watts": 700.0, "celsius": 61, "clock_mhz": 1980, "throttle": "",
}  # fmt: skip


def seen(*gpus: Any) -> RunSeen:
    return RunSeen(
        "run",
        Path("run"),
        state="running",
        gpus=gpus_of({"gpus": list(gpus)}),
        figures={"pretrain": {"loss": 2.0}},
    )


def tiles(run: RunSeen) -> dict[str, tuple[str, str]]:
    return {tile.name: (tile.value, tile.beside) for tile in tiles_of(run, StageSeen("pretrain", "running"))}


def test_one_gpu_is_told_in_full() -> None:
    told = tiles(seen(GPU))
    assert told["GPU"] == ("98%", "61 °C")
    assert told["GPU memory"] == ("61.4 GB", "of 139 GB")
    assert told["GPU power"] == ("640 W", "of 700")
    assert told["GPU clock"] == ("1980 MHz", "")


def test_a_stage_without_a_curve_has_it_too() -> None:
    run = seen(GPU)
    stage = StageSeen("eval", "running", done=40, total=200, unit="items")
    names = [tile.name for tile in tiles_of(run, stage)]
    assert names[:5] == ["● running", "items", "progress", "left", "GPU"] and "GPU memory" in names


def test_several_are_told_as_one_and_the_one_in_trouble_is_heard() -> None:
    run = seen(GPU, GPU | {"busy": 0.5, "celsius": 91, "clock_mhz": 900, "throttle": "too hot"})
    told = tiles(run)
    assert told["2 GPUs"] == ("74%", "91 °C") and told["GPU power"] == ("1280 W", "of 1400")
    assert told["GPU clock"] == ("900 MHz", "held")
    assert [finding.text for finding in diagnose(run, None)] == [
        "the GPU's clock is held down at 91 °C: too hot"
    ]


@pytest.mark.parametrize(
    "judged",
    [{}, {"reward": 0.4}, {"rewards/margins": 0.2, "rewards/accuracies": 0.6}],
    ids=["", "ppo", "dpo"],
)
def test_it_has_a_place_among_the_five_figures_of_a_narrow_terminal_and_mfu_is_the_next(judged: Any) -> None:
    run = seen(GPU)
    figures = {"loss": 2.0, "mfu": 0.41, "val_bpb": 1.1, "tokens_per_second": 9e5, "grad_norm": 0.3, **judged}
    for gpus in (run.gpus, None):
        shown = RunSeen("run", Path("run"), state="running", gpus=gpus, figures={"pretrain": figures})
        names = [tile.name for tile in tiles_of(shown, StageSeen("pretrain", "running"))]
        assert len(names) == len(set(names)) and names.count("MFU") == 1
        assert (names[4:6] == ["GPU", "MFU"]) is (gpus is not None)
        assert {"step", "loss", "left"} <= set(names[:4])


@pytest.mark.parametrize("size", [(80, 24), (100, 30)])
async def test_the_screen_shows_it_however_small(make_run: MakeRun, tmp_path: Path, size: Any) -> None:
    run: Run = make_run(state="running", now=time.time())
    (run.path / "status.json").write_text(json.dumps({**run.status(), "gpus": [GPU]}))
    with lock_file(run.lock_path) or pytest.fail("the lock was not free"):
        app = WorkbenchApp(tmp_path, run.name)
        async with running(app, size) as pilot:
            await until(pilot, lambda: "98% 61 °C" in text_of(app))


@pytest.mark.parametrize(
    "told", [None, [], "many", [7], [{}], [{"busy": "x", "celsius": None, "throttle": "\x1b]0;x\x07[b]"}]]
)
def test_nothing_that_a_status_tells_breaks_the_tiles(told: Any) -> None:
    run = RunSeen("run", Path("run"), gpus=gpus_of({"gpus": told}), figures={"pretrain": {"loss": 2.0}})
    shown = tiles(run)
    assert "\x1b" not in str(shown) and shown.get("GPU", ("–", ""))[0] == "–"
    assert not any("\x1b" in finding.text for finding in diagnose(run, None))


def test_they_are_those_of_a_worker_that_lives(make_run: MakeRun) -> None:
    run: Run = make_run(state="running")
    (run.path / "status.json").write_text('{"state": "running", "gpus": [{"name": "H200", "busy": 0.5}]}')
    with lock_file(run.lock_path) or pytest.fail("the lock was not free"):
        gpus = RunFeed(run).look().gpus
    assert gpus is not None and (gpus.name, gpus.busy, gpus.watts) == ("H200", 0.5, None)
    assert RunFeed(run).look().gpus is None, "what a dead worker said last is no news"
