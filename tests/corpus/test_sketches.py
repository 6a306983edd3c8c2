from __future__ import annotations

import numpy as np
import pytest

from tests.corpus.planted import edited, jaccard, text_of
from workbench.banding import candidate_probability, half_point
from workbench.corpus import shingles, sketches
from workbench.corpus.measures import NearSketches
from workbench.corpus.sketches import MinHash, band_hashes, shingle_sets, sketch


def test_the_share_of_equal_numbers_estimates_the_jaccard_similarity() -> None:
    settings = MinHash(ngram=3, bands=64, rows=16)
    for changes in (1, 3, 10, 30):
        texts = []
        for number in range(20):
            text = text_of(number)
            texts += [" ".join(text), " ".join(edited(text, changes, number))]
        signatures = sketch(texts, settings).signatures_NP
        truth = [jaccard(a, b, 3) for a, b in zip(texts[::2], texts[1::2], strict=True)]
        equal = (signatures[::2] == signatures[1::2]).mean(axis=1)
        # One estimate of 1,024 numbers is off by sqrt(J (1 - J) / 1024) < 0.016; the mean of 20 by a fifth of it.
        assert abs(float((equal - truth).mean())) < 0.012
        assert float(np.abs(equal - truth).max()) < 0.08


def test_pairs_share_a_band_as_often_as_the_curve_says() -> None:
    settings = MinHash(ngram=1, bands=10, rows=4)
    texts = []
    for number in range(600):
        shared = [f"s{number}x{i}" for i in range(35)]
        own = [[f"o{side}{number}x{i}" for i in range(7 + side)] for side in (0, 1)]
        texts += [" ".join(shared + own[0]), " ".join(shared + own[1])]  # Jaccard 35 / 50
    bands = band_hashes(sketch(texts, settings).signatures_NP, settings)
    found = (bands[::2] == bands[1::2]).any(axis=1).mean()
    assert found == pytest.approx(candidate_probability(0.7, bands=10, rows=4), abs=0.04)


def test_the_curve_is_half_where_it_says() -> None:
    at = half_point(bands=20, rows=6)
    assert candidate_probability(at, bands=20, rows=6) == pytest.approx(0.5)
    assert candidate_probability(1.0, bands=20, rows=6) == 1.0
    assert candidate_probability(0.0, bands=20, rows=6) == 0.0


def test_the_defaults_find_what_is_promised() -> None:
    settings = MinHash()
    assert candidate_probability(0.9, bands=settings.bands, rows=settings.rows) > 0.9999
    assert candidate_probability(0.8, bands=settings.bands, rows=settings.rows) > 0.99
    assert candidate_probability(0.75, bands=settings.bands, rows=settings.rows) > 0.95


def test_a_signature_depends_on_its_text_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [" ".join(text_of(number, words)) for number, words in enumerate([3, 700, 0, 40, 1, 2000, 0])]
    settings = MinHash(bands=4, rows=3)
    whole = sketch(texts, settings)
    alone = [sketch([text], settings) for text in texts]
    monkeypatch.setattr(shingles, "_PIECE_CHARACTERS", 300)
    monkeypatch.setattr(sketches, "_SLICE_SHINGLES", 10)
    in_pieces = sketch(texts, settings)
    for number in range(len(texts)):
        assert (alone[number].signatures_NP[0] == whole.signatures_NP[number]).all()
    assert (in_pieces.signatures_NP == whole.signatures_NP).all()
    assert (in_pieces.shingles_N == whole.shingles_N).all()
    assert whole.shingles_N.tolist() == [1, 696, 0, 36, 1, 1996, 0]


def test_another_seed_is_another_signature() -> None:
    texts = [" ".join(text_of(1))]
    one, other = (sketch(texts, MinHash(seed=seed)).signatures_NP for seed in (0, 1))
    assert (one != other).mean() > 0.95


def test_bands_can_be_cut_anew_from_the_same_signature() -> None:
    texts = [" ".join(text_of(1))]
    one, other = MinHash(bands=20, rows=6), MinHash(bands=30, rows=4)
    assert (sketch(texts, one).signatures_NP == sketch(texts, other).signatures_NP).all()
    assert NearSketches(one).settings == NearSketches(other).settings
    assert NearSketches(one).settings != NearSketches(MinHash(ngram=6)).settings


def test_sets_hold_each_shingle_once_and_sorted() -> None:
    sets = shingle_sets(["a b c a b c a b", "", "x y"], MinHash(ngram=2))
    assert sets.counts_N.tolist() == [3, 0, 1]
    assert sorted(set(sets.hashes[:3].tolist())) == sets.hashes[:3].tolist()
    assert int(sets.hashes.max()) < 2**48
