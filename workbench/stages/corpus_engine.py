"""The blocks of a corpus prepared on many machines, by datatrove's executors; deciding and writing stay with a run.

    step = block_step(settings, base=recipe_folder, home=home)          home: on a disk that all machines share
    SlurmPipelineExecutor([step], tasks=500, …).run()                   or LocalPipelineExecutor, RayPipelineExecutor

Every rank cuts the same blocks in the same order and prepares each so-manieth, so ranks need no coordinator, may die
and be started again, and leave nothing but layers in the home's cache. The run that follows finds them there: its
result is the same as if it had made them itself.

Why datatrove (`pip install 'llm-workbench[cluster]'`): plain Python without a daemon, on Slurm, Ray or one machine
alike, with a log and a mark of completion for each rank. Of Ray we would use only what that executor already does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from datatrove.pipeline.base import PipelineStep

from workbench.corpus.blocks import BLOCK_BYTES
from workbench.corpus.cache import LayerCache
from workbench.corpus.preparing import Preparation
from workbench.corpus.sources import Reading, open_sources
from workbench.corpus_reference import corpus_folder
from workbench.recipe_corpus import Corpus
from workbench.source_identity import corpora_of
from workbench.stages.corpus_settings import editing_of, measures_of, reading_of, test_items_of


class BlockStep(PipelineStep):  # type: ignore[misc]  # datatrove has no types
    """Prepares this rank's share of the blocks; takes and gives no documents."""

    name = "Workbench blocks"
    type = "WORKBENCH"

    def __init__(
        self,
        preparation: Preparation,
        sources: tuple[str, ...],
        *,
        base: Path,
        reading: Reading,
        corpora: dict[str, Path],
        block_bytes: int,
    ) -> None:
        super().__init__()
        self.preparation = preparation
        self.sources = sources
        self.base = base
        self.reading = reading
        self.corpora = corpora
        self.block_bytes = block_bytes

    def run(self, data: Iterable[Any] | None, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
        """Prepares every `world_size`-th block, beginning with number `rank`."""
        yield from data or ()
        opened = open_sources(
            self.sources,
            base=self.base,
            reading=self.reading,
            block_bytes=self.block_bytes,
            corpora=self.corpora,
        )
        for block in opened.blocks:
            if block.number % world_size == rank:
                prepared = self.preparation(block)
                self.stat_update("blocks")
                self.stat_update("layers made", value=len(prepared.made))


def block_step(settings: Corpus, *, base: Path, home: Path, block_bytes: int = BLOCK_BYTES) -> BlockStep:
    """The step that fills the cache of `home` for a [corpus] whose paths are relative to `base`.

    A classifier that is still to be trained is left to the run, as are limits on the number of documents.
    Raises BadInput for a source, a list or a set that is no good.
    """
    items = test_items_of(settings, base=base)
    reading = reading_of(settings)
    preparation = Preparation(
        LayerCache(home / "cache" / "corpus"),
        reading,
        editing_of(settings),
        tuple(measures_of(settings, items, base=base)),
    )
    corpora = {name: corpus_folder(name, base=base, home=home) for name in corpora_of(settings)}
    return BlockStep(
        preparation,
        settings.sources,
        base=base,
        reading=reading,
        corpora=corpora,
        block_bytes=block_bytes,
    )
