"""Whether compiled layers, and CUDA graphs of them, earn back what compiling takes over the passes that are left.

    eager pass timed ── can the passes left gain as much as any compiling takes? ── no ─ eager
                                  │ yes
             remembered from an earlier run of this shape on this machine ── yes ── decide by that
                                  │ no
      compile, time the compiled pass; on a GPU replay it as CUDA graphs, time that; remember ── the fastest goes on

A pass is forward and backward of one micro-batch; measuring leaves weights, gradients and random numbers as they were.
Compiled layers round differently, so the choice is part of what exactness depends on. Graphs hold memory that nothing
else can use, so they must gain more than measuring is unsure of. Knows no run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import torch
from torch import Tensor, nn

from workbench.errors import BadInput, WorkbenchError
from workbench.files import human_duration, write_atomic
from workbench.train.losses import LossSum
from workbench.train.ranks import ALONE, Ranks
from workbench.train.working_model import WorkingModel

Model = TypeVar("Model", bound=nn.Module)
MicroBatch = TypeVar("MicroBatch")

MOST_GAIN = {"cpu": 0.25, "cuda": 0.6}
"""Share of an eager pass that compiling saves at the very best; 0.10 to 0.29 were seen on a CPU (recipes/LOG.md)."""
LEAST_COMPILE_SECONDS = 10.0
"""What no compiling stays below: a layer, forward and backward, took 11.5 CPU seconds besides the C++ compiler's."""
PASSES_TIMED = 3
HAS_GRAPHS = ("cuda",)
"""Kinds of devices on which graphs are worth a word."""
UNTRIED = 'no training has used them on this machine yet: compile = "graphs" does'
"""A recording that fails can leave a GPU unusable for the process: only who insists on graphs takes that risk first."""
GRAPHS_MUST_TAKE = 0.97
"""At most this share of the time of a pass without them."""
SAME_GRADIENT = 0.01
"""How far the norm of a parameter's gradient may be from that without graphs, of either."""

Compiled = bool | Literal["graphs"]
"""How the layers are computed: as they are written, compiled, or compiled and replayed as CUDA graphs."""


@dataclasses.dataclass(frozen=True, slots=True)
class CompileTimes:
    """Seconds of an eager and of a compiled pass, of compiling itself, and of a pass by CUDA graphs where they work."""

    eager: float
    compiled: float
    compiling: float
    graphs: float | None = None

    @property
    def after(self) -> float:
        """Seconds of a pass once compiled, the quicker way."""
        return self.compiled if self.graphs is None or not self.graphs_pay else self.graphs

    @property
    def graphs_pay(self) -> bool:
        """Whether graphs are clearly quicker than compiled layers without."""
        return self.graphs is not None and self.graphs < GRAPHS_MUST_TAKE * self.compiled

    def gain(self, passes: int) -> float:
        """Seconds that compiling saves over so many passes; negative where it loses."""
        return passes * (self.eager - self.after) - self.compiling


@dataclasses.dataclass(frozen=True, slots=True)
class CompileChoice:
    """What was decided, and the sentence that says why. times: if they were measured just now."""

    compiled: Compiled
    reason: str
    times: CompileTimes | None = None


def choose_compiling(
    working: WorkingModel[Model],
    micro_batch: MicroBatch,
    *,
    loss_fn: Callable[[Model, MicroBatch], LossSum],
    autocast: torch.dtype | None,
    passes_left: int,
    memory: CompileMemory | None,
    ranks: Ranks = ALONE,
    say: Callable[[str], None] = lambda text: None,
) -> CompileChoice:
    """Leave `working` with its layers compiled if that pays, and say why or why not.

    ranks: all take the same passes, and the first one's times decide. memory: what is known, on the first.
    say: told before the layers are compiled, because nothing else moves until they are.
    """
    device = next(working.kept.parameters()).device
    passes = Passes(working, micro_batch, loss_fn=loss_fn, autocast=autocast, ranks=ranks)

    def remembered() -> CompileTimes | None:
        known = None if memory is None else memory.times()
        told = ranks.agree(None if known is None else dataclasses.astuple(known))
        return None if told is None else CompileTimes(*told)

    try:
        require_compiler(device)
    except BadInput as error:
        return CompileChoice(False, f"layers are not compiled: {error.message}")
    if ranks.agree(memory is not None and memory.broke_off()):
        return CompileChoice(
            False, "layers are not compiled: the attempt before this one was ended while it tried"
        )
    graphs = None
    if device.type in HAS_GRAPHS:
        untried = "" if memory is not None and memory.graphs_worked(device) else UNTRIED
        graphs = Graphs(working.why_no_graphs or untried, passes.use_graphs, working.leave_graphs)
    with contextlib.ExitStack() as trial, passes.leaving_no_trace():

        def compile_layers() -> None:
            if memory is not None:
                trial.enter_context(memory.trying())
            working.compile_layers()

        choice = weigh(
            passes.seconds,
            compile_layers,
            graphs=graphs,
            passes_left=passes_left,
            remembered=remembered(),
            most_gain=MOST_GAIN[device.type],
            say=say,
        )
    if not choice.compiled:
        working.leave_layers_uncompiled()
    if choice.times is not None and memory is not None:
        memory.remember(choice.times)
    return choice


def use_graphs(
    working: WorkingModel[Model],
    micro_batch: MicroBatch,
    *,
    loss_fn: Callable[[Model, MicroBatch], LossSum],
    autocast: torch.dtype | None,
    memory: CompileMemory,
) -> None:
    """Replay the layers of `working`, compiled before, as CUDA graphs; remember that they work on this machine.

    Raises WorkbenchError where they cannot be recorded, or give another gradient.
    """
    passes = Passes(working, micro_batch, loss_fn=loss_fn, autocast=autocast)
    try:
        with passes.leaving_no_trace():
            passes.use_graphs()
    except Exception as error:  # of memory, or of what torch cannot record
        raise WorkbenchError(
            f"CUDA graphs do not work here: {_first_line(error)}",
            fix='compile = "always" goes on without them',
        ) from error
    memory.note_graphs(next(working.kept.parameters()).device)


class Passes(Generic[Model, MicroBatch]):
    """Passes, forward and backward, over one micro-batch, by `working` as it is then."""

    def __init__(
        self,
        working: WorkingModel[Model],
        micro_batch: MicroBatch,
        *,
        loss_fn: Callable[[Model, MicroBatch], LossSum],
        autocast: torch.dtype | None,
        ranks: Ranks = ALONE,
    ) -> None:
        self._working, self._micro_batch, self._loss_fn = working, micro_batch, loss_fn
        self._autocast, self._ranks = autocast, ranks
        self._device = next(working.kept.parameters()).device

    @contextlib.contextmanager
    def leaving_no_trace(self) -> Iterator[None]:
        """Take all passes in this block: random numbers are after it what they were."""
        with torch.random.fork_rng(devices=[self._device] if self._device.type == "cuda" else []):
            self._working.model.train()
            yield

    def seconds(self) -> float:
        """What one takes, on the first rank."""
        started = time.perf_counter()
        self._take()
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        seconds = time.perf_counter() - started
        self._forget_gradients()
        return self._ranks.agree(seconds)

    def use_graphs(self) -> None:
        """From here on replay graphs. Raises RuntimeError when they add up to another gradient."""
        wanted = 3 * self._gradient_norms(1.0)
        self._working.use_graphs()
        found = self._gradient_norms(1.0, 2.0)  # what is added up must not be what the second pass wrote
        if not torch.allclose(found, wanted, rtol=SAME_GRADIENT, atol=1e-6 * float(wanted.max())):
            raise RuntimeError("they gave another gradient")

    def _take(self, weight: float = 1.0) -> None:
        autocast = self._autocast
        with torch.autocast(self._device.type, dtype=autocast, enabled=autocast is not None):
            part = self._loss_fn(self._working.model, self._ranks.share(self._micro_batch).rows)
        (weight * part.total).backward()

    def _gradient_norms(self, *weights: float) -> Tensor:
        for weight in weights:
            self._take(weight)
        found = [each.grad.norm() for each in self._working.kept.parameters() if each.grad is not None]
        self._forget_gradients()
        return torch.stack(found).float()

    def _forget_gradients(self) -> None:
        for parameter in self._working.kept.parameters():
            parameter.grad = None


@dataclasses.dataclass(frozen=True, slots=True)
class Graphs:
    """How compiled layers come to be replayed as CUDA graphs, and back; why_not: what forbids it from the first."""

    why_not: str
    use: Callable[[], None]
    leave: Callable[[], None]


def weigh(
    seconds_of_pass: Callable[[], float],
    compile_layers: Callable[[], None],
    *,
    graphs: Graphs | None = None,
    passes_left: int,
    remembered: CompileTimes | None,
    most_gain: float,
    say: Callable[[str], None] = lambda text: None,
) -> CompileChoice:
    """The choice, by timing passes before and, where it can pay at all, after `compile_layers`.

    most_gain: the share of an eager pass that can be saved at the very best.
    """
    eager = math.inf
    for _ in range(PASSES_TIMED):
        eager = min(eager, seconds_of_pass())
        left = f"{human_duration(passes_left * eager)} of computing left"
        if passes_left * eager * most_gain < LEAST_COMPILE_SECONDS:
            return CompileChoice(False, f"layers are not compiled: {left}, too little to earn it back")
    if remembered is not None:
        if graphs is None or graphs.why_not:
            remembered = dataclasses.replace(remembered, graphs=None)
        elif remembered.graphs is None:  # measured before they were known to work
            remembered = None
    if remembered is not None:
        gain = remembered.gain(passes_left)
        if gain <= 0:
            return CompileChoice(
                False, f"layers are not compiled: it would lose {human_duration(-gain)} of {left}"
            )
        say(f"compiling the layers, {human_duration(remembered.compiling)} or less: {left}")
        compile_layers()
        problem = _try_out(graphs) if graphs is not None and remembered.graphs_pay else ""
        how, words = _told(remembered.graphs_pay and not problem)
        problem = f"; CUDA graphs are not used ({problem})" if problem else ""
        return CompileChoice(how, f"{words}: that saves {human_duration(gain)} of {left}{problem}")
    say(f"compiling the layers to see whether they get quicker, about a minute, once: {left}")
    try:
        compile_layers()
        first = seconds_of_pass()
        compiled = min(seconds_of_pass() for _ in range(PASSES_TIMED))
    except Exception as error:  # whatever a compiler may raise: uncompiled, everything works
        return CompileChoice(False, f"layers are not compiled: torch cannot ({_first_line(error)})")
    times = CompileTimes(eager, compiled, max(0.0, first - compiled))
    took = human_duration(times.compiling)
    figures = f"{1000 * compiled:.0f} ms a pass, eager {1000 * eager:.0f} ms; compiling took {took}"
    if graphs is not None:
        if problem := graphs.why_not or _try_out(graphs):
            figures += f"; CUDA graphs are not used ({problem})"
        else:
            seconds = min(seconds_of_pass() for _ in range(PASSES_TIMED))
            times = dataclasses.replace(times, graphs=seconds)
            figures = f"{1000 * seconds:.1f} ms a pass, without graphs {figures}"
        if not times.graphs_pay:
            graphs.leave()
    if times.after < eager:  # what compiling took is spent either way
        how, words = _told(times.graphs_pay)
        return CompileChoice(how, f"{words}: {figures}", times)
    return CompileChoice(False, f"layers are not compiled: {figures}", times)


def _try_out(graphs: Graphs) -> str:
    """Use them; gives what keeps them from being used, after which everything is as before, or nothing."""
    try:
        graphs.use()
    except Exception as error:  # of memory, or of what torch cannot record: without them everything works
        graphs.leave()
        return _first_line(error)
    return ""


def _told(by_graphs: bool) -> tuple[Compiled, str]:
    if by_graphs:
        return "graphs", "layers are compiled and replayed as CUDA graphs"
    return True, "layers are compiled"


def _first_line(error: Exception) -> str:
    return (str(error).strip().partition("\n")[0] or type(error).__name__)[:160]


def require_compiler(device: torch.device) -> None:
    """Raise BadInput when torch has nothing to compile with for `device`."""
    if device.type == "cuda":
        if find_spec("triton") is None:
            raise BadInput(
                "compiling for a GPU needs triton, which is not installed", fix="pip install triton"
            )
    elif not any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "g++", "clang++")):
        raise BadInput("compiling needs a C++ compiler, and there is none", fix="install g++")


class CompileMemory:
    """The times measured on this machine, in one small file: one entry for every shape and kind of pass.

    key: what the times depend on. trial: a file of the run that is there while it tries. A file that cannot be read or
    written is as good as none.
    """

    def __init__(self, file: Path, key: str, *, trial: Path | None = None) -> None:
        self._file, self._key, self._trial = file, key, trial

    @contextlib.contextmanager
    def trying(self) -> Iterator[None]:
        """Compile in this block. If the process does not live to its end, the next attempt hears of it."""
        if self._trial is not None:
            with contextlib.suppress(OSError):
                self._trial.touch()
        try:
            yield
        finally:
            self.broke_off()

    def broke_off(self) -> bool:
        """Whether the attempt before this one ended while it tried, killed or by the compiler itself; told once.

        What is killed again and again before its first step would otherwise never take one.
        """
        try:
            if self._trial is not None:
                self._trial.unlink()
                return True
        except OSError:
            pass
        return False

    def times(self) -> CompileTimes | None:
        """What was measured before; None when nothing was."""
        try:
            return CompileTimes(**self.entries()[self._key])
        except (KeyError, TypeError):
            return None

    def remember(self, times: CompileTimes) -> None:
        """Keep what was measured now."""
        self._keep(self._key, dataclasses.asdict(times))

    def graphs_worked(self, device: torch.device) -> bool:
        """Whether a training has replayed CUDA graphs here that gave the right gradient."""
        return _graphs_key(device) in self.entries()

    def note_graphs(self, device: torch.device) -> None:
        """Remember that one did."""
        self._keep(_graphs_key(device), {})

    def entries(self) -> dict[str, Any]:
        """All that the file holds, the newest last."""
        try:
            entries = json.loads(self._file.read_bytes())
        except (OSError, ValueError):
            return {}
        return entries if isinstance(entries, dict) else {}

    def _keep(self, key: str, entry: dict[str, Any]) -> None:
        entries = {other: each for other, each in self.entries().items() if other != key} | {key: entry}
        with contextlib.suppress(OSError):
            write_atomic(self._file, json.dumps(entries, indent=1) + "\n", durable=False)


def newest_times(file: Path, device: str) -> tuple[str, CompileTimes] | None:
    """What was measured last on `device` with this torch, and with what: by a key that tells model and environment."""
    for key, entry in reversed(CompileMemory(file, "").entries().items()):
        try:
            config, environment = json.loads(key)
            if (environment["device"], environment["torch"]) != (device, str(torch.__version__)):
                continue
            of = (
                f"{config['num_hidden_layers']} layers of {config['hidden_size']}, "
                f"{environment['micro_batch_tokens']:,} tokens at once"
            )
            return of, CompileTimes(**entry)
        except (KeyError, TypeError, ValueError):  # another program's, or an older one's
            continue
    return None


def _graphs_key(device: torch.device) -> str:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return f"CUDA graphs on {name}, torch {torch.__version__}"
