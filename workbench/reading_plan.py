"""What a plan's pretraining will read: its steps, epochs of each source, and what packing wastes and cuts.

Exact once the tokens are there, from the lengths that lie beside them; before that epochs are a guess from the sizes
of the sources, and packing cannot be told.
"""

from __future__ import annotations

import dataclasses

from workbench.document_lengths import num_tokens, read_lengths
from workbench.packing import Packing
from workbench.plan import Plan
from workbench.ramps import Stretch
from workbench.recipe import Pretrain
from workbench.recipe_corpus import Corpus
from workbench.source_sizes import source_bytes, text_bytes
from workbench.token_sizes import bytes_per_token


@dataclasses.dataclass(frozen=True)
class PlannedReading:
    """What pretraining reads. Shares as in packing.PackingFigures; None where the tokens are not there yet.

    epochs: by source, of weights that differ; under "" where all sources are one corpus.
    """

    stretches: tuple[Stretch, ...]
    packing: Packing
    epochs: dict[str, float]
    padding_share: float | None
    cut_share: float | None

    @property
    def is_exact(self) -> bool:
        """Whether the tokens were counted."""
        return self.cut_share is not None


def planned_reading(plan: Plan) -> PlannedReading | None:
    """What the plan's pretraining will read; None without one, or when nothing tells how much there is."""
    stage = next((each for each in plan.stages if each.name == "pretrain"), None)
    if stage is None:
        return None
    table = stage.table()
    assert isinstance(table, Pretrain)
    lengths = read_lengths(plan.store.folder(stage.inputs["tokens"]))
    counted = any(map(num_tokens, lengths.values()))
    if not counted:
        lengths = _guessed_lengths(plan)
    if not any(map(num_tokens, lengths.values())):
        return None
    figures = table.figures(lengths)
    return PlannedReading(
        stretches=tuple(table.sizes().stretches),
        packing=table.packing,
        epochs=figures.epochs if table.phases() else {"": max(figures.epochs.values())},
        padding_share=figures.padding_share if counted else None,
        cut_share=figures.cut_share if counted else None,
    )


def _guessed_lengths(plan: Plan) -> dict[str, dict[int, int]]:
    """Each source as one long document: what it holds, without how it is divided."""
    corpus = next((each.table() for each in plan.stages if each.name == "corpus"), None)
    if not isinstance(corpus, Corpus):
        return {}
    bytes_by_source = {source: source_bytes(source, folder=plan.recipe_folder) for source in corpus.sources}
    tokens_per_byte = text_bytes(plan) / max(1, sum(bytes_by_source.values())) / bytes_per_token(plan)
    return {source: {round(size * tokens_per_byte): 1} for source, size in bytes_by_source.items() if size}
