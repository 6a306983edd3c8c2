"""The quality classifier of a corpus: a ready model, or one trained on examples and kept beside the layers.

The examples go through the same blocks and the same cleaning as the corpus, so entries of `sources` cost nothing
twice, and the same examples with the same settings are never trained on twice.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from workbench.corpus.cache import LayerCache, key_of
from workbench.corpus.classifier import ClassifierSettings, QualityClassifier, train_classifier
from workbench.corpus.layers import Arrays, Strings
from workbench.corpus.preparing import TEXT, Prepared, layer_of
from workbench.files import digest_file, write_atomic

LAYER = "classifier"
MODEL_FILE = "classifier.bin"
"""A model that was trained here, in the artifact of the corpus."""
VERSION = 1


@dataclass(frozen=True)
class QualityModel:
    """A classifier in a file, and what its training told; nothing of one that was ready."""

    path: Path
    digest: str
    label: str
    report: Mapping[str, Any] | None = None

    @property
    def is_trained_here(self) -> bool:
        """Whether it was made of examples of the recipe, now or in another run."""
        return self.report is not None

    def as_json(self) -> dict[str, Any]:
        """What the corpus's report tells of it."""
        file = MODEL_FILE if self.is_trained_here else self.path.name
        return {**(self.report or {}), "file": file, "label": self.label, "digest": self.digest}


def ready_model(path: Path, *, label: str) -> QualityModel:
    """The model in `path`, looked at. Raises BadInput naming the file when it is none, or knows no such label."""
    QualityClassifier(path, label=label)
    return QualityModel(path, digest_file(path), label)


def trained_model(
    good: Sequence[Prepared], bad: Sequence[Prepared], settings: ClassifierSettings, *, cache: LayerCache
) -> QualityModel:
    """A model trained on the documents of some blocks, or the one that was before. Raises BadInput for too few."""
    examples = [[block.keys[TEXT] for block in blocks] for blocks in (good, bad)]
    key = key_of(examples, dataclasses.asdict(settings), VERSION)
    path, told = cache.path(LAYER, f"{key}.bin"), cache.path(LAYER, f"{key}.json")
    with contextlib.suppress(OSError, orjson.JSONDecodeError, KeyError, TypeError):
        report = orjson.loads(told.read_bytes())
        if report["digest"] == digest_file(path):
            os.utime(path)
            os.utime(told)
            return QualityModel(path, report["digest"], "good", report)
    path.parent.mkdir(parents=True, exist_ok=True)
    training = train_classifier(_texts(good, cache), _texts(bad, cache), path, settings)
    report = dataclasses.asdict(training)
    write_atomic(told, orjson.dumps(report), durable=False)
    return QualityModel(path, training.digest, "good", report)


def _texts(blocks: Iterable[Prepared], cache: LayerCache) -> Iterator[str]:
    for block in blocks:
        yield from Strings(layer_of(cache, block, TEXT), TEXT)


@dataclass(frozen=True)
class ClassifierScores:
    """The measure: with what probability each text is good."""

    model: QualityModel
    layer: str = LAYER
    version: str = str(VERSION)

    @property
    def settings(self) -> Mapping[str, Any]:
        """Which model."""
        return {"model": self.model.digest, "label": self.model.label}

    def figures(self, texts: Sequence[str]) -> Arrays:
        """The column `quality_probability`. Raises BadInput when the model's weights are no numbers."""
        classifier = _loaded(self.model.path, self.model.digest, self.model.label)
        return {"quality_probability": classifier.probabilities(texts)}


@functools.lru_cache(maxsize=1)
def _loaded(path: Path, digest: str, label: str) -> QualityClassifier:
    return QualityClassifier(path, label=label)
