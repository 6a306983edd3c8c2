"""The same by DeepSpeed's engine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.ranks.compared import (
    check_equal,
    check_tensors_equal,
    figures,
    made,
    samples,
    texts,
)
from tests.ranks.training import OWN_PARTS, new_run, plan_in, trainer
from workbench.audit import problems_of_run
from workbench.runs import Run


def test_deepspeed_does_what_one_process_does_and_each_goes_on_from_the_other(
    project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("deepspeed")
    (tmp_path / "sitecustomize.py").write_text(
        "from workbench.stages import meter\nmeter.METRIC_SECONDS = 0.0\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]))
    settings: dict[str, Any] = {
        "pretrain.optimizer": "adamw",
        "pretrain.schedule": "wsd",
        "pretrain.warmup_steps": 0,
        **OWN_PARTS,
    }
    engine = {f"{stage}.engine": "deepspeed" for stage in ("pretrain", "sft", "dpo")}
    longer = settings | {"pretrain.tokens": 1280}

    def by_deepspeed(home: str, *more: str, name: str, **settings: Any) -> Run:
        """In processes of its own: DeepSpeed leaves its traces in whatever process it worked."""
        if not (project / home).exists():
            shutil.copytree(project / "home" / "store", project / home / "store")
        run = new_run(plan_in(project, home, name=name, **settings, **engine))
        command = [sys.executable, "-m", "workbench.worker", str(run.path), "--nproc", "2", *more]
        subprocess.run(command, check=False)
        assert run.status()["exit_code"] == 0, run.status()["error"]
        assert list(problems_of_run(run)) == []
        return run

    train = trainer(project, monkeypatch)
    alone = train("zero-alone", nproc=1, until=None, **settings)
    run = by_deepspeed("zero", name="x", **settings)
    check_equal(run, alone, stages=("pretrain", "sft", "dpo"))
    check_tensors_equal(run, alone, share=1e-4)
    assert samples(run, "sft") == samples(alone, "sft") != []
    assert made(run) == made(alone)

    expected = figures(train("zero-longer", nproc=1, **longer))
    last = max(key for key in expected if key[2] == "val_loss")
    without = train("zero", nproc=1, name="y", **longer)
    assert "optimizer adamw-deepspeed -> adamw-fused" in texts(without, "warning")
    assert figures(without)[last] == pytest.approx(expected[last], rel=2e-5)
    with_it = by_deepspeed("zero-alone", "--until", "pretrain", name="y", **longer)
    assert "optimizer adamw-fused -> adamw-deepspeed" in texts(with_it, "warning")
    assert figures(with_it)[last] == pytest.approx(expected[last], rel=2e-5)
