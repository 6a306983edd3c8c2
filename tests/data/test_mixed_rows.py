"""Mixtures: shares to the row, no gap in any source, phases that take over, and any row without the ones before."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from workbench.data.loader import Batch, batches
from workbench.data.mixed_rows import MixedRows
from workbench.data.packed_rows import Row, Rows
from workbench.data.shards import SourceNumbers, TokenShards, lengths_by_source, write_shards
from workbench.errors import BadInput
from workbench.mixing import Phase, reading_figures
from workbench.packing import Packing
from workbench.ramps import BatchSizes, Stretch


class Numbered:
    """Rows that say which source they are from, and their number there."""

    num_tokens = 0

    def __init__(self, source: int, rows_per_epoch: int) -> None:
        self.rows_per_epoch = rows_per_epoch
        self._source = source

    def row(self, number: int) -> Row:
        return Row(*(np.array([value]) for value in (self._source, number, 0)))


def drawn(mixed: MixedRows, rows: range) -> list[tuple[int, int]]:
    return [(int(row.inputs_T[0]), int(row.targets_T[0])) for row in map(mixed.row, rows)]


def mix(
    sizes: Mapping[str, int], *phases: tuple[float, dict[str, float]], num_rows: int = 10_000, seed: int = 0
) -> MixedRows:
    sources: dict[str, Rows] = {name: Numbered(place, sizes[name]) for place, name in enumerate(sizes)}
    return MixedRows(sources, [Phase(*phase) for phase in phases], num_rows=num_rows, seed=seed)


def test_epochs_go_by_weight_and_stay_near_it_all_along() -> None:
    mixed = mix({"web": 1000, "book": 50, "left out": 80}, (1.0, {"book": 3, "left out": 0}))
    counts = np.zeros(3)
    for number, (source, _) in enumerate(drawn(mixed, range(5000)), start=1):
        counts[source] += 1
        assert abs(counts[1] - number * 150 / 1150) < 16  # rows; a random order would stray by 50
    assert counts[2] == 0
    assert counts[1] / 50 == pytest.approx(3 * counts[0] / 1000, rel=0.01)


def test_rows_of_a_source_follow_each_other_without_gaps_through_phases() -> None:
    mixed = mix(
        {"a": 30, "b": 7, "c": 900}, (0.3, {"a": 5}), (0.5, {"c": 0}), (1.0, {"b": 0.5}), num_rows=3000
    )
    seen = drawn(mixed, range(4000))  # on beyond the end, in the last phase
    for source in range(3):
        own = [number for which, number in seen if which == source]
        assert sorted(own) == list(range(len(own)))
        assert all(
            abs(number - place) < 256 for place, number in enumerate(own)
        )  # within a block it may turn
    assert not any(source == 2 for source, _ in seen[900:1500])
    shares = [Counter(source for source, _ in seen[start:end]) for start, end in ((0, 900), (1500, 4000))]
    assert shares[0][0] == pytest.approx(900 * 150 / (150 + 7 + 900), abs=10)
    assert shares[1][1] == pytest.approx(2500 * 3.5 / (30 + 3.5 + 900), abs=2)


def test_any_row_is_found_without_those_before() -> None:
    phases = ((0.2, {"a": 9.0}), (0.7, {}), (1.0, {"b": 0.01}))
    sizes = {"a": 11, "b": 400, "c": 3}
    together = drawn(mix(sizes, *phases), range(10_000))
    for number in (0, 1, 255, 256, 1999, 2000, 2001, 6999, 7000, 9999):
        assert drawn(mix(sizes, *phases), range(number, number + 1)) == [together[number]]


def test_without_a_curriculum_a_longer_training_begins_with_the_shorter_one() -> None:
    shorter, longer = (mix({"a": 5, "b": 90}, (1.0, {"a": 4}), num_rows=rows) for rows in (300, 5000))
    assert drawn(shorter, range(600)) == drawn(longer, range(600))


def test_seeds_differ_and_the_order_is_no_pattern() -> None:
    one, other = (drawn(mix({"a": 50, "b": 50}, (1.0, {}), seed=seed), range(512)) for seed in (0, 1))
    assert one != other
    runs = [len(list(run)) for _, run in itertools.groupby(source for source, _ in one)]
    assert max(runs) > 3 and runs.count(1) > 20


@pytest.fixture
def shards(tmp_path: Path) -> TokenShards:
    """40 documents of "web" and 5 of "book", one behind the other; every token but bos its own number."""
    documents, token, sources = [], 1, SourceNumbers()
    for number in range(45):
        documents.append([0, *range(token, token + 20 + number)])
        token += 20 + number
        sources.note("book" if number % 9 == 4 else "web")
    return write_shards(tmp_path, documents, vocab_size=4000, shard_tokens=500, sources=sources)


def read(
    shards: TokenShards, steps: int, *phases: Phase, packing: Packing, start: int = 0, stop: int | None = None
) -> list[Batch]:
    """The batches from `start` to `stop` of a training of so many steps."""
    stream = batches(
        shards,
        context_length=32,
        batch_tokens=128,
        seed=0,
        start_step=start,
        packing=packing,
        phases=phases,
        sizes=BatchSizes([Stretch(steps, 128, 32)]),
    )
    return list(itertools.islice(stream, (stop or steps) - start))


@pytest.mark.parametrize("packing", ["stream", "best-fit"])
def test_a_training_sees_each_source_as_often_as_its_figures_say(
    shards: TokenShards, packing: Packing
) -> None:
    phases = (Phase(0.5, {"web": 0}), Phase(1.0, {"book": 2}))
    taken = read(shards, 60, *phases, packing=packing)
    seen = Counter(token for batch in taken for token in batch.targets_BT.flatten().tolist())
    figures = reading_figures(
        lengths_by_source(shards), phases, packing=packing, row_length=32, num_rows=60 * 4
    )
    for source in ("web", "book"):
        documents = [shards.document(int(i))[1:].tolist() for i in shards.documents_of(source)]
        tokens = [token for document in documents for token in document]
        mean = sum(seen[token] for token in tokens) / len(tokens)
        assert mean == pytest.approx(figures.epochs[source], rel=0.1)
        assert max(seen[token] for token in tokens) - min(seen[token] for token in tokens) <= 1
    padded = sum(int((batch.targets_BT == -100).sum()) for batch in taken) / (60 * 128)
    assert padded == pytest.approx(figures.padding_share, abs=0.02)


@pytest.mark.parametrize("packing", ["stream", "best-fit"])
def test_a_mixture_goes_on_from_any_batch(shards: TokenShards, packing: Packing) -> None:
    phases = (Phase(0.3, {"web": 0.5}), Phase(1.0, {}))
    whole = read(shards, 40, *phases, packing=packing)
    for start in (1, 12, 13, 39):
        (batch,) = read(shards, 40, *phases, packing=packing, start=start, stop=start + 1)
        assert batch.inputs_BT.equal(whole[start].inputs_BT)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"wbe": 2.0}, "no training document is from 'wbe'"),
        ({"web": 0.0, "book": 0.0}, "every source with documents has the weight 0"),
        ({"web": 0.0}, r"the corpus has 215 tokens, one batch needs 256"),
    ],
)
def test_a_mixture_that_cannot_be(shards: TokenShards, weights: dict[str, float], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        batches(shards, context_length=32, batch_tokens=256, seed=0, phases=[Phase(1.0, weights)])


def test_tokens_that_do_not_tell_sources_are_refused_for_a_mixture_alone(tmp_path: Path) -> None:
    shards = write_shards(tmp_path, [[0, *range(1, 300)]], vocab_size=300, shard_tokens=500)
    assert next(batches(shards, context_length=32, batch_tokens=128, seed=0)).inputs_BT.shape == (4, 32)
    with pytest.raises(BadInput, match=r"do not say which source.*--force pack"):
        batches(shards, context_length=32, batch_tokens=128, seed=0, phases=[Phase(1.0, {})])
