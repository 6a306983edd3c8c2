"""Compiling is chosen by what it earns: by timings that are scripted here, and once with real layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tests.train.recorded_graphs import stand_in_for_cuda
from workbench.errors import BadInput, WorkbenchError
from workbench.train import compile_choice, graphed_layers, working_model
from workbench.train.compile_choice import (
    CompileChoice,
    CompileMemory,
    CompileTimes,
    Graphs,
    choose_compiling,
    require_compiler,
    use_graphs,
    weigh,
)
from workbench.train.losses import next_token_loss
from workbench.train.working_model import WorkingModel

# Dynamo looks at tensors in ways that torch warns of, and hides that from all but those for whom warnings are errors.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")


class Machine:
    """Passes take what the script says: `eager` until compiled, then once `first`, then `compiled`."""

    def __init__(
        self,
        *,
        eager: float,
        first: float = 0.0,
        compiled: float = 0.0,
        graphs: float | Exception | str | None = None,
    ) -> None:
        """graphs: seconds, what comes of trying, or why nobody may; None: there is no GPU."""
        self.eager, self.after = eager, iter([first, compiled, compiled, compiled])
        self.is_compiled = self.by_graphs = False
        self.said: list[tuple[bool, str]] = []
        self.graphs = graphs

    def use_graphs(self) -> None:
        assert self.is_compiled
        self.by_graphs = True
        if isinstance(self.graphs, Exception):
            raise self.graphs

    def leave_graphs(self) -> None:
        self.by_graphs = False

    def say(self, text: str) -> None:
        self.said.append((self.is_compiled, text))

    def seconds_of_pass(self) -> float:
        if self.by_graphs:
            assert isinstance(self.graphs, float)
            return self.graphs
        return next(self.after) if self.is_compiled else self.eager

    def compile_layers(self) -> None:
        self.is_compiled = True

    def weigh(self, *, passes_left: int, remembered: CompileTimes | None = None) -> CompileChoice:
        why_not = self.graphs if isinstance(self.graphs, str) else ""
        return weigh(
            self.seconds_of_pass,
            self.compile_layers,
            graphs=None if self.graphs is None else Graphs(why_not, self.use_graphs, self.leave_graphs),
            passes_left=passes_left,
            remembered=remembered,
            most_gain=0.6,
            say=self.say,
        )


def test_a_short_run_compiles_nothing() -> None:
    machine = Machine(eager=0.5)
    choice = machine.weigh(passes_left=30)  # 15 s: at most 9 s could be gained
    assert not choice.compiled and not machine.is_compiled and choice.times is None
    assert not machine.said
    assert "15s of computing left, too little" in choice.reason


@pytest.mark.parametrize(("compiled", "chosen"), [(0.4, True), (0.6, False)])
def test_a_long_run_measures_and_keeps_what_is_faster(compiled: float, chosen: bool) -> None:
    machine = Machine(eager=0.5, first=20.0, compiled=compiled)
    choice = machine.weigh(passes_left=1000)
    assert choice.compiled is chosen
    ((after, text),) = machine.said
    assert not after and text.startswith("compiling the layers to see whether they get quicker")
    assert choice.times == CompileTimes(eager=0.5, compiled=compiled, compiling=20.0 - compiled)
    assert f"{1000 * compiled:.0f} ms a pass, eager 500 ms" in choice.reason


@pytest.mark.parametrize(("passes", "chosen"), [(150, False), (300, True)])
def test_what_is_remembered_decides_without_measuring(passes: int, chosen: bool) -> None:
    """0.1 s a pass against 20 s: from 200 passes on it pays."""
    machine = Machine(eager=0.5)
    choice = machine.weigh(passes_left=passes, remembered=CompileTimes(0.5, 0.4, 20.0))
    assert choice.compiled is machine.is_compiled is chosen
    assert choice.times is None
    assert ("saves 10.0s" if chosen else "lose 5.0s") in choice.reason
    assert machine.said == (
        [(False, "compiling the layers, 20s or less: 2m 30s of computing left")] if chosen else []
    )


@pytest.mark.parametrize(
    ("graphs", "chosen", "words"),
    [
        (
            0.1,
            "graphs",
            "replayed as CUDA graphs: 100.0 ms a pass, without graphs 400 ms a pass, eager 500 ms",
        ),
        (0.395, True, "layers are compiled: 395.0 ms a pass, without graphs 400 ms"),
        (torch.OutOfMemoryError("CUDA out of memory\nmore"), True, "not used (CUDA out of memory)"),
        ("they are for one device", True, "CUDA graphs are not used (they are for one device)"),
    ],
)
def test_graphs_are_tried_once_layers_are_compiled(
    graphs: float | Exception | str, chosen: bool | str, words: str
) -> None:
    """What they take of memory they must earn by more than measuring is unsure of."""
    machine = Machine(eager=0.5, first=20.0, compiled=0.4, graphs=graphs)
    choice = machine.weigh(passes_left=1000)
    assert choice.compiled == chosen and machine.by_graphs is (chosen == "graphs")
    assert words in choice.reason and "\n" not in choice.reason
    measured = graphs if isinstance(graphs, float) else None
    assert choice.times == CompileTimes(0.5, 0.4, 20.0 - 0.4, graphs=measured)


def test_graphs_may_pay_where_compiled_layers_alone_lose() -> None:
    machine = Machine(eager=0.5, first=20.0, compiled=0.6, graphs=0.2)
    assert machine.weigh(passes_left=1000).compiled == "graphs"
    slow = Machine(eager=0.5, first=20.0, compiled=0.9, graphs=0.7)
    assert slow.weigh(passes_left=1000).compiled is False  # whoever asked takes both back


@pytest.mark.parametrize(
    ("graphs", "chosen"),
    [(0.1, "graphs"), (RuntimeError("no"), True), ("they are for one device", False), (None, False)],
)
def test_graphs_are_remembered(graphs: float | Exception | str | None, chosen: bool | str) -> None:
    """20 s of compiling against 0.4 s a pass by graphs and 0.1 s without; a hundred passes are left."""
    machine = Machine(eager=0.5, graphs=graphs)
    choice = machine.weigh(passes_left=100, remembered=CompileTimes(0.5, 0.4, 20.0, graphs=0.1))
    assert choice.compiled == chosen and machine.by_graphs is (chosen == "graphs")
    assert choice.times is None


def test_a_compiler_that_fails_is_told_in_one_line() -> None:
    machine = Machine(eager=1.0)

    def fail() -> None:
        raise RuntimeError("CppCompileError: no headers\nand a page more")

    choice = weigh(machine.seconds_of_pass, fail, passes_left=1000, remembered=None, most_gain=0.6)
    assert choice == CompileChoice(
        False, "layers are not compiled: torch cannot (CppCompileError: no headers)", None
    )


def test_times_are_remembered_by_kind_of_pass(tmp_path: Path) -> None:
    file = tmp_path / "compile_times.json"
    assert CompileMemory(file, "a").times() is None
    CompileMemory(file, "a").remember(CompileTimes(1.0, 0.5, 9.0))
    CompileMemory(file, "b").remember(CompileTimes(2.0, 0.5, 9.0))
    assert CompileMemory(file, "a").times() == CompileTimes(1.0, 0.5, 9.0)
    assert CompileMemory(file, "b").times() == CompileTimes(2.0, 0.5, 9.0)
    for damage in ("", "[1]", '{"a": 3}', '{"a": {"eager": 1}}'):
        file.write_text(damage)
        assert CompileMemory(file, "a").times() is None
    file.write_text('{"a": {"eager": 1.0, "compiled": 0.5, "compiling": 9.0}}')  # as it was without graphs
    assert CompileMemory(file, "a").times() == CompileTimes(1.0, 0.5, 9.0)
    CompileMemory(file, "a").remember(CompileTimes(1.0, 0.5, 9.0, graphs=0.25))
    assert CompileMemory(file, "a").times() == CompileTimes(1.0, 0.5, 9.0, graphs=0.25)
    CompileMemory(tmp_path / "no" / "such" / "folder", "a").remember(CompileTimes(1.0, 0.5, 9.0))


def test_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compile_choice.shutil, "which", lambda name: None)
    with pytest.raises(BadInput, match=r"C\+\+ compiler.*install g\+\+"):
        require_compiler(torch.device("cpu"))
    monkeypatch.setattr(compile_choice, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match="triton"):
        require_compiler(torch.device("cuda"))


@pytest.fixture
def quick_compiler(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Traces and runs the layers as a program, without the C++ compiler."""
    monkeypatch.setattr(working_model, "BACKEND", "aot_eager")
    monkeypatch.setattr(compile_choice, "require_compiler", lambda device: None)
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def test_measuring_leaves_everything_as_it_was(
    quick_compiler: None,
    make_model: Callable,
    make_batch: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compile_choice, "LEAST_COMPILE_SECONDS", 0.0)
    kept = make_model()
    before = {name: tensor.clone() for name, tensor in kept.state_dict().items()}
    working, random_state = WorkingModel(kept), torch.get_rng_state()
    memory = CompileMemory(tmp_path / "times.json", "key")
    choice = choose_compiling(
        working, make_batch(0), loss_fn=next_token_loss, autocast=None, passes_left=10**9, memory=memory
    )
    assert choice.times is not None and memory.times() == choice.times
    assert choice.compiled == (choice.times.compiled < choice.times.eager)
    assert all(torch.equal(tensor, before[name]) for name, tensor in kept.state_dict().items())
    assert all(parameter.grad is None for parameter in kept.parameters())
    assert torch.equal(torch.get_rng_state(), random_state)


@pytest.mark.parametrize("checkpointed", [False, True])
def test_all_layers_are_one_program_with_the_same_gradient(
    quick_compiler: None, make_model: Callable, make_batch: Callable, checkpointed: bool
) -> None:
    kept = make_model()
    wanted = next_token_loss(kept, make_batch(0)).total
    wanted.backward()
    reference = {name: parameter.grad for name, parameter in kept.named_parameters()}
    kept.zero_grad()
    working = WorkingModel(kept, checkpoint_layers=checkpointed)
    working.compile_layers()
    programs = torch._dynamo.utils.counters["stats"]
    programs.clear()
    loss = next_token_loss(working.model, make_batch(0)).total
    loss.backward()
    assert programs["unique_graphs"] == 1
    torch.testing.assert_close(loss, wanted, rtol=1e-5, atol=1e-5)
    for name, parameter in kept.named_parameters():
        torch.testing.assert_close(parameter.grad, reference[name], rtol=1e-4, atol=1e-6, msg=name)
    kept.eval()
    with torch.no_grad():
        kept(make_batch(0).inputs_BT)  # what is kept is not compiled
    assert programs["unique_graphs"] == 1


@pytest.fixture
def on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs are tried on the CPU, by a stand-in; what is compiled there runs as it is written while one records."""
    stand_in_for_cuda(monkeypatch)
    monkeypatch.setattr(working_model, "why_no_graphs", lambda **_: "")
    monkeypatch.setattr(compile_choice, "HAS_GRAPHS", ("cpu",))
    monkeypatch.setattr(compile_choice, "LEAST_COMPILE_SECONDS", 0.0)
    monkeypatch.setattr(compile_choice, "GRAPHS_MUST_TAKE", 1e9)


def test_who_was_ended_while_trying_goes_on_uncompiled_and_tries_again_another_time(
    quick_compiler: None,
    make_model: Callable,
    make_batch: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compile_choice, "LEAST_COMPILE_SECONDS", 0.0)
    trial = tmp_path / "compiling"
    memory = CompileMemory(tmp_path / "times.json", "key", trial=trial)
    seen: list[bool] = []

    def choose() -> CompileChoice:
        working = WorkingModel(make_model())
        compile_layers = working.compile_layers

        def compile_seen() -> None:
            seen.append(trial.exists())
            compile_layers()

        monkeypatch.setattr(working, "compile_layers", compile_seen)
        return choose_compiling(
            working,
            make_batch(0),
            loss_fn=next_token_loss,
            autocast=None,
            passes_left=10**9,
            memory=memory,
            say=lambda text: seen.append(trial.exists()),
        )

    trial.touch()  # what a killed process left
    choice = choose()
    assert not choice.compiled and choice.times is None and not seen
    assert "the attempt before this one was ended while it tried" in choice.reason
    assert choose().times is not None and seen == [False, True] and not trial.exists()


@pytest.fixture
def memory(tmp_path: Path) -> CompileMemory:
    """Of a machine on which a training has used graphs before."""
    memory = CompileMemory(tmp_path / "times.json", "key")
    memory.note_graphs(torch.device("cpu"))
    return memory


def test_graphs_are_not_tried_where_none_has_worked_yet(
    quick_compiler: None, on_a_gpu: None, make_model: Callable, make_batch: Callable, tmp_path: Path
) -> None:
    working, memory = WorkingModel(make_model()), CompileMemory(tmp_path / "times.json", "key")
    choice = choose_compiling(
        working, make_batch(0), loss_fn=next_token_loss, autocast=None, passes_left=10**9, memory=memory
    )
    assert not working.by_graphs and "no training has used them on this machine yet" in choice.reason
    working.compile_layers()
    use_graphs(working, make_batch(0), loss_fn=next_token_loss, autocast=None, memory=memory)
    assert working.by_graphs and memory.graphs_worked(torch.device("cpu"))
    assert memory.times() == choice.times, "beside what was remembered"
    later = WorkingModel(make_model())
    choice = choose_compiling(
        later, make_batch(0), loss_fn=next_token_loss, autocast=None, passes_left=10**9, memory=memory
    )
    assert choice.times is not None and choice.times.graphs is not None, "measured anew"


@pytest.mark.parametrize("weights", [torch.float32, torch.bfloat16])
def test_graphs_that_give_the_same_gradient_are_taken(
    quick_compiler: None,
    on_a_gpu: None,
    make_model: Callable,
    make_batch: Callable,
    memory: CompileMemory,
    weights: torch.dtype,
) -> None:
    kept = make_model()
    working = WorkingModel(kept, weights_dtype=weights)
    choice = choose_compiling(
        working, make_batch(0), loss_fn=next_token_loss, autocast=None, passes_left=10**9, memory=memory
    )
    assert choice.times is not None and choice.times.graphs is not None, choice.reason
    assert choice.compiled == ("graphs" if choice.times.graphs < choice.times.eager else False)
    assert all(parameter.grad is None for parameter in kept.parameters())


def test_graphs_that_give_another_gradient_are_not(
    quick_compiler: None,
    on_a_gpu: None,
    make_model: Callable,
    make_batch: Callable,
    memory: CompileMemory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without the copy that keeps a sum apart from what the next replay writes."""
    monkeypatch.setattr(graphed_layers.GraphedLayers, "_take_sums_apart", lambda self: None)
    kept = make_model()
    choice = choose_compiling(
        WorkingModel(kept),
        make_batch(0),
        loss_fn=next_token_loss,
        autocast=None,
        passes_left=10**9,
        memory=memory,
    )
    assert (
        choice.compiled != "graphs"
        and "CUDA graphs are not used (they gave another gradient)" in choice.reason
    )
    working = WorkingModel(kept)
    working.compile_layers()
    with pytest.raises(WorkbenchError, match="CUDA graphs do not work here: they gave another gradient"):
        use_graphs(working, make_batch(0), loss_fn=next_token_loss, autocast=None, memory=memory)
