from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from workbench.bench.ladder import FLOAT32, MUON, PLAIN, ladder
from workbench.bench.ours import Rung
from workbench.bench.workload import Workload


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_every_rung_changes_one_part_and_the_last_is_ours(workload: Workload, dtype: str) -> None:
    rungs = {
        step.name: step
        for step in ladder(dataclasses.replace(workload, dtype=dtype))
        if step.name != FLOAT32  # type: ignore[arg-type]
    }
    steps = list(rungs.values())
    assert steps[0].rung == PLAIN and steps[-2].name == MUON
    for step in steps[1:]:
        before, now = (dataclasses.asdict(rungs[name].rung) for name in (str(step.after), step.name))
        assert sum(before[part] != now[part] for part in now) == 1, step.name
    last = dataclasses.asdict(steps[-1].rung)
    ours = {"loss", "norms", "memory"} | ({"attention"} if dtype == "bfloat16" else set())
    assert all(last[part] == getattr(Rung(), part) for part in ours)


def test_what_needs_bfloat16_is_left_out_without_it(workload: Workload) -> None:
    assert not any("bfloat16" in step.name for step in ladder(workload))


def test_compiled_layers_are_a_rung_where_there_is_a_compiler(
    workload: Workload, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = dataclasses.replace(workload, compiled=True)
    compiler = tmp_path / "g++"
    compiler.touch(mode=0o755)
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert any(step.rung.compiled for step in ladder(asked))
    assert not any(step.rung.compiled for step in ladder(workload))
    compiler.unlink()
    assert not any(step.rung.compiled for step in ladder(asked))
