"""Checkpoints as tensors and numbers: everything the next step depends on, written whole or not at all.

    weights                     model.safetensors, a Hugging Face folder with the tokenizer beside it; an average of
                                many steps where one is kept, and then the newest are in training/state.safetensors
    optimizer, random numbers   training/state.safetensors; both in parts where many ranks wrote them, see together.py
    step, tokens, best…         training/state.json (step and batches passed over are the data position)

A training that goes on from these is bit for bit the one that was never interrupted, in an equal environment
(device.py). How they are written: snapshot.py; how they are found again: checkpoint_folder.py. Knows no recipe, no run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from workbench.errors import Damaged
from workbench.model.hf_names import to_hf
from workbench.model.stored_weights import Sliceable
from workbench.model.transformer import Decoder
from workbench.tensor_files import STATE_NUMBERS, STATE_TENSORS
from workbench.tokenizer import Tokenizer
from workbench.train.averaging import WeightAverage
from workbench.train.guard import SpikeGuard
from workbench.train.loop import StepReport
from workbench.train.optimizers import Optimizers
from workbench.train.ranks import ALONE, Ranks
from workbench.train.snapshot import Saved, Snapshot, write_snapshot
from workbench.train.state_files import open_state
from workbench.training_time import LARGEST_SAVING_SHARE

STATE_FORMAT = 1
NEWEST = "weights."
"""Before the names of the newest weights, where model.safetensors holds an average."""


@dataclasses.dataclass(slots=True, kw_only=True)
class TrainingState:
    """Where a training stands, in numbers: what is saved beside the tensors.

    step: updates made, which is also the position in the schedule. tokens: learned from.
    skipped: steps that left the weights as they were. best_metric: the lowest held-out loss so far.
    elapsed_seconds: spent in steps. environment: of the process that trains now, see device.py.
    rollbacks: how often it went back to a checkpoint; passed_over: the batches it left behind there.
    guard: what a spike is measured against; the loop is to use this one.
    steering: what a person decided while it ran, see steering.py; tuned: settings changed that change no result.
    """

    seed: int
    environment: dict[str, Any]
    step: int = 0
    tokens: int = 0
    skipped: int = 0
    elapsed_seconds: float = 0.0
    best_step: int | None = None
    best_metric: float | None = None
    rollbacks: int = 0
    passed_over: int = 0
    guard: SpikeGuard = dataclasses.field(default_factory=SpikeGuard)
    steering: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    tuned: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def batch(self) -> int:
        """The position in the data: which batch comes next."""
        return self.step + self.passed_over

    def roll_back_to(self, earlier: TrainingState) -> None:
        """Stand where `earlier` stood, but with the next batch in the data still to come; time spent is spent.

        What a person decided since then stays decided.
        """
        next_batch, rollbacks = self.batch, self.rollbacks + 1
        spent = {
            "elapsed_seconds": self.elapsed_seconds,
            "environment": self.environment,
            "steering": self.steering,
            "tuned": self.tuned,
        }
        for field in dataclasses.fields(self):
            setattr(self, field.name, spent.get(field.name, getattr(earlier, field.name)))
        self.rollbacks, self.passed_over = rollbacks, next_batch - self.step

    def count(self, report: StepReport) -> None:
        """Move on by one step."""
        self.step = report.step
        self.tokens += report.tokens
        self.skipped += report.skipped
        self.elapsed_seconds += report.seconds

    def note_metric(self, metric: float) -> bool:
        """Take note of a held-out loss measured now; gives whether it is the lowest so far."""
        if not math.isfinite(metric) or (self.best_metric is not None and metric >= self.best_metric):
            return False
        self.best_step, self.best_metric = self.step, metric
        return True


def take_snapshot(
    model: Decoder, optimizer: Optimizers, state: TrainingState, *, average: WeightAverage | None = None
) -> Snapshot:
    """What a checkpoint of now holds, in the training's own tensors: write or copy it before the next step.

    average: what to publish as the weights, where it holds any.
    """
    weights, newest = published(model, state, average)
    tensors = optimizer.state_tensors() | random_state() | newest
    return Snapshot(
        step=state.step,
        best_step=state.best_step,
        shape=model.config,
        weights=to_hf(model.config, weights),
        tensors={name: tensor.detach() for name, tensor in tensors.items()},
        numbers=numbers_text(state),
    )


def published(
    model: Decoder, state: TrainingState, average: WeightAverage | None
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The weights that others load, by name; and where these are an average the newest, as the state names them."""
    weights = dict(model.state_dict())
    if average is None or not average.holds(state.step):
        return weights, {}
    newest: dict[str, Tensor] = {f"{NEWEST}{name}": weight for name, weight in model.named_parameters()}
    return weights | average.named(), newest


def numbers_text(state: TrainingState) -> str:
    """The text of training/state.json."""
    numbers = {"format": STATE_FORMAT, **dataclasses.asdict(state), "guard": state.guard.memory()}
    return json.dumps(numbers, indent=1) + "\n"


def save_checkpoint(
    folder: Path,
    model: Decoder,
    optimizer: Optimizers,
    state: TrainingState,
    *,
    tokenizer: Tokenizer,
    keep_last: int = 2,
    keep: Collection[int] = (),
    average: WeightAverage | None = None,
) -> Saved:
    """`write_snapshot` of now, without a copy: the training waits."""
    snapshot = take_snapshot(model, optimizer, state, average=average)
    return write_snapshot(folder, snapshot, tokenizer=tokenizer, keep_last=keep_last, keep=keep)


def restore(
    checkpoint: Path,
    optimizer: Optimizers,
    *,
    model: Decoder | None = None,
    average: WeightAverage | None = None,
    ranks: Ranks = ALONE,
) -> TrainingState:
    """Put back optimizer and random numbers, and give the numbers; weights come by `ranks.open(checkpoint)`.

    model: so opened. Where those weights are an average, it gets the newest ones back, and `average`, if there is to
    be one, the average. Whether one process or many wrote the checkpoint, a rank reads what it is to hold, a tensor at
    a time. Raises Damaged when anything is missing, unknown, or not of this model's shape.
    """
    state = _read_numbers(checkpoint / STATE_NUMBERS)
    tensors = open_state(checkpoint)
    others = ("random.", NEWEST)
    optimizer.load_state_tensors(
        {name: each for name, each in tensors.items() if not name.startswith(others)}
    )
    if average is not None:
        average.begin_at_weights()
    newest = {name.removeprefix(NEWEST): each for name, each in tensors.items() if name.startswith(NEWEST)}
    if newest and model is not None:
        with torch.device("meta"):  # an engine may show parameters as less than they are
            alone = Decoder(model.config)
        shapes = {name: each.shape for name, each in alone.named_parameters()}
        if shapes != {name: each.shape for name, each in newest.items()}:
            raise Damaged("its weights are not this model's", file=checkpoint / STATE_TENSORS)
        ranks.load(model, newest)
    _restore_random_state(tensors, file=checkpoint / STATE_TENSORS)
    return state


class SaveClock:
    """Says when a checkpoint is due: every so many seconds, and rarer where saving would take over 2 % of the time.

    What a checkpoint costs is what it takes from training:

        held up    while its tensors are copied for a thread, or while it is written without one. A share of the time
        computed   by that thread, where no core is left to it: digests, looking for NaN, the kernel's copying. In these
                   CPU seconds no step computes. A share of the CPU seconds of the thread that trains, which has fewer
                   where others use its core

    The next one waits until both shares together are no more than that, so each is paid for before another begins; the
    first comes before anything is known of its cost. A thread that waits for a slow disk costs nothing and makes none
    rarer; but then the disk is left alone for as long as it was written to, for whoever reads there.

    Sooner at first: 2 s after the start, then 4, then 8. What killed a process may come back, and one that dies every
    ten seconds must still get on. On the monotonic clock: a changed date neither hurries nor delays it. One thread asks
    and saves, the one that trains.
    """

    LARGEST_WRITING_SHARE = 0.5
    FIRST_SECONDS = 2.0

    def __init__(
        self,
        every_seconds: float,
        *,
        now: Callable[[], float] = time.monotonic,
        worked: Callable[[], float] = time.thread_time,
    ) -> None:
        """worked: CPU seconds of the thread that trains."""
        self.every_seconds = every_seconds
        self._now, self._worked = now, worked
        self._saved_at, self._worked_then = now(), 0.0
        self._saves = 0
        self._held_up = self._computed = self._writing = 0.0  # seconds for the last one

    def is_due(self) -> bool:
        """Whether to save now. Not to be asked while a thread writes: what that costs is not known yet."""
        waited = self._now() - self._saved_at
        wanted = min(self.every_seconds, self.FIRST_SECONDS * 2.0 ** min(self._saves, 16))
        if waited < max(wanted, self._writing / self.LARGEST_WRITING_SHARE):
            return False
        share = self._held_up / waited
        if self._computed:
            share += self._computed / max(self._worked() - self._worked_then, self._computed)
        return share <= LARGEST_SAVING_SHARE

    @contextlib.contextmanager
    def saving(self) -> Iterator[None]:
        """Wrap in this what holds training up: it measures that, and starts the wait anew."""
        started = self._now()
        self._computed = self._writing = 0.0
        yield
        self._saved_at, self._worked_then = self._now(), self._worked()
        self._saves += 1
        self._held_up = self._saved_at - started

    def written(self, *, seconds: float, computed_seconds: float) -> None:
        """Count what a thread did for the last one: how long it wrote, and how long no step could compute for it.

        Within `saving`, where one had to wait for the one before, both are paid for together.
        """
        self._computed += computed_seconds
        self._writing = seconds


def _read_numbers(path: Path) -> TrainingState:
    try:
        numbers = json.loads(path.read_bytes())
        if numbers.pop("format") != STATE_FORMAT:
            raise Damaged("was written by another version", file=path, fix="update workbench")
        if numbers.keys() != {field.name for field in dataclasses.fields(TrainingState)}:
            raise Damaged("does not hold the fields of a training state", file=path)
        guard = SpikeGuard()
        guard.remember(numbers.pop("guard"))
        return TrainingState(**numbers, guard=guard)
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise Damaged(f"cannot be read ({error})", file=path) from None


def random_state() -> dict[str, Tensor]:
    """The generators a model with dropout draws from."""
    state = {"random.cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["random.cuda"] = torch.cuda.get_rng_state()
    return state


def _restore_random_state(state: Mapping[str, Sliceable], *, file: Path) -> None:
    if "random.cpu" not in state:
        raise Damaged("lacks random.cpu", file=file)
    torch.set_rng_state(state["random.cpu"][()])
    if torch.cuda.is_available() and "random.cuda" in state:
        torch.cuda.set_rng_state(state["random.cuda"][()])
