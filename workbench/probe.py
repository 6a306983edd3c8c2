"""Try a plan's pretraining for some steps before it runs: in a child process, so that nothing here can be lost.

What the child measures is kept in the home as any run's is; the budget of the plan is then told from it.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any

from workbench.errors import BadInput, WorkbenchError
from workbench.files import make_folders
from workbench.measured_cost import keep_cost
from workbench.plan import Plan, StagePlan
from workbench.recipe import Tokenizer

PROBE_STEPS = 20


def probe_plan(plan: Plan, *, steps: int = PROBE_STEPS) -> dict[str, Any]:
    """Take `steps` real steps of the plan's pretraining and keep what they took; gives the figures.

    On the plan's own tokens where they are made already, else on made-up ones. Raises BadInput for a plan without
    pretraining from random weights, WorkbenchError when the child was killed (most likely for memory) or fails.
    """
    stage = next((each for each in plan.stages if each.name == "pretrain"), None)
    if stage is None or stage.model is None:
        raise BadInput("there is no pretraining from random weights to probe", fix="leave --probe out")
    make_folders(plan.home / "cache")
    figures = _ask_child(_request(plan, stage, steps=steps))
    keep_cost(plan, stage, figures, by=f"a probe of {steps} steps")
    return figures


def _request(plan: Plan, stage: StagePlan, *, steps: int) -> dict[str, Any]:
    tokenizer = plan.stage("tokenizer").table()
    assert isinstance(tokenizer, Tokenizer)
    made = all(plan.store.exists(name) for name in stage.inputs.values())
    return {
        "settings": stage.table().model_dump(mode="json"),
        "model": {key: setting.value for key, setting in (stage.model or {}).items()},
        "vocab_size": tokenizer.vocab_size,
        "artifacts": {kind: str(plan.store.folder(name)) for kind, name in stage.inputs.items()}
        if made
        else None,
        "start": None,
        "folder": str(plan.home / "cache"),
        "compile_times": str(plan.home / "compile_times.json"),
        "steps": steps,
    }


def _ask_child(request: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "workbench.stages.probe"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == -signal.SIGKILL:
        raise WorkbenchError(
            "the probe was killed, most likely because memory ran out",
            fix="lower [pretrain] micro_batch_tokens or choose a smaller [model] size",
        )
    try:
        figures = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise WorkbenchError(f"the probe failed: {last}") from None
    if "error" in figures:
        raise WorkbenchError(f"the probe failed: {figures['error']}")
    return dict(figures)
