"""Our side of a measurement: the real loop, loader, loss and optimizers, with parts replaced by plain ones on request.

A `Rung` says which part is which; the last one, all ours, is what `workbench run` does for a pretraining step.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Generator, Iterator
from typing import Literal, cast

import torch
from torch import Tensor

from workbench.bench import naive
from workbench.bench.parts import PartClock
from workbench.bench.settings import OurSettings
from workbench.bench.systems import Progress
from workbench.bench.workload import Workload
from workbench.data.loader import Batch, batches, micro_batches
from workbench.data.pairs import count_pairs
from workbench.data.prefetch import prefetched
from workbench.data.shards import TokenShards
from workbench.model import attention, memory, norms
from workbench.model.initialise import initialise
from workbench.model.transformer import Decoder
from workbench.train.bigram_start import fit_bigrams
from workbench.train.device import keep_freed_memory, multiply_by_onednn
from workbench.train.loop import train
from workbench.train.losses import next_token_loss
from workbench.train.optimizers import Optimizers
from workbench.train.schedule import make_schedule
from workbench.train.working_model import WorkingModel

TICKS = 100_000
"""A schedule is a function of a step; time is cut into so many."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """Which way each part of the step is done; the defaults are ours, None what the workload and settings say."""

    dtype: Literal["bfloat16", "float32"] | None = None
    products: Literal["torch", "ours"] = "ours"
    """Of float32; ours are oneDNN's where those are quicker."""
    memory: Literal["given back", "ours"] = "ours"
    norms: Literal["torch", "ours"] = "ours"
    attention: Literal["written out", "torch", "ours"] = "ours"
    loss: Literal["full logits", "ours"] = "ours"
    optimizer: Literal["looped adamw", "adamw", "muon"] | None = None
    weights: Literal["float32", "bfloat16"] | None = None
    compiled: bool | None = None
    graphs: bool = False
    """Compiled layers are replayed as CUDA graphs."""
    micro_batches: int | None = None
    """How many a batch is cut into."""


class Ours:
    """Our decoder and its training as a `System`. `parts`, if given, hears where the time of a step goes."""

    def __init__(
        self,
        workload: Workload,
        settings: OurSettings,
        *,
        rung: Rung | None = None,
        parts: PartClock | None = None,
    ) -> None:
        rung = rung or Rung()
        self._workload = dataclasses.replace(workload, dtype=rung.dtype or workload.dtype)
        if settings.course.batch_tokens:
            self._workload = dataclasses.replace(self._workload, batch_tokens=settings.course.batch_tokens)
        self._settings, self._rung, self._parts = settings, rung, parts
        config = self._workload.model_config(**settings.model)
        self.parameters = config.num_parameters
        self.flops_per_token = config.flops_per_token(workload.context_length)
        self._model = Decoder(config).to(workload.device)
        self._loss = next_token_loss if rung.loss == "ours" else naive.full_logits_loss
        # What is replaced stays so: a process measures one rung and nothing else.
        if rung.memory == "ours":
            keep_freed_memory()
        if rung.products == "ours" and self._autocast is None and workload.device.type == "cpu":
            multiply_by_onednn()
        if rung.norms != "ours":
            vars(attention)["may_be_pieced"] = vars(norms)["may_be_pieced"] = naive.never_pieced
        if rung.attention != "ours":
            plain = rung.attention == "written out"
            attention.attend = naive.attend_written_out if plain else naive.attend_all_by_torch
            vars(memory)["takes_segments"] = naive.never_by_segments
        weights = rung.weights or settings.course.weights_dtype
        self._working = WorkingModel(self._model, weights_dtype=getattr(torch, weights))
        if settings.course.compiled if rung.compiled is None else rung.compiled:
            self._working.compile_layers()
            if rung.graphs:
                self._working.use_graphs()
        self.restart()

    @property
    def _autocast(self) -> torch.dtype | None:
        dtype = self._workload.torch_dtype
        return None if dtype == torch.float32 else dtype

    @property
    def _micro_batch_tokens(self) -> int:
        tokens = self._workload.batch_tokens
        if self._rung.micro_batches is not None:
            return tokens // self._rung.micro_batches
        return self._settings.course.micro_batch_tokens or tokens

    def restart(self) -> None:
        """Back to the first weights and a fresh optimizer."""
        initialise(self._model, self._workload.seed, initializer=self._settings.course.initializer)
        self.optimizer = self._optimizer()
        self._fitted = False

    def _optimizer(self) -> Optimizers:
        settings = self._settings
        if self._rung.optimizer is not None and self._rung.optimizer != "looped adamw":
            settings = dataclasses.replace(
                settings, optimizer=dict(settings.optimizer) | {"optimizer": self._rung.optimizer}
            )
        wanted = settings.optimizer_settings(self._workload.torch_dtype)
        if self._rung.optimizer == "looped adamw":
            return cast(Optimizers, naive.LoopedAdamW(self._model, learning_rate=wanted.learning_rate))
        return Optimizers(self._model, wanted)

    def steps(self, tokens: TokenShards, progress: Progress) -> Generator[int, None, None]:
        """The training loop itself, with the schedule stretched over the time allowed."""
        course = self._settings.course
        if course.initializer == "bigrams" and not self._fitted:  # on the clock, as a training pays for it
            fit_bigrams(self._model, count_pairs(tokens), autocast=self._autocast)
            self._fitted = True
        factor_at = make_schedule(
            course.schedule,
            num_steps=TICKS,
            warmup_steps=round(course.warmup_share * TICKS),
            floor=course.final_learning_rate_ratio,
            decay_ratio=course.decay_ratio,
        )
        order = batches(
            tokens,
            context_length=self._workload.context_length,
            batch_tokens=self._workload.batch_tokens,
            seed=self._workload.seed,
            isolate_documents=course.isolate_documents,
        )
        at_once = self._micro_batch_tokens
        ready = prefetched(micro_batches(batch, at_once) for batch in order)
        given: Iterator[list[Batch]] = ready
        loss_fn, optimizer = self._loss, self.optimizer
        if self._parts is not None:
            given = self._parts.data(ready)
            loss_fn = self._parts.forward(loss_fn)
            self._parts.watch(self._working.model, optimizer)
        reports = train(
            self._model,
            given,
            optimizer,
            loss_fn=loss_fn,
            learning_rate_at=lambda _: factor_at(min(TICKS - 1, int(progress() * TICKS))),
            num_steps=1 << 40,
            max_grad_norm=course.max_grad_norm,
            autocast=self._autocast,
            working=self._working,
        )
        with contextlib.closing(ready):
            for report in reports:
                if self._parts is not None:
                    self._parts.step_ended()
                yield report.tokens

    @torch.no_grad()
    def logits(self, ids_BT: Tensor) -> Tensor:
        """logits_BTV."""
        self._model.eval()
        enabled = self._autocast is not None
        with torch.autocast(ids_BT.device.type, dtype=self._autocast or torch.bfloat16, enabled=enabled):
            logits_BTV: Tensor = self._model(ids_BT)
        return logits_BTV
