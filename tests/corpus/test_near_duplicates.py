from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.corpus.planted import edited, jaccard, text_of
from workbench.corpus import clusters, near_duplicates
from workbench.corpus.buckets import COMPARED, pairs_in_buckets
from workbench.corpus.clusters import cut_chains, whole_chains
from workbench.corpus.near_duplicates import Chains, Cluster, Keep, NearDuplicates
from workbench.corpus.sketches import MinHash, shingle_sets, sketch

SETTINGS = MinHash(ngram=3)


def found(
    folder: Path,
    texts: Sequence[str],
    *,
    order: Iterable[int] | None = None,
    seen: Iterable[int] = (),
    keep: Keep = "first",
    chains: Chains = "cut",
    jaccard: float = 0.75,
    memory_bytes: int = 1 << 24,
) -> tuple[list[Cluster], NearDuplicates]:
    """The clusters of `texts`, whose numbers are their places, given one by one in `order`."""
    order = list(range(len(texts)) if order is None else order)
    with NearDuplicates(
        folder, SETTINGS, jaccard=jaccard, keep=keep, chains=chains, memory_bytes=memory_bytes
    ) as near:
        for number in order:
            near.add(np.array([number]), sketch([texts[number]], SETTINGS), seen=number in set(seen))
        assert list(near.find_candidates()) is not None
        for number in order:
            if near.wanted(np.array([number]))[0]:
                near.add_sets(np.array([number]), shingle_sets([texts[number]], SETTINGS))
        assert list(near.decide()) is not None
        result = list(near.clusters())
        kept_for, similar = near.kept_for(np.arange(len(texts) + 3))
        told = {
            (cluster.kept, removed, figure)
            for cluster in result
            for removed, figure in zip(cluster.removed.tolist(), cluster.jaccard.tolist(), strict=True)
        }
        asked = np.flatnonzero(kept_for != near_duplicates.NOT_REMOVED)
        assert told == {(int(kept_for[n]), int(n), float(similar[n])) for n in asked}
    assert not folder.exists()
    return result, near


def removed(clusters: Sequence[Cluster]) -> dict[int, int]:
    return {number: cluster.kept for cluster in clusters for number in cluster.removed.tolist()}


def planted() -> tuple[list[str], dict[int, tuple[int, float]]]:
    """Texts, and for each planted copy its original and their similarity."""
    texts = [" ".join(text_of(number)) for number in range(60)]
    copies = {}
    for number in range(60):
        changes = number % 12
        copy = " ".join(edited(text_of(number), changes, number))
        copies[len(texts)] = (number, jaccard(texts[number], copy, 3))
        texts.append(copy)
    return texts, copies


def test_all_copies_that_are_near_go_and_nothing_else(tmp_path: Path) -> None:
    texts, copies = planted()
    assert removed(found(tmp_path / "near", texts)[0]) == {
        copy: original for copy, (original, similar) in copies.items() if similar >= 0.75
    }


def test_the_figures_are_true_similarities(tmp_path: Path) -> None:
    texts, copies = planted()
    for cluster in found(tmp_path / "near", texts, jaccard=0.5)[0]:
        for number, similar in zip(cluster.removed.tolist(), cluster.jaccard.tolist(), strict=True):
            assert similar == pytest.approx(copies[number][1])


@pytest.mark.parametrize("chains", ["cut", "whole"])
def test_order_of_work_and_memory_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chains: Chains
) -> None:
    texts, _ = planted()
    texts += [" ".join(edited(text_of(number), 1, f"again{number}")) for number in range(0, 60, 3)]
    usual = removed(found(tmp_path / "near", texts, chains=chains)[0])
    monkeypatch.setattr(clusters, "_PAIRS_AT_ONCE", 5)
    shuffled = random.Random(0).sample(range(len(texts)), len(texts))
    little = found(tmp_path / "near", texts, order=shuffled, chains=chains, memory_bytes=4096)[0]
    assert removed(little) == usual
    assert len(usual) > 40


@pytest.mark.parametrize(("shared", "jaccard"), [(9, 0.9), (4, 0.8), (7, 0.7), (2, 2 / 3)])
def test_as_near_as_was_said_is_near_enough(tmp_path: Path, shared: int, jaccard: float) -> None:
    """The share of 9 in 10 is not below 0.9, whatever a number of 32 bits makes of it."""
    own = round(shared / jaccard) - shared
    settings = MinHash(ngram=1, bands=60, rows=2)
    texts = [" ".join(f"w{at}" for at in range(shared)), " ".join(f"w{at}" for at in range(shared + own))]
    with NearDuplicates(tmp_path / "near", settings, jaccard=jaccard) as near:
        near.add(np.arange(2), sketch(texts, settings))
        assert list(near.find_candidates())
        near.add_sets(np.arange(2), shingle_sets(texts, settings))
        assert list(near.decide())
        assert near.kept_for(np.arange(2))[0].tolist() == [near_duplicates.NOT_REMOVED, 0]


def chain() -> list[str]:
    """A, B, C, D: neighbours are near, others are not."""
    words = text_of("chain")
    return [" ".join(words[at : at + 100]) for at in (0, 7, 14, 21)]


def test_a_chain_is_cut_where_the_kept_one_is_no_longer_near(tmp_path: Path) -> None:
    texts = chain()
    assert jaccard(texts[0], texts[1], 3) > 0.8 > 0.78 > jaccard(texts[0], texts[2], 3)
    cut = found(tmp_path / "near", texts, jaccard=0.8)[0]
    assert removed(cut) == {1: 0, 3: 2}
    whole = found(tmp_path / "near", texts, jaccard=0.8, chains="whole")[0]
    assert removed(whole) == {1: 0, 2: 0, 3: 0}
    assert whole[0].jaccard.tolist() == pytest.approx([jaccard(texts[0], text, 3) for text in texts[1:]])


def test_the_longest_can_be_the_one_that_stays(tmp_path: Path) -> None:
    words = text_of("long")
    texts = [" ".join(words[:100]), " ".join(words[:110]), " ".join(words[:105]), " ".join(words[:110])]
    assert removed(found(tmp_path / "near", texts)[0]) == {1: 0, 2: 0, 3: 0}
    assert removed(found(tmp_path / "near", texts, keep="longest")[0]) == {0: 1, 2: 1, 3: 1}


@pytest.mark.parametrize("keep", ["first", "longest"])
@pytest.mark.parametrize("chains", ["cut", "whole"])
def test_what_was_seen_before_is_never_removed(tmp_path: Path, keep: Keep, chains: Chains) -> None:
    words = text_of("seen")
    texts = [" ".join(words[:110]), " ".join(words[:105]), " ".join(words[:104]), " ".join(text_of("other"))]
    clusters = found(tmp_path / "near", texts, seen=[1, 2], keep=keep, chains=chains)[0]
    assert removed(clusters) == {0: 1}


def test_texts_without_words_are_no_copies_and_short_ones_only_of_their_equals(tmp_path: Path) -> None:
    texts = ["", "…!", "", "one two", "One two.", "two one", "one"]
    assert removed(found(tmp_path / "near", texts)[0]) == {4: 3}
    assert found(tmp_path / "near", ["", ""])[0] == []
    assert found(tmp_path / "near", [])[0] == []


def test_a_giant_bucket_is_not_squared(tmp_path: Path) -> None:
    notice = text_of("notice", 30)
    count = 3000
    texts = [" ".join([*notice, f"visitor{number % 1500}"]) for number in range(count)]
    numbers = np.arange(count)
    with NearDuplicates(tmp_path / "near", SETTINGS, jaccard=0.75) as near:
        near.add(numbers, sketch(texts, SETTINGS))
        list(near.find_candidates())
        near.add_sets(numbers, shingle_sets(texts, SETTINGS))
        list(near.decide())
        kept_for, _ = near.kept_for(numbers)
    assert (kept_for[1:] == 0).all()
    assert near.figures.candidates <= count * SETTINGS.bands * 2 * COMPARED
    assert near.figures.compared < 2 * count


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 40)), max_size=80, unique=True), st.integers(1, 9)
)
def test_buckets_pair_what_they_should_however_they_are_cut(rows: list[tuple[int, int]], step: int) -> None:
    rows.sort()
    records = np.array(rows, dtype=np.uint64).reshape(-1, 2)
    chunks = [records[at : at + step] for at in range(0, len(records), step)]
    wanted = []
    for bucket in range(5):
        places = [place for each, place in rows if each == bucket]
        for at, later in enumerate(places):
            wanted += [
                (later, earlier)
                for before, earlier in enumerate(places[:at])
                if before < COMPARED or before >= at - COMPARED
            ]
    pairs = [tuple(pair) for part in pairs_in_buckets(chunks) for pair in part.tolist()]
    assert sorted(pairs) == sorted(wanted)


class Known:
    """Similarities by number, for pairs of any documents."""

    def __init__(self, near: Mapping[tuple[int, int], float]) -> None:
        self._near = near

    def jaccard(self, one_M: np.ndarray, other_M: np.ndarray, *, at_least: float = 0.0) -> np.ndarray:
        pairs = zip(one_M.tolist(), other_M.tolist(), strict=True)
        return np.array([self._near.get((min(pair), max(pair)), 0.1) for pair in pairs], dtype=np.float64)


@given(
    st.dictionaries(
        st.tuples(st.integers(0, 12), st.integers(0, 12)), st.sampled_from([0.2, 0.9]), max_size=50
    )
)
def test_the_rules_are_those_of_the_simple_loops(
    tmp_path_factory: pytest.TempPathFactory, drawn: object
) -> None:
    assert isinstance(drawn, dict)
    near = {(min(pair), max(pair)): value for pair, value in drawn.items() if pair[0] != pair[1]}
    ordinary = 1 << 32
    pairs = np.array(
        sorted((later + ordinary, earlier + ordinary) for earlier, later in near), dtype=np.uint64
    )
    chunks = [pairs.reshape(-1, 2)[at : at + 3] for at in range(0, len(pairs), 3)]

    kept: list[int] = []
    wanted = {}
    for number in range(13):
        copies_of = [other for other in kept if near.get((other, number)) == 0.9]
        if copies_of:
            wanted[number] = copies_of[0]
        else:
            kept.append(number)
    folder = tmp_path_factory.mktemp("cut")
    cut = cut_chains(chunks, Known(near), jaccard=0.5, limit=13, scratch=folder)
    assert {
        int(a): int(b) for part in cut for a, b in zip(part.removed_M, part.kept_M, strict=True)
    } == wanted

    first = list(range(13))
    for _ in range(13):
        for (one, other), value in near.items():
            if value == 0.9:
                first[one] = first[other] = min(first[one], first[other])
    folder = tmp_path_factory.mktemp("whole")
    whole = whole_chains(chunks, Known(near), jaccard=0.5, limit=13, scratch=folder)
    assert {int(a): int(b) for part in whole for a, b in zip(part.removed_M, part.kept_M, strict=True)} == {
        number: lowest for number, lowest in enumerate(first) if lowest != number
    }
