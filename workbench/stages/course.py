"""One training from where it stands to its last step: report, save, obey, be steered, roll back.

What it is made of, and where it begins, is settled before (training.py); what is measured and shown between two
steps is the stage's decision.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import torch

from workbench.data.prefetch import prefetched
from workbench.errors import BadInput, Stopped, TrainingDiverged, WorkbenchError
from workbench.files import human_duration, sweep
from workbench.layout import Seat
from workbench.model.stored_weights import StoredWeights
from workbench.model.transformer import Decoder
from workbench.recipe import Dpo, Pretrain, Sft, Training
from workbench.runs import STOP_NOW, STOPS
from workbench.stage_run import StageRun
from workbench.stages.checkpoints import Checkpoints, newest_checkpoint
from workbench.stages.meter import Meter
from workbench.stages.micro_batch import device_memory_bytes, is_out_of_memory, out_of_memory
from workbench.stages.pace import Pace
from workbench.tokenizer import Tokenizer
from workbench.train.averaging import WeightAverage
from workbench.train.checkpoint import TrainingState, restore
from workbench.train.checkpoint_folder import steps_in, write_summary
from workbench.train.compile_choice import CompileMemory, choose_compiling, use_graphs
from workbench.train.device import Machine, has_spare_core
from workbench.train.loop import StepReport, accumulate_gradient, train
from workbench.train.losses import LossSum
from workbench.train.matmul_rate import matmul_peak
from workbench.train.milestones import milestone_steps
from workbench.train.optimizers import Optimizers
from workbench.train.schedule import make_schedule, steps_without_end
from workbench.train.stand_in import stand_in
from workbench.train.steering import steered
from workbench.train.working_model import WorkingModel
from workbench.training_time import StepsLeft
from workbench.tuning import Tuning, parse_tuning

MicroBatch = TypeVar("MicroBatch")

MOST_ROLLBACKS = 3
"""Bad data is left behind by the first; what still diverges after three has another cause."""
SAVE_FIRST = ("save", "stop", "pause")
"""The requests that are answered by a checkpoint before anything else."""


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
        self._parameters = model.config.num_parameters
        self._full_batches_before = full_batches_before
        self._run = run
        self._settings = settings
        self._machine = machine
        self._working = working
        self._autocast = machine.autocast if settings.weights_dtype == "float32" else None
        self._average = average
        self._ranks = machine.ranks
        self._optimizer = optimizer
        self._checkpoints = Checkpoints(
            run,
            settings,
            tokenizer=tokenizer,
            spare_core=has_spare_core(machine, local_ranks=Seat.here().local_ranks),
        )
        self._pace = Pace(run, steps_left=self._steps_left)
        self._is_best = False
        # Seconds that had been spent in steps, by the step where a resume may begin: the newest, which may still be
        # on its way to the disk, and the one before.
        self._seconds_at = {state.step: state.elapsed_seconds}
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
        evaluation_tokens: int = 0,
        sample_tokens: int = 0,
    ) -> Iterator[StepReport]:
        """Take the steps that are left, and yield a report after each.

        batches_from: the batches from one of that number on, each as its micro-batches; where in the data a
        training stands is the number of its next batch and nothing else.
        flops_per_token: of the model, forward and backward, to tell how well the machine is used; a function of
        the step where rows grow.
        evaluation_tokens: read in one `evaluating`; sample_tokens: of the longest reply of one `sampling`. What these
        take is reckoned with them until there was one.

        Raises Stopped once a stop was asked for and everything is saved, or at once for `stop now`;
        NoSpace when the disk refuses;
        TrainingDiverged, naming the batches, when there is no checkpoint to go back to or for the fourth time;
        WorkbenchError, naming the cut that fits, when the device's memory is full.
        """
        meter = Meter(
            self._run,
            num_steps=self.num_steps,
            flops_per_token=flops_per_token,
            peak=matmul_peak(self._machine),
        )
        self._pace.begin()
        self._pace.expect(
            self.model.config,
            context_length=self._settings.context_length,
            evaluation_tokens=evaluation_tokens,
            sample_tokens=sample_tokens,
            on_gpu=self._machine.device.type == "cuda",
        )
        try:
            self._settle_compiling(batches_from, loss_fn)
            yield from self._steps(batches_from, loss_fn, meter)
        except BaseException as error:
            self._checkpoints.abandon()  # nobody writes for a training that is over
            if isinstance(error, Exception) and is_out_of_memory(error):
                raise self._out_of_memory(error) from error
            raise
        finally:
            self._pace.tell_cost(save_seconds=self._save_seconds)
        meter.warn_of_waiting()

    def _out_of_memory(self, error: Exception) -> WorkbenchError:
        return out_of_memory(
            error,
            self._run,
            self._settings,
            self.model.config,
            machine=self._machine,
            tokens=self.state.environment["micro_batch_tokens"],
            step=self.state.step,
            memory_bytes=device_memory_bytes(self._machine),
        )

    def _steps(
        self,
        batches_from: Callable[[int], Iterable[Sequence[MicroBatch]]],
        loss_fn: Callable[[Decoder, MicroBatch], LossSum],
        meter: Meter,
    ) -> Iterator[StepReport]:
        """The same, without what comes before the first and after the last."""
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
                        self._pace.step(report, flops=meter.flops(report))
                        yield report
                        steered = self._save_and_obey()
                        self._pace.say_what_is_left(report.step, save_seconds=self._save_seconds)
                        if steered:
                            break  # by other rules from here
            except TrainingDiverged as diverged:
                self._roll_back(diverged, first_batch)

    @contextlib.contextmanager
    def evaluating(self) -> Iterator[Decoder]:
        """The model with the weights that are published, to be measured on the held-out side in the block."""
        with self._pace.evaluating.running(), self._published() as model:
            yield model

    @contextlib.contextmanager
    def sampling(self) -> Iterator[Decoder]:
        """The same to write replies in the block, for people to look at."""
        with self._pace.sampling.running(), self._published() as model:
            yield model

    @contextlib.contextmanager
    def _published(self) -> Iterator[Decoder]:
        """For the block, the model with an average as its weights if one is kept."""
        averaged = self._average is not None and self._average.holds(self.state.step)
        with (
            self._average.in_place() if averaged and self._average is not None else contextlib.nullcontext(),
            self._ranks.measuring(self.model),
        ):
            yield self.model

    def try_gradient(
        self, micro_batch: MicroBatch, loss_fn: Callable[[Decoder, MicroBatch], LossSum]
    ) -> None:
        """Compute the gradient of a micro-batch and forget it: weights and moments stay what they were.

        Of several ranks each computes that of its own rows, by a model that stands in for its part: none waits for
        another, whatever becomes of one.
        """
        if self._ranks.count > 1:
            settings = self._settings
            alone = stand_in(
                self.model.config,
                self._machine.device,
                slices=settings.tensor_parallel,
                weights_dtype=getattr(torch, settings.weights_dtype),
                float8=self._machine.float8,
                checkpoint_layers=settings.activation_checkpointing == "layer",
            )
            rows = self._ranks.share(micro_batch).rows
            accumulate_gradient(alone.working.model, [rows], loss_fn=loss_fn, autocast=self._autocast)
            return
        try:
            accumulate_gradient(self._working.model, [micro_batch], loss_fn=loss_fn, autocast=self._autocast)
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
        memory = None  # other ranks know of no home
        if self._ranks.is_first:
            trial = self._run.run_folder / "compiling"
            memory = CompileMemory(self._run.compile_times_path, self._kind_of_pass(), trial=trial)
        if environment["compiled"] is None:
            batch = next(iter(batches_from(self.state.batch)))
            choice = choose_compiling(
                self._working,
                batch[0],
                loss_fn=loss_fn,
                autocast=self._autocast,
                passes_left=(self.num_steps - self.state.step) * len(batch),
                memory=memory,
                ranks=self._ranks,
                say=self._run.note,
            )
            environment["compiled"] = choice.compiled
            if choice.times is not None and not choice.compiled:  # remembered: nobody tries it again
                self._run.tell_cost(tried_seconds=choice.times.compiling)
            self._run.emit("note", text=choice.reason, environment=environment)
        elif environment["compiled"]:
            self._working.compile_layers()
        if environment["compiled"] == "graphs" and not self._working.by_graphs:
            assert memory is not None, "graphs are for one device"
            first = next(iter(batches_from(self.state.batch)))[0]
            use_graphs(self._working, first, loss_fn=loss_fn, autocast=self._autocast, memory=memory)

    def _kind_of_pass(self) -> str:
        """What the time of a pass depends on, in one line."""
        machine = {**self.state.environment, "compiled": None, "optimizer": None}
        return json.dumps([dataclasses.asdict(self.model.config), machine], sort_keys=True)

    def _own_factor(self, step: int) -> float:
        """The share of the peak rate that the recipe has for a step."""
        return self._factor_after(self._full_batches_before(step))

    def setting(self, key: str) -> Any:
        """The value of a key that may be tuned, as a person left it."""
        decided = [decision[key] for decision in self.state.steering if key in decision]
        return decided[-1] if decided else self.state.tuned.get(key, getattr(self._settings, key))

    def _save_and_obey(self) -> bool:
        """Write a checkpoint when it is time; then answer a request: wait on `pause`, raise Stopped on a stop.

        Gives whether a person has steered: what is left of the course is another then.
        """
        request, is_due = self._ranks.agree((self._run.request(), self._checkpoints.is_due()))
        if request == STOP_NOW:
            self._stop_now()
        must_be_kept = self.state.step in {*self._milestones, self.num_steps}
        if must_be_kept or self._is_best or is_due or request in SAVE_FIRST:
            durable = request in SAVE_FIRST or self.state.step == self.num_steps
            with contextlib.nullcontext() if durable else self._pace.saving.running():
                self._save(durable=durable)
        self._is_best = False
        if request == "save":
            self._run.answer("save", f"saved at step {self.state.step:,}, as asked")
        if request == "pause":
            self._ranks.first_does(self._run.wait_while_paused)
            request = self._ranks.agree(self._run.request())
        if request in STOPS:  # all is saved, and after a pause no step was taken since
            raise Stopped(
                f"stopped in {self._run.stage} with everything saved", fix="`workbench resume` goes on"
            )
        return request is not None and request.startswith("tune ") and self._tune(request)

    def _stop_now(self) -> NoReturn:
        """Raise Stopped with nothing saved, and say which steps will be taken again.

        A checkpoint that a thread is writing is waited for, and counts: the folder is this process's until then.
        """
        self._ranks.first_does(self._checkpoints.abandon)
        kept = steps_in(self._run.folder)
        began = max(kept) if kept else min(self._seconds_at)
        steps = self.state.step - began
        took = human_duration(self.state.elapsed_seconds - self._seconds_at[began]) if steps else ""
        since = f"the checkpoint of step {began:,}" if began else "the start"
        again = f"{steps:,} step{'s' if steps != 1 else ''} ({took}) since {since} will be taken again"
        said = again if steps else "its checkpoint was there already"
        self._run.answer(STOP_NOW, f"stopped at step {self.state.step:,} without saving: {said}")
        raise Stopped(f"stopped in {self._run.stage}", fix="`workbench resume` goes on")

    def _tune(self, request: str) -> bool:
        """Do what a person asked for, from the next step on, or say why not; gives whether it steers the course."""
        step, steps_before = self.state.step, self.num_steps
        try:
            tuning = parse_tuning(request.removeprefix("tune "), self._settings)
            self._require_in_time(tuning)
        except BadInput as error:
            self._run.answer(request, f"not tuned: {error}", refused=True)
            return False
        if not tuning.steers:
            self.state.tuned[tuning.key] = tuning.value
            self._take_tuned()
            self._run.answer(request, f"from step {step:,} on {tuning}")
            return False
        self.state.steering.append({"step": step, tuning.key: tuning.value})
        self._lay_out()
        self._take_tuned()
        self._save(durable=True)
        self._tell_steering()
        end = (
            f"; ends at step {self.num_steps:,} instead of {steps_before:,}" if tuning.key == "decay" else ""
        )
        self._run.answer(
            request,
            f"steered at step {step:,}: {tuning}{end}; what comes of it is this run's alone",
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
        decided = {key: value for each in self.state.steering for key, value in each.items() if key != "step"}
        self._run.tell_tuned({**decided, **self.state.tuned})

    @property
    def _save_seconds(self) -> float:
        """What one checkpoint takes from training: what that waits for, and what a thread computes in its stead."""
        each = self._pace.saving
        if not each.times:
            return self._checkpoints.last_computed_seconds
        return (each.seconds + self._checkpoints.computed_seconds) / each.times

    def _steps_left(self, done: int) -> StepsLeft:
        """What there is to do after so many steps."""
        settings, last = self._settings, self.num_steps
        return StepsLeft(
            done=done,
            last=last,
            full_steps=self._full_batches_before(last) - self._full_batches_before(done),
            eval_every_steps=self.setting("eval_every_steps"),
            sample_every_steps=self.setting("sample_every_steps") if isinstance(settings, Pretrain) else None,
            save_every_seconds=self._checkpoints.every_seconds,
        )

    def _save(self, *, durable: bool) -> None:
        """Save the state of now; `durable`: it is on disk on return."""
        newest = max(self._seconds_at)
        self._seconds_at = {
            newest: self._seconds_at[newest],
            self.state.step: self.state.elapsed_seconds,
        }
        if self._ranks.saves_blocks and self._checkpoints.save_together(
            self.model,
            self._optimizer,
            self.state,
            ranks=self._ranks,
            keep=self._milestones,
            average=self._average,
        ):
            return
        model, optimizer = self._ranks.gather(self.model, self._optimizer)
        average = self._average
        if average is not None and model is not self.model:  # one in shards
            average = average.whole(model)
        self._ranks.first_does(
            lambda: self._checkpoints.save(
                model,
                optimizer,
                self.state,
                keep=self._milestones,
                average=average,
                own_tensors=self._ranks.count > 1,
                durable=durable,
            )
        )

    def _roll_back(self, diverged: TrainingDiverged, first_batch: int) -> None:
        """Put everything back to the last good checkpoint, with the batches since then behind us.

        One of them may be what did it. Raises TrainingDiverged, naming them, when there is no checkpoint or
        when this was tried often enough.
        """
        state = self.state
        self._ranks.first_does(self._checkpoints.abandon)
        found = newest_checkpoint(self._run, self._ranks)
        if found is None or state.rollbacks == MOST_ROLLBACKS:
            tries = f" after {state.rollbacks} rollbacks" if state.rollbacks else ""
            batches = f"batches {first_batch:,} to {state.batch - 1:,}"
            raise TrainingDiverged(f"{diverged.message}{tries}; {batches}", fix=diverged.fix) from None
        step, next_batch = state.step, state.batch
        self._ranks.load(self.model, StoredWeights(found.folder))
        state.roll_back_to(
            restore(
                found.folder,
                self._optimizer,
                model=self.model,
                average=self._average,
                ranks=self._ranks,
            )
        )
        self._is_best = False
        self._seconds_at = {state.step: state.elapsed_seconds}
        self._run.warning(
            f"{diverged.message}: went back from step {step:,} to the checkpoint of step {state.step:,}; "
            f"batches {next_batch - (step - state.step):,} to {next_batch - 1:,} are passed over"
        )


def schedule_of(settings: Training) -> dict[str, Any]:
    """What a table says of its schedule, but for the number of steps."""
    return {
        "shape": settings.schedule,
        "warmup_steps": settings.warmup_steps,
        "floor": settings.final_learning_rate_ratio,
        "decay_ratio": settings.decay_ratio,
    }


def first_averaged(share: float, num_steps: int) -> int:
    """The step after which the last `share` of all steps begins; one step at the least is in it."""
    return num_steps - max(1, round(share * num_steps))
