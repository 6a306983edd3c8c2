"""`doctor`: the machine in facts, its problems with fixes, and what is measured or honestly not."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch

from workbench import doctor, hardware
from workbench.bench import ways, worth
from workbench.bench.ways import Ways
from workbench.bench.worth import compiled_layers, flash_attention, peaks, worths
from workbench.doctor import examine, obstacles
from workbench.errors import BadInput
from workbench.train.compile_choice import CompileMemory, CompileTimes
from workbench.train.device import Machine, prepare_machine

from .conftest import Workbench


def problems(home: Path) -> dict[str, str]:
    found = list(examine(home))
    assert all(bool(each.problem) == bool(each.fix) for each in found)
    return {each.name: each.problem for each in found if each.problem}


def test_it_tells_the_machine_and_measures_nothing_when_asked(workbench: Workbench, home: Path) -> None:
    told = json.loads(workbench("doctor", "--quick", "--json").out)
    names = [finding["name"] for finding in told["findings"]]
    assert {
        "processor",
        "threads",
        "memory",
        "gpu",
        "home",
        "durable write",
        "python",
        "torch",
        "terminal",
    } <= set(names)
    assert told["peaks"] is None and all(use["times"] is None for use in told["uses"])
    assert told["ok"] == (not any(finding["problem"] for finding in told["findings"]))
    out = workbench("doctor", "--quick").out
    assert "not measured" in out and str(home) in out


def test_what_is_measured_is_a_speed() -> None:
    before = torch.get_rng_state()
    machine = prepare_machine("float32")
    figures = peaks(machine, seconds=0.01)
    assert 1e8 < figures["float32_flops"] < 1e15 and 1e7 < figures["memory_bytes_per_second"] < 1e14
    measured = {each.name: each for each in worths(machine, seconds=0.01)}
    assert not measured["bfloat16 products"].active
    assert measured["AdamW in one pass"].active and (measured["AdamW in one pass"].times or 0) > 0.1
    float8 = measured["float8 products"]
    assert not float8.active and float8.times is None and float8.why_not
    assert 0 < (measured["checkpointed layers"].memory_share or 0) < 0.5
    if machine.device.type == "cpu":
        assert "need a GPU" in float8.why_not and "TF32 products" not in measured
    assert torch.equal(before, torch.get_rng_state())


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A GPU of Hopper's generation as torch tells of one; nothing can be computed there."""
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200")
    monkeypatch.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: True)
    monkeypatch.setattr(torch, "__version__", torch.torch_version.TorchVersion("2.13.0"))
    return dataclasses.replace(prepare_machine("float32"), device=torch.device("cuda"), dtype=torch.bfloat16)


def test_flash_attention_is_in_use_for_what_it_takes(gpu: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's word that it was built with it says nothing about float32, older GPUs, or rows of several documents."""
    for version, in_use in (("2.13.0", [True, True]), ("2.11.0", [True, False])):
        monkeypatch.setattr(torch, "__version__", torch.torch_version.TorchVersion(version))
        uses = list(flash_attention(gpu, lambda pair: None))
        assert [use.active for use in uses] == in_use == [not use.why_not for use in uses]
    wide = dataclasses.replace(gpu, dtype=torch.float32)
    assert not any(use.active for use in flash_attention(wide, lambda pair: 2.0))


def test_what_a_gpu_has_is_measured_there(gpu: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours takes 1 s and the other way 3; what is not there is not tried."""
    made: list[str] = []
    names = ["products", "products_by_precision", "products_in_float8", "attention_by_rows"]
    names += ["attention_by_documents", "losses", "adamws"]
    for name in names:
        monkeypatch.setattr(ways, name, lambda *_, name=name: made.append(name) or Ways(print, print))
    layers = ways.Checkpointed(Ways(print, print), 0.1)
    monkeypatch.setattr(ways, "checkpointed_layers", lambda machine: layers)
    monkeypatch.setattr(worth, "_quickest", lambda pair, machine, seconds: [1.0, 3.0])
    told = {use.name: use for use in worths(gpu, seconds=0.1)}
    assert sorted(made) == sorted(names)
    compiled = {"compiled layers", "CUDA graphs"}
    assert {name for name, use in told.items() if use.times != 3.0} == compiled
    assert all(told[name].active is None and "first training" in told[name].why_not for name in compiled)
    assert told["checkpointed layers"].memory_share == 0.1 and not told["checkpointed layers"].active
    assert "the recipe has to ask" in told["float8 products"].why_not

    def missing(machine: Machine) -> Ways:
        raise BadInput("torchao is not installed", fix="")

    monkeypatch.setattr(ways, "products_in_float8", missing)
    made.clear()
    told = {use.name: use for use in worths(dataclasses.replace(gpu, dtype=torch.float32), seconds=0.1)}
    assert (told["float8 products"].times, told["float8 products"].why_not) == (
        None,
        "torchao is not installed",
    )
    assert not any(name.startswith("attention") for name in made), "FlashAttention has no float32"
    assert all(use.times is None for use in worths(gpu, seconds=None))


def test_what_a_training_was_told_of_compiling_stands(gpu: Machine, tmp_path: Path) -> None:
    file = tmp_path / "compile_times.json"

    def remember(times: CompileTimes, *, layers: int, **environment: str) -> None:
        here = {"device": "NVIDIA H200", "torch": "2.13.0", "micro_batch_tokens": 8192} | environment
        key = json.dumps([{"num_hidden_layers": layers, "hidden_size": 768}, here])
        CompileMemory(file, key).remember(times)

    remember(CompileTimes(0.3, 0.2, 30.0, graphs=0.1), layers=12)
    remember(CompileTimes(0.3, 0.1, 30.0), layers=6)
    remember(CompileTimes(9.0, 0.2, 30.0), layers=3, device="cpu")
    remember(CompileTimes(9.0, 0.2, 30.0), layers=3, torch="2.11.0")
    CompileMemory(file, "no json").remember(CompileTimes(9.0, 0.2, 30.0))
    compiled, graphs = compiled_layers(gpu, file)
    assert compiled.times == pytest.approx(3.0) and compiled.of == "6 layers of 768, 8,192 tokens at once"
    assert graphs.active is False and "did not use them" in graphs.why_not
    remember(CompileTimes(0.3, 0.2, 30.0, graphs=0.1), layers=12)  # the newest now
    compiled, graphs = compiled_layers(gpu, file)
    assert (compiled.times, graphs.times) == (pytest.approx(1.5), pytest.approx(2.0))
    assert graphs.active is None and graphs.of == compiled.of == "12 layers of 768, 8,192 tokens at once"


def test_both_ways_compute_the_same_and_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = dataclasses.replace(prepare_machine("float32"), device=torch.device("cpu"))
    tiny = dataclasses.replace(ways.SHAPES["cpu"], rows=2, context=16, heads=2, head_dim=8, width=16)
    monkeypatch.setitem(ways.SHAPES, "cpu", tiny)
    random, precision = torch.get_rng_state(), torch.get_float32_matmul_precision()
    for pair in (
        ways.products_by_precision(machine),
        ways.attention_by_rows(machine),
        ways.attention_by_documents(machine),
        ways.attention_written_out(machine),
        ways.losses(machine),
        ways.adamws(machine),
    ):
        pair.ours()
        pair.other()
    checkpointed = ways.checkpointed_layers(machine)
    checkpointed.ways.ours()
    checkpointed.ways.other()
    assert 0 < checkpointed.kept_share < 0.5
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.get_float32_matmul_precision() == precision


@pytest.mark.gpu
@pytest.mark.filterwarnings("default")
def test_on_a_gpu_all_of_it_is_measured() -> None:
    told = {use.name: use for use in worths(prepare_machine(), seconds=0.05)}
    for name, use in told.items():
        if name not in ("compiled layers", "CUDA graphs", "float8 products"):
            assert (use.times or 0) > 0.01 or use.why_not, name


def test_problems_are_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "9999")
    monkeypatch.setattr(doctor, "available_bytes", lambda: 1 << 20)
    monkeypatch.setattr(doctor, "free_bytes", lambda folder: 1 << 20)
    monkeypatch.setattr(doctor, "_fsync_seconds", lambda folder: 1e-6)
    monkeypatch.setattr(hardware, "cpu_flags", lambda: {"avx2"})
    monkeypatch.setattr(doctor.os, "getloadavg", lambda: (1e6, 0.0, 0.0))
    monkeypatch.setattr(doctor.locale, "getpreferredencoding", lambda setlocale: "ANSI_X3.4-1968")
    found = problems(home)
    assert {
        "threads",
        "memory",
        "home",
        "durable write",
        "instructions",
        "load",
        "characters",
    } <= found.keys()
    assert "power cut" in found["durable write"]


def test_a_home_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unwritable(path: Any, mode: int) -> bool:
        return False

    monkeypatch.setattr(doctor.os, "access", unwritable)
    assert problems(tmp_path / "home")["home"] == "cannot be written"
    (refusal,) = obstacles(tmp_path / "home")
    assert refusal.startswith(f"the home {tmp_path / 'home'} cannot be written; choose another with --home")


def test_only_what_makes_every_run_impossible_is_an_obstacle(
    home: Path, monkeypatch: pytest.MonkeyPatch, workbench: Workbench
) -> None:
    """Little memory or a slow disk is told and no reason to refuse: the plan knows what fits."""
    monkeypatch.setattr(doctor, "available_bytes", lambda: 1)
    monkeypatch.setattr(doctor, "_fsync_seconds", lambda _: 60.0)
    assert {"memory", "durable write"} <= problems(home).keys() and obstacles(home) == ()
    monkeypatch.setattr(doctor.importlib.metadata, "version", no_package)
    refused = [each for each in examine(home) if each.refusal]
    assert [each.name for each in refused] == ["torch"] and (refused[0].refusal,) == obstacles(home)
    assert "pip install 'torch" in refused[0].refusal
    told = workbench("doctor", "--quick")
    assert "✗ torch: nothing can be trained; pip install" in told.out and "! memory" in told.out
    assert "no run can start here" in told.out


def no_package(name: str) -> str:
    raise doctor.importlib.metadata.PackageNotFoundError(name)


def test_the_torch_to_install_is_the_one_that_the_package_wants() -> None:
    wanted = tomllib.loads((Path(doctor.__file__).parents[1] / "pyproject.toml").read_text())
    (torch_wanted,) = [each for each in wanted["project"]["dependencies"] if each.startswith("torch>")]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(doctor.importlib.metadata, "version", no_package)
        assert any(torch_wanted in each for each in obstacles(Path.cwd()))


def test_a_hidden_gpu_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "gpu_names", lambda: ["NVIDIA H200"])
    monkeypatch.setattr(doctor, "has_gpu", lambda: False)
    monkeypatch.setattr(doctor, "accelerators", list)
    assert "CUDA_VISIBLE_DEVICES" in problems(home)["gpu"]
