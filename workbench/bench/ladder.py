"""The ladder of wins: from a step as a first program would take it to ours, one change a rung.

The rungs are data. What a rung gave is its speed over that of the rung before it, measured in the same run.
"""

from __future__ import annotations

import dataclasses

import torch

from workbench.bench.ours import Rung
from workbench.bench.workload import Workload
from workbench.errors import BadInput
from workbench.hardware import has_avx512_without_intel
from workbench.train.compile_choice import require_compiler


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One row of the ladder. `after` names the row it is compared with; None for the first."""

    name: str
    rung: Rung
    after: str | None


PLAIN = Rung(
    dtype="float32",
    products="torch",
    memory="given back",
    norms="torch",
    attention="written out",
    loss="full logits",
    optimizer="looped adamw",
    weights="float32",
    compiled=False,
    micro_batches=1,
)
FLOAT32 = "all wins, float32"
MUON = "+ Muon"


def ladder(workload: Workload) -> list[Step]:
    """The rungs that mean something on this device in this arithmetic, plain first."""
    steps = [Step("plain", PLAIN, None)]

    def add(name: str, **changed: str | int) -> None:
        rung = dataclasses.replace(steps[-1].rung, **changed)  # type: ignore[arg-type]
        steps.append(Step(name, rung, steps[-1].name))

    if workload.dtype == "bfloat16":
        add("+ bfloat16 products", dtype="bfloat16")
    elif workload.device.type == "cpu" and has_avx512_without_intel():
        add("+ oneDNN's products", products="ours")
    add("+ torch's attention", attention="torch")
    if workload.device.type == "cpu" and workload.dtype == "bfloat16":
        add("+ attention of short rows", attention="ours")  # elsewhere ours is torch's
    add("+ loss in chunks", loss="ours")
    if workload.device.type == "cpu":
        add("+ norms in few passes", norms="ours")
        add("+ freed memory kept", memory="ours")
    add("+ fused AdamW", optimizer="adamw")
    if workload.dtype == "bfloat16":
        add("+ bfloat16 copies of weights", weights="bfloat16")
    if workload.compiled and can_compile(workload.device):
        add("+ compiled layers", compiled=True)
        if workload.device.type == "cuda":
            add("+ CUDA graphs", graphs=True)
    add(MUON, optimizer="muon")
    for count, name in ((2, "two"), (8, "eight")):  # for less memory
        if workload.rows % count == 0:
            add(f"+ in {name} micro-batches", micro_batches=count)
    if workload.dtype == "bfloat16":
        in_float32 = dataclasses.replace(Rung(), dtype="float32", optimizer="adamw", micro_batches=1)
        steps.append(Step(FLOAT32, in_float32, "plain"))
    return steps


def can_compile(device: torch.device) -> bool:
    """Whether torch finds here what it compiles with."""
    try:
        require_compiler(device)
    except BadInput:
        return False
    return True
