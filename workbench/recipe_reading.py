"""The keys of [pretrain] that say what is read, in which order, and in batches and rows of which size."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from workbench.mixing import Phase, ReadingFigures, phase_of_row, reading_figures
from workbench.packing import Lengths
from workbench.ramps import BatchSizes, Doubling, batch_sizes, doublings
from workbench.recipe_fields import Count, Flag, PositiveInt, Table, Text

Weight = Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False, strict=True)]
Weights = Annotated[dict[Text, Weight], Field(min_length=1, max_length=256)]
EndShare = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False, strict=True)]


class Ramp(Table):
    """A size that doubles from `start` until it is what its own key says."""

    start: PositiveInt
    """The first size: the final one divided by 2, 4, 8 and so on."""
    until: EndShare
    """The share of the tokens over which it grows, each size for an equal part."""

    def doubling(self) -> Doubling:
        """The same for the arithmetic."""
        return Doubling(self.start, self.until)


class CurriculumPhase(Table):
    """A part of the training with a mixture of its own."""

    until: EndShare
    """The share of the tokens where it ends."""
    mixture: Weights
    """As `mixture` of the whole."""


class Reading(Table):
    """What a model learns from the packed corpus."""

    tokens: Count
    """Tokens to train on. Compute-optimal is about 20 per parameter (Hoffmann et al. 2022); a small model that
    will be used much deserves more."""
    batch_tokens: Count = 2048
    """Tokens per optimizer step, over all rows and accumulation."""
    context_length: PositiveInt = 256
    """Tokens per training row."""
    isolate_documents: Flag = True
    """Rows are packed from several documents: let a token attend to its own only, as it will be read later.
    Without it the documents before are noise to ignore. On a GPU FlashAttention is told where documents begin (in
    bfloat16, with torch 2.13, without a soft cap); elsewhere a mask keeps them apart, whose memory grows by
    context_length numbers a token and layer. For documents longer than a row consider false."""
    packing: Literal["stream", "best-fit"] = "stream"
    """How documents share rows. `stream` lays them end to end and cuts a row every context_length tokens: nothing is
    wasted, most documents are cut. `best-fit` lays them whole into the row with the least room left for it and cuts
    only what is longer than a row (Ding et al. 2024): a little padding, which is not learned from. `plan` and `show`
    tell what each wastes and cuts. Prefer it where documents are shorter than a row."""
    mixture: Weights | None = None
    """How often each source of [corpus] is read, relative to the others: `{ "textbook.md" = 3, "web/*.jsonl" = 1 }`
    reads the textbook three times while the rest is read once. A source not named has weight 1; 0 leaves it out.
    Without mixture and curriculum all documents are one corpus. `plan` tells the epochs of each source."""
    curriculum: Annotated[tuple[CurriculumPhase, ...], Field(max_length=64)] = ()
    """Other mixtures for earlier parts of the training: `[{ until = 0.8, mixture = { "easy.txt" = 4 } }]` holds for
    the first 0.8 of the tokens, `mixture` for the rest. A source goes on in the next part where it stood."""
    batch_ramp: Ramp | None = None
    """Start with small batches, doubling: `{ start = 512, until = 0.3 }` goes from 512 tokens to batch_tokens over the
    first 0.3 of the tokens. The tokens stay the same, the steps become more; rates, and warmup_steps, go by tokens as
    if all batches were full. The rates are not changed for the smaller batches: where one is tuned for batch_tokens,
    the square root rule would have it times sqrt(batch / batch_tokens) (Malladi et al. 2022)."""
    context_ramp: Ramp | None = None
    """Start with short rows, doubling: `{ start = 64, until = 0.5 }`. Early rows are the later ones cut in pieces: the
    same tokens in the same order, with less attention to pay for (Li et al. 2022)."""

    @model_validator(mode="after")
    def _ramps_double(self) -> Reading:
        for name, ramp, final in (
            ("batch_ramp", self.batch_ramp, self.batch_tokens),
            ("context_ramp", self.context_ramp, self.context_length),
        ):
            if ramp is not None and not doublings(ramp.start, final):
                of = "batch_tokens" if name == "batch_ramp" else "context_length"
                raise ValueError(
                    f"{name} start = {ramp.start} does not double to {of} = {final}; "
                    f"write {final} divided by 2, 4, 8 or so"
                )
        if self.batch_ramp is not None and self.batch_ramp.start % self.context_length:
            raise ValueError(
                f"batch_ramp start = {self.batch_ramp.start} is not a multiple of "
                f"context_length = {self.context_length}"
            )
        return self

    @model_validator(mode="after")
    def _phases_follow_each_other(self) -> Reading:
        ends = [phase.until for phase in self.curriculum]
        if any(later <= earlier for earlier, later in itertools.pairwise(ends)):
            raise ValueError(
                f"curriculum ends at {', '.join(map(str, ends))}; each until must be above the last"
            )
        return self

    def sizes(self) -> BatchSizes:
        """The steps of the training: how many, of how many tokens, in rows of which length."""
        return batch_sizes(
            tokens=self.tokens,
            batch_tokens=self.batch_tokens,
            context_length=self.context_length,
            batch_ramp=None if self.batch_ramp is None else self.batch_ramp.doubling(),
            context_ramp=None if self.context_ramp is None else self.context_ramp.doubling(),
        )

    def phases(self) -> tuple[Phase, ...]:
        """How the sources are mixed, part by part; empty when they are one corpus."""
        if self.mixture is None and not self.curriculum:
            return ()
        earlier = (Phase(phase.until, phase.mixture) for phase in self.curriculum)
        return (*earlier, Phase(1.0, self.mixture or {}))

    @property
    def data_knows_end(self) -> bool:
        """Whether the first batches would be others if there were more tokens: ramps and curricula are of the whole."""
        return bool(self.batch_ramp or self.context_ramp or self.curriculum)

    def begins_another_phase(self, batch: int) -> bool:
        """Whether a phase of the curriculum has its first rows in `batch`, counted from 0."""
        sizes, phases = self.sizes(), self.phases()
        ends = (sizes.tokens_before(each) // self.context_length for each in (batch, batch + 1))
        num_rows = sizes.tokens // self.context_length
        before, now = (phase_of_row(phases, end - 1, num_rows=num_rows) for end in ends)
        return now > before

    def mixture_problems(self, sources: Sequence[str]) -> Iterator[tuple[str, str, str]]:
        """(key, what, what to do) for weights that `sources` cannot be mixed by."""
        mixtures = [("curriculum", phase.mixture) for phase in self.curriculum]
        for key, weights in [*mixtures, *([("mixture", self.mixture)] if self.mixture is not None else [])]:
            for name in sorted(weights.keys() - set(sources)):
                near = difflib.get_close_matches(name, sources, n=1, cutoff=0.5)
                known = f"they are {', '.join(sources)[:200]}"
                fix = f"did you mean {near[0]!r}?" if near else known
                yield key, f"names {name!r}, which is not one of [corpus] sources", fix
            if not any(weights.get(source, 1.0) for source in sources):
                yield key, "gives every source the weight 0", "give one more"

    def figures(self, lengths: Mapping[str, Lengths]) -> ReadingFigures:
        """What the training reads of documents of these lengths, by source."""
        return reading_figures(
            lengths,
            self.phases(),
            packing=self.packing,
            row_length=self.context_length,
            num_rows=self.sizes().tokens // self.context_length,
        )
