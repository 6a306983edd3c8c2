"""Where the training of a stage stands when it opens: device, model, optimizer, state, and how exactly it goes on.

    course = open_course(...)
    for report in course.steps(batches_from, loss_fn, flops_per_token=...):
        ...   # what to measure and to show is the stage's decision, in plain sight

Pretraining, SFT and DPO do this alike; what is learned is the stage's loss function. Not a stage: there is no
[training] table.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypedDict

import torch

from workbench.errors import BadInput, Damaged
from workbench.layout import IN_WHOLE_MATRICES, Seat, check_engine, check_value, lay_out, no_graphs
from workbench.model.parametrization import rate_factors
from workbench.model.segments import attention_in_words
from workbench.model.transformer import Decoder
from workbench.recipe import Dpo, Pretrain, Sft, Training
from workbench.stage_run import StageRun
from workbench.stages.checkpoints import newest_checkpoint
from workbench.stages.course import Course, first_averaged
from workbench.stages.starting_point import Beginning
from workbench.tokenizer import Tokenizer
from workbench.train.averaging import WeightAverage
from workbench.train.checkpoint import TrainingState, restore
from workbench.train.checkpoint_folder import damage
from workbench.train.compile_choice import Compiled, require_compiler
from workbench.train.device import Machine, compare, environment, prepare_machine
from workbench.train.optimizers import Optimizers
from workbench.train.parameter_groups import OptimizerSettings
from workbench.train.ranks import Ranks
from workbench.train.working_model import WorkingModel
from workbench.version import VERSION


def open_machine(settings: Pretrain | Sft | Dpo) -> Machine:
    """This process's device and arithmetic, and the others it shares the training with, if there are any.

    Raises BadInput when there are not as many devices as processes, or they cannot be laid out as asked.
    """
    seat = Seat.here()
    machine = prepare_machine(
        settings.dtype,
        float32_matmul_precision=settings.float32_matmul_precision,
        deterministic=settings.deterministic,
        local_rank=seat.local_rank,
        local_ranks=seat.local_ranks,
    )
    layout = lay_out(seat.ranks, tensor_parallel=settings.tensor_parallel, replicate=settings.replicate)
    if layout.ranks == 1:
        return machine
    for key in IN_WHOLE_MATRICES:
        check_value(key, getattr(settings, key, None), layout)
    if settings.engine == "deepspeed":
        check_engine(settings, layout)
        from workbench.train.deepspeed_engine import open_deepspeed

        return dataclasses.replace(machine, ranks=open_deepspeed(layout))
    from workbench.train.parallel import open_ranks  # the engine for several: a second that one need not wait

    return dataclasses.replace(machine, ranks=open_ranks(layout))


def open_course(
    run: StageRun,
    settings: Pretrain | Sft | Dpo,
    *,
    machine: Machine,
    tokenizer: Tokenizer,
    fresh_model: Callable[[], Decoder],
    num_steps: int,
    micro_batch_tokens: int,
    begin: Beginning | None = None,
    full_batches_before: Callable[[int], float] = float,
    data_knows_end: bool = False,
) -> Course:
    """The training of this stage, from where it stands: its beginning, or the newest whole checkpoint in `run.folder`.

    fresh_model: gives the weights of step 0; called only when there is no checkpoint.
    begin: the checkpoint of another training whose state this one begins with, instead of step 0.
    full_batches_before: how many batches of full size the steps before one read; where batches grow, the learning
    rate goes by these. data_knows_end: whether batches depend on how long the training is.
    micro_batch_tokens: what the last bits depend on besides the settings.
    Says at which step it goes on, and whether the result will be bit for bit that of a training that nobody
    interrupted, or why not. Raises Damaged when no checkpoint of an earlier attempt is whole.
    """
    ranks = machine.ranks
    found = newest_checkpoint(run, ranks)
    if found is None and begin is not None and begin.same and (problem := ranks.agree(damage(begin.folder))):
        run.warning(f"starting over: {begin.folder.name} of the shorter training is damaged ({problem})")
        begin = None
    at = found or begin
    compute: Compute = {"weights_dtype": getattr(torch, settings.weights_dtype), "float8": machine.float8}
    if at is None:
        model = ranks.place(fresh_model(), machine.device, **compute)
    else:
        model = ranks.open(at.folder, machine.device, **compute)
    optimizer = make_optimizer(model, settings, machine)
    working = make_working_model(model, settings, machine)
    here = environment(
        machine,
        version=VERSION,
        optimizer=optimizer.implementation,
        working_model=working.implementation,
        compiled=wants_compiled(settings, machine, working),
        micro_batch_tokens=micro_batch_tokens,
    )
    average = make_average(model, settings, num_steps=num_steps, ranks=ranks)
    weights: Weights = {"model": model, "average": average, "ranks": ranks}
    if found is not None:
        for line in found.set_aside:
            run.warning(f"damaged checkpoint set aside: {line}")
        state = restore(found.folder, optimizer, **weights)
        _say_how_exact(run, f"resuming at step {state.step}", state, here, working)
    elif begin is not None:
        state = _begin_with(run, begin, optimizer, weights, here, working, num_steps=num_steps)
    else:
        torch.manual_seed(settings.seed)
        state = TrainingState(seed=settings.seed, environment=here)
    attention = attention_in_words(
        model.config, machine.device, machine.dtype, in_documents=reads_documents(settings)
    )
    run.emit("note", text="; ".join(filter(None, (in_words(here), attention))), environment=here)
    return Course(
        run,
        settings,
        machine,
        tokenizer,
        model,
        working,
        average,
        optimizer,
        state,
        num_steps=num_steps,
        full_batches_before=full_batches_before,
        data_knows_end=data_knows_end,
    )


def in_words(environment: Mapping[str, Any]) -> str:
    """What computes a training, in a line: arithmetic, device, optimizer, and how batches are cut."""
    on_cpu = environment["device"] == "cpu"
    where = (
        f"{environment['threads']} CPU thread{'s' if environment['threads'] != 1 else ''}"
        if on_cpu
        else environment["device"]
    )
    dtype = environment["dtype"]
    if dtype == "float32" and not on_cpu and environment["float32_matmul_precision"] != "highest":
        dtype = "float32 (TF32 inside)"
    return (
        f"{dtype} on {where}, {environment['optimizer']}, {environment['working_model']} model, "
        f"{environment['micro_batch_tokens']:,} tokens at once"
    )


def reads_documents(settings: Pretrain | Sft | Dpo) -> bool:
    """Whether rows hold several documents or conversations, each of which is read by itself."""
    return isinstance(settings, Sft) or (isinstance(settings, Pretrain) and settings.isolate_documents)


def make_optimizer(model: Decoder, settings: Pretrain | Sft | Dpo, machine: Machine) -> Optimizers:
    """The optimizer that a stage's table asks for."""
    return machine.ranks.optimizer(
        model,
        OptimizerSettings(
            optimizer=settings.optimizer,
            learning_rate=settings.learning_rate,
            matrix_learning_rate=settings.matrix_learning_rate,
            weight_decay=settings.weight_decay,
            embedding_weight_decay=settings.embedding_weight_decay,
            norm_weight_decay=settings.norm_weight_decay,
            embedding_learning_rate_factor=settings.embedding_learning_rate_factor,
            norm_learning_rate_factor=settings.norm_learning_rate_factor,
            momentum=settings.momentum,
            beta1=settings.beta1,
            beta2=settings.beta2,
            matmul_dtype=machine.dtype,
        ),
        rate_factors=rate_factors(model.config, model.named_parameters(), optimizer=settings.optimizer),
    )


def make_average(model: Decoder, settings: Training, *, num_steps: int, ranks: Ranks) -> WeightAverage | None:
    """The average of the weights that a stage's table asks for; None when the last ones are published."""
    if settings.ema_decay is not None:
        return WeightAverage(model, decay=settings.ema_decay, ranks=ranks)
    if settings.average_last is not None:
        first = first_averaged(settings.average_last, num_steps)
        return WeightAverage(model, first_step=first, ranks=ranks)
    return None


def make_working_model(model: Decoder, settings: Training, machine: Machine) -> WorkingModel[Decoder]:
    """What computes a step, as a stage's table asks for."""
    return WorkingModel(
        model,
        weights_dtype=getattr(torch, settings.weights_dtype),
        float8=machine.float8,
        checkpoint_layers=settings.activation_checkpointing == "layer",
        in_place=machine.ranks.count > 1,
    )


def wants_compiled(settings: Training, machine: Machine, working: WorkingModel[Decoder]) -> Compiled | None:
    """How the layers are to be computed; None when that is to be measured. Raises BadInput where torch cannot."""
    wish = settings.compile if isinstance(settings, Pretrain) else "never"
    if wish == "graphs" and working.why_no_graphs:
        raise no_graphs(working.why_no_graphs)
    if wish in ("always", "graphs"):
        require_compiler(machine.device)
    if wish == "auto" and (machine.ranks.count == 1 or settings.engine == "fsdp"):
        return None
    return "graphs" if wish == "graphs" else wish == "always"


def decided_there(compiled: object, working: WorkingModel[Decoder]) -> Compiled:
    """How layers are computed here, where a checkpoint tells how they were: the same way if that can be."""
    if compiled == "graphs":
        return True if working.why_no_graphs else "graphs"
    return bool(compiled)


class Compute(TypedDict):
    """What computes a step, where that is no copy of the model."""

    weights_dtype: torch.dtype
    float8: bool


class Weights(TypedDict):
    """What `restore` puts weights into."""

    model: Decoder
    average: WeightAverage | None
    ranks: Ranks


def _begin_with(
    run: StageRun,
    begin: Beginning,
    optimizer: Optimizers,
    weights: Weights,
    here: dict[str, Any],
    working: WorkingModel[Decoder],
    *,
    num_steps: int,
) -> TrainingState:
    """Where another training stood, to go on from; for a branch what was best there, by other rules, does not count."""
    try:
        state = restore(begin.folder, optimizer, **weights)
    except Damaged as error:
        fix = 'leave optimizer and model as they were there, or write [start] state = "weights"'
        raise BadInput(f"cannot branch off there: {error.message}", file=error.file, fix=fix) from None
    if state.step >= num_steps:
        raise BadInput(
            f"a branch from step {state.step:,} has nothing left to do: tokens are for {num_steps:,} steps in all",
            fix=f"raise [{run.stage}] tokens, which count from the first step of that training",
        )
    if not begin.same:
        state.best_step = state.best_metric = None
        state.steering, state.tuned = [], {}
    _say_how_exact(run, f"{begin.what} at step {state.step}", state, here, working)
    return state


def _say_how_exact(
    run: StageRun, what: str, state: TrainingState, here: dict[str, Any], working: WorkingModel[Decoder]
) -> None:
    """Say whether it goes on to the bit as there, or what is different here; from now on `here` is what counts."""
    if here["compiled"] is None:  # it was decided there
        here["compiled"] = decided_there(state.environment.get("compiled"), working)
    obstacles = compare(state.environment, here)
    if not here["deterministic"]:
        obstacles.append("kernels of this device add in no fixed order")
    if obstacles:
        run.warning(f"{what}: not exact: {', '.join(obstacles)}")
    else:
        run.note(f"{what}: exact")
    state.environment = here
