"""Near duplicates: shingles, signatures, candidates, and (ours alone) the true similarity of each candidate.

All look for documents that share THRESHOLD of their runs of five words, case and punctuation aside, and answer with
[removed, copy of …]. Peers are called as their documentation does, with their own banding for 128 permutations.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.bench.planted import (
    NGRAM,
    THRESHOLD,
    Planted,
    judge_removals,
    load_planted,
    plant,
    shingles_of,
)

_PERMUTATIONS, _BANDS = 128, 16
_BLOCK_DOCUMENTS = 2000

Removals = list[list[int]]


def prepare(folder: Path, texts: Sequence[str]) -> int:
    """Plants copies in `texts`."""
    return plant(folder, texts)


def load(folder: Path) -> Planted:
    """The texts, with what is known of them."""
    return load_planted(folder)


def little(planted: Planted) -> Planted:
    """A few texts."""
    return Planted(planted.texts[:20], [])


def judge(folder: Path, results: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """The share of planted copies that was found, level by level, and wrong removals."""
    return judge_removals(load_planted(folder), results)


def workbench(planted: Planted) -> Removals:
    """As the corpus stage does it: block by block, through files."""
    import numpy as np

    from workbench.corpus.near_duplicates import NearDuplicates
    from workbench.corpus.sketches import MinHash, shingle_sets, sketch

    settings = MinHash(ngram=NGRAM)
    blocks = [
        np.arange(start, min(start + _BLOCK_DOCUMENTS, len(planted.texts)))
        for start in range(0, len(planted.texts), _BLOCK_DOCUMENTS)
    ]
    with (
        tempfile.TemporaryDirectory(prefix="workbench-bench-") as scratch,
        NearDuplicates(Path(scratch) / "near", settings, jaccard=THRESHOLD) as near,
    ):
        for numbers in blocks:
            near.add(numbers, sketch(planted.texts[numbers[0] : numbers[-1] + 1], settings))
        for _ in near.find_candidates():
            pass
        for numbers in blocks:
            wanted = numbers[near.wanted(numbers)]
            near.add_sets(wanted, shingle_sets([planted.texts[each] for each in wanted.tolist()], settings))
        for _ in near.decide():
            pass
        return [
            [removed, cluster.kept] for cluster in near.clusters() for removed in cluster.removed.tolist()
        ]


def rensa(planted: Planted) -> Removals:
    """`RMinHash` and `RMinHashLSH`, document after document: one that shares a band with a kept one goes."""
    from rensa import RMinHash, RMinHashLSH  # type: ignore[import-not-found]

    index = RMinHashLSH(threshold=THRESHOLD, num_perm=_PERMUTATIONS, num_bands=_BANDS)
    removals: Removals = []
    for number, text in enumerate(planted.texts):
        signature = RMinHash(num_perm=_PERMUTATIONS, seed=42)
        signature.update(list(shingles_of(text)))
        if others := index.query(signature):
            removals.append([number, *map(int, others)])
        else:
            index.insert(number, signature)
    return removals


def datasketch(planted: Planted) -> Removals:
    """`MinHash` and `MinHashLSH` in the same loop."""
    from datasketch import MinHash, MinHashLSH  # type: ignore[import-not-found]

    index = MinHashLSH(threshold=THRESHOLD, num_perm=_PERMUTATIONS)
    removals: Removals = []
    for number, text in enumerate(planted.texts):
        signature = MinHash(num_perm=_PERMUTATIONS)
        signature.update_batch([each.encode() for each in shingles_of(text)])
        if others := index.query(signature):
            removals.append([number, *map(int, others)])
        else:
            index.insert(number, signature)
    return removals


def datatrove(planted: Planted) -> Removals:
    """Signatures, buckets and clusters through files as its examples have them, words split at white space."""
    from datatrove.utils.word_tokenizers import WhitespaceTokenizer

    class WhiteSpace(WhitespaceTokenizer):  # type: ignore[misc]
        def word_tokenize(self, text: str) -> list[str]:
            return text.split()

    return _by_datatrove(planted, WhiteSpace())


def datatrove_with_spacy(planted: Planted) -> Removals:
    """The same as it comes."""
    return _by_datatrove(planted, "eng_Latn")


def _by_datatrove(planted: Planted, language: Any) -> Removals:
    """With its own 14 bands of 8. All but one of what is linked go, so each is told with all others of its cluster."""
    from datatrove.data import Document
    from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from loguru import logger  # type: ignore[import-not-found]

    logger.remove()
    config = MinhashConfig(n_grams=NGRAM)
    documents = (Document(text=text, id=str(number)) for number, text in enumerate(planted.texts))
    with tempfile.TemporaryDirectory(prefix="workbench-bench-") as scratch:
        signatures, buckets, found = (
            str(Path(scratch) / name) for name in ("signatures", "buckets", "found")
        )
        MinhashDedupSignature(signatures, config, language=language).run(documents, 0, 1)
        for bucket in range(config.num_buckets):
            MinhashDedupBuckets(signatures, buckets, config=config).run(None, bucket, config.num_buckets)
        MinhashDedupCluster(buckets, found, config=config, save_cluster_id=True).run(None, 0, 1)
        removed = {number for (number,) in _numbers(Path(found) / "000000.remove", 1)}
        members: dict[int, list[int]] = {}
        for number, cluster in _numbers(Path(found) / "000000.clusters", 2):
            members.setdefault(cluster, []).append(number)
    return [
        [number, *(other for other in cluster if other != number)]
        for cluster in members.values()
        for number in cluster
        if number in removed
    ]


def _numbers(file: Path, each: int) -> list[tuple[int, ...]]:
    """The 32-bit numbers of a file, so many at a time; none where it is not there."""
    return list(struct.iter_unpack(f"<{each}I", file.read_bytes())) if file.is_file() else []


CONTENDERS: Mapping[str, Callable[[Planted], Removals]] = {
    "workbench": workbench,
    "rensa": rensa,
    "datasketch": datasketch,
    "datatrove": datatrove,
    "datatrove-spacy": datatrove_with_spacy,
}
PACKAGES: Mapping[str, str] = {
    "rensa": "rensa",
    "datasketch": "datasketch",
    "datatrove": "datatrove",
    "datatrove-spacy": "spacy",
}
