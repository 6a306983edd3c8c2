"""What pretraining, SFT and DPO do alike around the loop: go on where they were, roll back, report, save, obey.

    course = open_course(...)
    for report in course.steps(batches_from, loss_fn, flops_per_token=...):
        ...   # what to measure and to show is the stage's decision, in plain sight

What is learned is the stage's loss function. Not a stage: there is no [training] table.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, TypeVar

import torch

from workbench.data.prefetch import prefetched
from workbench.errors import BadInput, Damaged, Stopped, TrainingDiverged
from workbench.files import sweep
from workbench.layout import ON_SEVERAL_DEVICES, Seat, check_value, lay_out
from workbench.model.folder import load_model
from workbench.model.parametrization import rate_factors
from workbench.model.transformer import Decoder
from workbench.recipe import Dpo, Pretrain, Sft, Training
from workbench.stage_run import StageRun
from workbench.stages.pace import Pace
from workbench.stages.starting_point import Beginning
from workbench.tokenizer import Tokenizer
from workbench.train.averaging import WeightAverage
from workbench.train.checkpoint import SaveClock, Saved, TrainingState, restore, save_checkpoint
from workbench.train.checkpoint_folder import Found, damage, latest_good, step_folder, steps_in, write_summary
from workbench.train.compile_choice import CompileMemory, choose_compiling, require_compiler
from workbench.train.device import Machine, compare, environment, matmul_peak, prepare_machine
from workbench.train.loop import StepReport, accumulate_gradient, train
from workbench.train.losses import LossSum
from workbench.train.milestones import milestone_steps
from workbench.train.optimizers import Optimizers
from workbench.train.parameter_groups import OptimizerSettings
from workbench.train.ranks import Ranks
from workbench.train.schedule import make_schedule, steps_without_end
from workbench.train.steering import steered
from workbench.train.working_model import WorkingModel
from workbench.tuning import Tuning, parse_tuning
from workbench.version import VERSION

MicroBatch = TypeVar("MicroBatch")

MOST_ROLLBACKS = 3
"""Bad data is left behind by the first; what still diverges after three has another cause."""
METRIC_SECONDS = 0.1  # quicker steps are put together: ten points a second draw any curve
WORTH_SAYING = (0.1, 10.0)
"""Share of the time, and seconds, spent waiting for data from which on it is a warning."""
SAVE_FIRST = ("save", "stop", "pause")
"""The requests that are answered by a checkpoint before anything else."""


def open_machine(settings: Pretrain | Sft | Dpo) -> Machine:
    """This process's device and arithmetic, and the others it shares the training with, if there are any.

    Raises BadInput when there are not as many devices as processes, or they cannot be laid out as asked.
    """
    seat = Seat.here()
    machine = prepare_machine(
        settings.dtype,
        float32_matmul_precision=settings.float32_matmul_precision,
        local_rank=seat.local_rank,
        local_ranks=seat.local_ranks,
    )
    layout = lay_out(seat.ranks, tensor_parallel=settings.tensor_parallel, replicate=settings.replicate)
    if layout.ranks == 1:
        return machine
    for key in ON_SEVERAL_DEVICES:
        check_value(key, getattr(settings, key, None), layout)
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
    model = ranks.place(fresh_model() if at is None else load_model(at.folder), machine.device)
    optimizer = make_optimizer(model, settings, machine)
    working = make_working_model(model, settings, machine)
    here = environment(
        machine,
        version=VERSION,
        optimizer=optimizer.implementation,
        working_model=working.implementation,
        compiled=wants_compiled(settings, machine),
        micro_batch_tokens=micro_batch_tokens,
    )
    average = make_average(model, settings, num_steps=num_steps)
    weights: Weights = {"model": model, "average": average}
    if found is not None:
        state = _resume(run, found, optimizer, weights, here)
    elif begin is not None:
        state = _begin_with(run, begin, optimizer, weights, here, num_steps=num_steps)
    else:
        torch.manual_seed(settings.seed)
        state = TrainingState(seed=settings.seed, environment=here)
    run.emit("note", text=in_words(here), environment=here)
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


class Course:
    """One training from first step to last: the weights, what moves them, and where they stand.

        for report in course.steps(batches_from, loss_fn, flops_per_token=...):
            ...                       # measure, sample; tell a held-out loss to `note_heldout`

    A step is reported to the stage before anything else happens, then saved when it is time, and then requests are
    answered. Diverging training goes back to its last checkpoint and on from there.
    """

    def __init__(
        self,
        run: StageRun,
        settings: Pretrain | Sft | Dpo,
        machine: Machine,
        tokenizer: Tokenizer,
        model: Decoder,
        working: WorkingModel[Decoder],
        average: WeightAverage | None,
        optimizer: Optimizers,
        state: TrainingState,
        *,
        num_steps: int,
        full_batches_before: Callable[[int], float],
        data_knows_end: bool,
    ) -> None:
        self.model = model
        self.state = state
        self.num_steps = num_steps  # fewer once a person has let it decay earlier
        self._planned_steps = num_steps
        self._data_knows_end = data_knows_end
        self._parameters = sum(parameter.numel() for parameter in model.parameters())
        self._full_batches_before = full_batches_before
        self._run = run
        self._settings = settings
        self._machine = machine
        self._working = working
        self._autocast = machine.autocast if settings.weights_dtype == "float32" else None
        self._average = average
        self._ranks = machine.ranks
        self._optimizer = optimizer
        self._checkpoints = Checkpoints(run, settings, tokenizer=tokenizer)
        self._pace = Pace(run, num_steps=num_steps)
        self._is_best = False
        self._lay_out()
        self._take_tuned()
        if state.steering:  # before a kill, perhaps between the decision and its consequences
            self._tell_steering()

    def _lay_out(self) -> None:
        """Work out the rate of every step, which is the last, and what is kept: of settings and decisions alone."""
        settings, decisions = self._settings, self.state.steering
        self._factor_after = make_schedule(
            num_steps=self._full_batches_before(self._planned_steps), **schedule_of(settings)
        )
        self._trajectory = steered(
            self._own_factor,
            decisions,
            num_steps=self._planned_steps,
            learning_rate=settings.learning_rate,
            decay_ratio=settings.decay_ratio,
            floor=settings.final_learning_rate_ratio,
        )
        self.num_steps = self._trajectory.num_steps
        # So many steps a longer training would take the same way: it may go on from there.
        own_way = self._data_knows_end or decisions
        self._shared_steps = (
            0 if own_way else steps_without_end(num_steps=self.num_steps, **schedule_of(settings))
        )
        if settings.average_last is not None and self._average is not None:
            first = first_averaged(settings.average_last, self.num_steps)
            self._average.first_step = max(first, self._trajectory.decay_from or 0)
            self._shared_steps = min(self._shared_steps, first)
        self._milestones = milestone_steps(
            settings.milestones, keep_every_steps=settings.keep_every_steps, num_steps=self._planned_steps
        ) | {int(each["step"]) for each in decisions}
        if settings.schedule == "wsd":
            self._milestones |= {self._shared_steps}

    def steps(
        self,
        batches_from: Callable[[int], Iterable[Sequence[MicroBatch]]],
        loss_fn: Callable[[Decoder, MicroBatch], LossSum],
        *,
        flops_per_token: float | Callable[[int], float],
    ) -> Iterator[StepReport]:
        """Take the steps that are left, and yield a report after each.

        batches_from: the batches from one of that number on, each as its micro-batches; where in the data a
        training stands is the number of its next batch and nothing else.
        flops_per_token: of the model, forward and backward, to tell how well the machine is used; a function of
        the step where rows grow.

        Raises Stopped once a stop was asked for and everything is saved; NoSpace when the disk refuses;
        TrainingDiverged, naming the batches, when there is no checkpoint to go back to or for the fourth time.
        """
        meter = Meter(
            self._run,
            num_steps=self.num_steps,
            flops_per_token=flops_per_token,
            peak=matmul_peak(self._machine),
        )
        self._settle_compiling(batches_from, loss_fn)
        while self.state.step < self.num_steps:
            meter.num_steps = self.num_steps
            first_batch = self.state.batch
            try:
                with contextlib.closing(prefetched(batches_from(first_batch))) as batches:
                    for report in self._train(batches, loss_fn):
                        self.state.count(report)
                        if self._average is not None:
                            self._average.update(report.step)
                        meter.show(report, self.state)
                        self._pace.step(report)
                        with self._pace.measuring(is_due=self.is_due(self._settings.eval_every_steps)):
                            yield report
                        if self._save_and_obey():
                            break  # by other rules from here
            except TrainingDiverged as diverged:
                self._roll_back(diverged, first_batch)
        meter.warn_of_waiting()

    @contextlib.contextmanager
    def published(self) -> Iterator[Decoder]:
        """The model with the weights that are published, to be measured: for the block, an average if one is kept."""
        if self._average is None or not self._average.holds(self.state.step):
            yield self.model
        else:
            with self._average.in_place():
                yield self.model

    def try_gradient(
        self, micro_batch: MicroBatch, loss_fn: Callable[[Decoder, MicroBatch], LossSum]
    ) -> None:
        """Compute the gradient of a micro-batch and forget it: weights and moments stay what they were."""
        autocast = self._machine.autocast if self._settings.weights_dtype == "float32" else None
        try:
            accumulate_gradient(self._working.model, [micro_batch], loss_fn=loss_fn, autocast=autocast)
        finally:
            self._optimizer.zero_grad()

    def note_heldout(self, loss: float) -> None:
        """Take note of a held-out loss measured after this step; the lowest so far is worth a checkpoint."""
        self._is_best = self.state.note_metric(loss)

    def is_due(self, every: int) -> bool:
        """Whether something done every so many steps, and at the end, is to be done after this one."""
        return self.state.step % every == 0 or self.state.step == self.num_steps

    def finish(self) -> dict[str, Any]:
        """Make the folder ready to be published; gives the figures every training stage ends with."""
        state = self.state
        kept = steps_in(self._run.folder)
        # The best so far may be a step of the shorter training that this one went on from.
        best = state.best_step if state.best_step in kept else state.step

        def tidy() -> None:
            write_summary(self._run.folder, last=state.step, best=best)
            sweep(self._run.folder)

        self._ranks.first_does(tidy)
        self._pace.tell_cost()
        return {
            "steps": state.step,
            "tokens": state.tokens,
            "skipped_steps": state.skipped,
            "rollbacks": state.rollbacks,
            "seconds": round(state.elapsed_seconds, 1),
            "best_step": best,
            "dtype": state.environment["dtype"],
            "extendable_at": max((step for step in kept if step <= self._shared_steps), default=None),
            **({"steering": state.steering} if state.steering else {}),
            "optimizer": self._optimizer.implementation,
            "optimizer_bytes_per_parameter": round(self._optimizer.state_bytes / self._parameters, 3),
        }

    def _train(
        self,
        batches: Iterable[Sequence[MicroBatch]],
        loss_fn: Callable[[Decoder, MicroBatch], LossSum],
    ) -> Iterator[StepReport]:
        settings = self._settings
        return train(
            self.model,
            batches,
            self._optimizer,
            loss_fn=loss_fn,
            learning_rate_at=self._trajectory.factor_at,
            num_steps=self.num_steps,
            start_step=self.state.step,
            max_grad_norm=settings.max_grad_norm,
            autocast=self._autocast,
            guard=self.state.guard,
            working=self._working,
            ranks=self._ranks,
        )

    def _settle_compiling(
        self,
        batches_from: Callable[[int], Iterable[Sequence[MicroBatch]]],
        loss_fn: Callable[[Decoder, MicroBatch], LossSum],
    ) -> None:
        """Compile the layers if so it was decided; if that is still open, decide it by the next batch."""
        environment = self.state.environment
        if environment["compiled"] is None:
            batch = next(iter(batches_from(self.state.batch)))
            choice = choose_compiling(
                self._working,
                batch[0],
                loss_fn=loss_fn,
                autocast=self._autocast,
                passes_left=(self.num_steps - self.state.step) * len(batch),
                memory=CompileMemory(self._run.compile_times_path, self._kind_of_pass()),
            )
            environment["compiled"] = choice.compiled
            self._run.note(choice.reason)
        elif environment["compiled"]:
            self._working.compile_layers()

    def _kind_of_pass(self) -> str:
        """What the time of a pass depends on, in one line."""
        machine = {**self.state.environment, "compiled": None, "optimizer": None}
        return json.dumps([dataclasses.asdict(self.model.config), machine], sort_keys=True)

    def _own_factor(self, step: int) -> float:
        """The share of the peak rate that the recipe has for a step."""
        return self._factor_after(self._full_batches_before(step))

    def setting(self, key: str) -> int:
        """The value of a key that may be tuned and changes no result."""
        return int(self.state.tuned.get(key, getattr(self._settings, key)))

    def _save_and_obey(self) -> bool:
        """Write a checkpoint when it is time; then answer a request: wait on `pause`, raise Stopped on `stop`.

        Gives whether a person has steered: what is left of the course is another then.
        """
        request, is_due = self._ranks.agree((self._run.request(), self._checkpoints.is_due()))
        must_be_kept = self.state.step in {*self._milestones, self.num_steps}
        if must_be_kept or self._is_best or is_due or request in SAVE_FIRST:
            with self._pace.saving():
                self._save()
        self._is_best = False
        if request == "pause":
            self._ranks.first_does(self._run.wait_while_paused)
            request = self._ranks.agree(self._run.request())
        if request == "stop":
            raise Stopped(
                f"stopped in {self._run.stage} with everything saved", fix="`workbench resume` goes on"
            )
        return request is not None and request.startswith("tune ") and self._tune(request[5:])

    def _tune(self, assignment: str) -> bool:
        """Do what a person asked for, from the next step on, or say why not; gives whether it steers the course."""
        step, steps_before = self.state.step, self.num_steps
        try:
            tuning = parse_tuning(assignment, self._settings)
            self._require_in_time(tuning)
        except BadInput as error:
            self._run.warning(f"not tuned: {error}")
            return False
        if not tuning.steers:
            self.state.tuned[tuning.key] = int(tuning.value)
            self._take_tuned()
            self._run.note(f"from step {step:,} on {tuning.key} = {tuning.value}")
            return False
        self.state.steering.append({"step": step, tuning.key: tuning.value})
        self._lay_out()
        self._save()
        self._tell_steering()
        end = (
            f"; ends at step {self.num_steps:,} instead of {steps_before:,}" if tuning.key == "decay" else ""
        )
        self._run.note(
            f"steered at step {step:,}: {tuning.key} = {tuning.value}{end}; what comes of it is this run's alone"
        )
        return True

    def _tell_steering(self) -> None:
        """Let what is made have a name of its own; it may be built in another folder from here."""
        self._run.steered(self.state.steering)
        self._run.folder = Path(self._ranks.agree(str(self._run.folder)))

    def _require_in_time(self, tuning: Tuning) -> None:
        """Raise BadInput for a decision that comes too late, or too early."""
        step = self.state.step
        if tuning.steers and step >= self.num_steps:
            raise BadInput(f"{tuning.key} comes too late: step {step:,} was the last")
        if tuning.key == "decay" and self._trajectory.decay_from is not None:
            raise BadInput(f"the rate falls already, since step {self._trajectory.decay_from:,}")
        if tuning.key == "decay" and self._own_factor(step) < 1:
            raise BadInput(
                f"the rate rises or falls by itself at step {step:,}", fix="decay=now is for between"
            )

    def _take_tuned(self) -> None:
        self._checkpoints.every_seconds = self.setting("save_every_seconds")

    def _save(self) -> None:
        model, optimizer = self._ranks.gather(self.model, self._optimizer)
        self._ranks.first_does(
            lambda: self._checkpoints.save(
                model, optimizer, self.state, keep=self._milestones, average=self._average
            )
        )

    def _roll_back(self, diverged: TrainingDiverged, first_batch: int) -> None:
        """Put everything back to the last good checkpoint, with the batches since then behind us.

        One of them may be what did it. Raises TrainingDiverged, naming them, when there is no checkpoint or
        when this was tried often enough.
        """
        state = self.state
        found = newest_checkpoint(self._run, self._ranks)
        if found is None or state.rollbacks == MOST_ROLLBACKS:
            tries = f" after {state.rollbacks} rollbacks" if state.rollbacks else ""
            batches = f"batches {first_batch:,} to {state.batch - 1:,}"
            raise TrainingDiverged(f"{diverged.message}{tries}; {batches}", fix=diverged.fix) from None
        step, next_batch = state.step, state.batch
        self._ranks.load(self.model, load_model(found.folder))
        state.roll_back_to(restore(found.folder, self._optimizer, model=self.model, average=self._average))
        self._is_best = False
        self._run.warning(
            f"{diverged.message}: went back from step {step:,} to the checkpoint of step {state.step:,}; "
            f"batches {next_batch - (step - state.step):,} to {next_batch - 1:,} are passed over"
        )


def in_words(environment: Mapping[str, Any]) -> str:
    """What computes a training, in a line: arithmetic, device, optimizer, and how batches are cut."""
    on_cpu = environment["device"] == "cpu"
    where = f"{environment['threads']} CPU threads" if on_cpu else environment["device"]
    return (
        f"{environment['dtype']} on {where}, {environment['optimizer']}, {environment['working_model']} model, "
        f"{environment['micro_batch_tokens']:,} tokens at once"
    )


def schedule_of(settings: Training) -> dict[str, Any]:
    """What a table says of its schedule, but for the number of steps."""
    return {
        "shape": settings.schedule,
        "warmup_steps": settings.warmup_steps,
        "floor": settings.final_learning_rate_ratio,
        "decay_ratio": settings.decay_ratio,
    }


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


def make_average(model: Decoder, settings: Training, *, num_steps: int) -> WeightAverage | None:
    """The average of the weights that a stage's table asks for; None when the last ones are published."""
    if settings.ema_decay is not None:
        return WeightAverage(model, decay=settings.ema_decay)
    if settings.average_last is not None:
        return WeightAverage(model, first_step=first_averaged(settings.average_last, num_steps))
    return None


def first_averaged(share: float, num_steps: int) -> int:
    """The step after which the last `share` of all steps begins; one step at the least is in it."""
    return num_steps - max(1, round(share * num_steps))


def make_working_model(model: Decoder, settings: Training, machine: Machine) -> WorkingModel[Decoder]:
    """What computes a step, as a stage's table asks for."""
    return WorkingModel(
        model,
        weights_dtype=getattr(torch, settings.weights_dtype),
        float8=machine.float8,
        checkpoint_layers=settings.activation_checkpointing == "layer",
        in_place=machine.ranks.count > 1,
    )


def wants_compiled(settings: Training, machine: Machine) -> bool | None:
    """Whether the layers are to be compiled; None when that is to be measured. Raises BadInput where torch cannot."""
    wish = settings.compile if isinstance(settings, Pretrain) else "never"
    if wish == "always":
        require_compiler(machine.device)
    return {"never": False, "auto": None, "always": True}[wish]


class Weights(TypedDict):
    """What `restore` puts weights into."""

    model: Decoder
    average: WeightAverage | None


def newest_checkpoint(run: StageRun, ranks: Ranks) -> Found | None:
    """The newest whole checkpoint in the run's folder, the same on every rank; only the first looks for it.

    Raises Damaged when there are checkpoints and not one is whole.
    """
    found = ranks.first_does(lambda: latest_good(run.folder))
    step = ranks.agree(None if found is None else found.step)
    if found is None and step is not None:
        found = Found(step_folder(run.folder, step), step)
    return found


def _resume(
    run: StageRun, found: Found, optimizer: Optimizers, weights: Weights, here: dict[str, Any]
) -> TrainingState:
    """Where the checkpoint left off, with optimizer and random numbers put back."""
    for line in found.set_aside:
        run.warning(f"damaged checkpoint set aside: {line}")
    state = restore(found.folder, optimizer, **weights)
    _say_how_exact(run, f"resuming at step {state.step}", state, here)
    return state


def _begin_with(
    run: StageRun,
    begin: Beginning,
    optimizer: Optimizers,
    weights: Weights,
    here: dict[str, Any],
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
    _say_how_exact(run, f"{begin.what} at step {state.step}", state, here)
    return state


def _say_how_exact(run: StageRun, what: str, state: TrainingState, here: dict[str, Any]) -> None:
    """Say whether it goes on to the bit as there, or what is different here; from now on `here` is what counts."""
    if here["compiled"] is None:  # it was decided there
        here["compiled"] = bool(state.environment.get("compiled"))
    obstacles = compare(state.environment, here)
    if not here["deterministic"]:
        obstacles.append("kernels of this device add in no fixed order")
    if obstacles:
        run.warning(f"{what}: not exact: {', '.join(obstacles)}")
    else:
        run.note(f"{what}: exact")
    state.environment = here


class Meter:
    """Step reports to `metric` events: one a step, or one for all steps of a tenth of a second.

    data_wait_share: of the time, what went by until the next batch was there.
    mfu: share of this machine's measured matrix-product speed (`peak`) that the model's own arithmetic makes
    (model FLOP utilisation, PaLM appendix B); None when there is no peak to compare with. The peak is measured
    in a moment that others may share: a step that was faster than it has shown that it was too low.
    """

    def __init__(
        self,
        run: StageRun,
        *,
        num_steps: int,
        flops_per_token: float | Callable[[int], float],
        peak: float | None,
    ) -> None:
        self._run = run
        self.num_steps = num_steps
        self._flops_per_token = flops_per_token
        self._peak = peak
        self._waiting: list[StepReport] = []
        self._seconds = self._wait_seconds = 0.0
        self._emitted_at = -math.inf

    def show(self, report: StepReport, state: TrainingState) -> None:
        """Take a report; emit what has gathered when it is time, and a warning at once for a skipped step."""
        self._run.progress(report.step, self.num_steps, "steps")
        if report.skipped:
            self._run.warning(f"step {report.step} skipped: {report.skip_reason}")
        self._waiting.append(report)
        self._seconds += report.seconds
        self._wait_seconds += report.wait_seconds
        now = time.monotonic()
        if now - self._emitted_at >= METRIC_SECONDS or report.step == self.num_steps:
            self._run.emit("metric", **self._metrics(self._waiting, state))
            self._waiting, self._emitted_at = [], now

    def warn_of_waiting(self) -> None:
        """Say so when much of the time nothing was there to learn from."""
        share, least = WORTH_SAYING
        if self._wait_seconds > max(least, share * self._seconds):
            percent = f"{self._wait_seconds / self._seconds:.0%}"
            self._run.warning(
                f"{percent} of the time went by waiting for data: is the disk slow, or the machine full?"
            )

    def _flops(self, report: StepReport) -> float:
        per_token = self._flops_per_token
        return report.tokens * (per_token(report.step - 1) if callable(per_token) else per_token)

    def _metrics(self, reports: list[StepReport], state: TrainingState) -> dict[str, Any]:
        seconds = sum(each.seconds for each in reports)
        tokens_per_second = sum(each.tokens for each in reports) / seconds
        flops_per_second = sum(map(self._flops, reports)) / seconds
        if self._peak:
            self._peak = max(self._peak, flops_per_second)
        return {
            "step": state.step,
            "loss": _mean(each.loss for each in reports),
            "learning_rate": reports[-1].learning_rate,
            "grad_norm": _mean(each.grad_norm for each in reports),
            "tokens": state.tokens,
            "tokens_per_second": round(tokens_per_second, 1),
            "mfu": flops_per_second / self._peak if self._peak else None,
            "seconds": round(state.elapsed_seconds, 3),
            "data_wait_share": round(sum(each.wait_seconds for each in reports) / seconds, 4),
            **{name: _mean(each.extras[name] for each in reports) for name in reports[-1].extras},
        }


class Checkpoints:
    """Saves a stage's checkpoints into its folder, and says when the clock asks for one."""

    def __init__(self, run: StageRun, settings: Training, *, tokenizer: Tokenizer) -> None:
        self._run = run
        self._keep_last = settings.keep_last
        self._tokenizer = tokenizer
        self._clock = SaveClock(settings.save_every_seconds)

    @property
    def every_seconds(self) -> float:
        """How old the last one may get."""
        return self._clock.every_seconds

    @every_seconds.setter
    def every_seconds(self, seconds: float) -> None:
        self._clock.every_seconds = seconds

    def is_due(self) -> bool:
        """Whether the last one is old enough."""
        return self._clock.is_due()

    def save(
        self,
        model: Decoder,
        optimizer: Optimizers,
        state: TrainingState,
        *,
        keep: Collection[int] = (),
        average: WeightAverage | None = None,
    ) -> None:
        """Write a checkpoint and say so; while the disk is full, wait here with everything in memory.

        Older ones of the steps in `keep` stay. What others load is the `average`, where it holds any.
        """

        def write() -> Saved:
            with self._clock.saving():
                return save_checkpoint(
                    self._run.folder,
                    model,
                    optimizer,
                    state,
                    tokenizer=self._tokenizer,
                    keep_last=self._keep_last,
                    keep=keep,
                    average=average,
                )

        saved = self._run.when_there_is_room(write)
        is_best = state.best_step == state.step
        self._run.emit("checkpoint", step=state.step, path=saved.folder.name, bytes=saved.bytes, best=is_best)


def _mean(values: Iterable[float]) -> float | None:
    """The mean of the finite values; None when there are none."""
    finite = [value for value in values if math.isfinite(value)]
    return math.fsum(finite) / len(finite) if finite else None
