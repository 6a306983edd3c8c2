"""A quality classifier: fastText's linear model over words and runs of words (Joulin et al. 2017), trained or ready.

**Which library, and why.** fasttext-community (MIT, `import fasttext`) is the C++ of fastText with wheels for Python
3.11 to 3.14 and numpy 2; the original package is no longer kept and must be compiled. It writes and reads fastText's
own .bin and .ftz, so classifiers that others published can be used and ours can be used elsewhere; at 25 MB per second
and core all text can be judged. It is a fork with one maintainer, so nothing outside this file knows it, and it is
imported only where a classifier is used. The way out, should it end: the file format is open and checked by
fasttext_file.py, prediction is a mean of rows and one small product, and torch's EmbeddingBag trains the same model.

Training uses one thread, for with more fastText is not the same twice.
"""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.corpus.fasttext_file import check_fasttext_file
from workbench.data.byte_stream import shown_path
from workbench.data.split import POSITIONS, position
from workbench.errors import BadInput
from workbench.files import digest_file
from workbench.safe_text import one_line

GOOD, BAD = "good", "bad"
_PREFIX = "__label__"
_FEWEST = 10
"""Examples of each kind below which nothing is learned, nor measured, that means anything."""
_LEFT_OUT = "heldout of classifier\n"  # so that other splits by hash draw otherwise
_TOGETHER = 1 << 22  # characters judged in one call


@dataclass(frozen=True, slots=True)
class ClassifierSettings:
    """How a classifier is trained; recipe_filters.Classifier says what each means."""

    max_bytes: int = 50_000_000
    heldout_fraction: float = 0.1
    dim: int = 16
    word_ngrams: int = 2
    buckets: int = 100_000
    min_count: int = 2
    epochs: int = 10
    learning_rate: float = 0.5
    seed: int = 0


class QualityClassifier:
    """A fastText classifier ready to judge."""

    def __init__(self, path: Path, *, label: str = GOOD) -> None:
        """The classifier in the file `path`, .bin or .ftz, whose label for good is `label` (without `__label__`).

        Raises BadInput naming the file when it is no sound classifier or has no such label.
        """
        sound = check_fasttext_file(path)
        if label not in sound.labels:
            labels = ", ".join(one_line(name, 40) for name in sound.labels[:10])
            raise BadInput(
                f"has no label {label}",
                file=shown_path(path),
                fix=f"its labels are {labels}; name the good one",
            )
        self._path = path
        self._label = _PREFIX + label
        self._model = load_classifier(path)

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """With what probability each text is good; 0 where the classifier has nothing to say.

        Raises BadInput when the model's weights are no numbers.
        """
        found = np.zeros(len(texts), np.float32)
        start = 0
        while start < len(texts):
            end, size = start, 0
            while end < len(texts) and (end == start or size + len(texts[end]) <= _TOGETHER):
                size += len(texts[end])
                end += 1
            lines = [example_line(text) + "\n" for text in texts[start:end]]
            try:
                labels, probabilities = self._model.f.multilinePredict(lines, -1, 0.0, "replace")
            except RuntimeError as error:  # "Encountered NaN."
                raise BadInput(
                    f"cannot judge: {error}", file=shown_path(self._path), fix="give another model"
                ) from None
            for place, (names, values) in enumerate(zip(labels, probabilities, strict=True), start):
                if self._label in names:
                    found[place] = min(1.0, float(values[names.index(self._label)]))
            start = end
        return found


@dataclass(frozen=True, slots=True)
class Training:
    """A classifier that was trained, and how good it is on examples that it did not see."""

    file: str
    digest: str
    good: int
    """Examples of good text that it was trained on."""
    bad: int
    heldout_good: int
    heldout_bad: int
    contradictory: int
    """Texts that were given as good and as bad, and left out."""
    area_under_curve: float
    """The probability that a good text gets more than a bad one (ROC)."""
    curve: list[dict[str, float]]
    """For each threshold: precision and recall of good text, and the share of good and bad texts kept."""
    settings: dict[str, Any]

    def at(self, threshold: float) -> dict[str, float]:
        """The point of the curve for the threshold nearest to the one asked for."""
        return min(self.curve, key=lambda point: abs(point["threshold"] - threshold))


def train_classifier(
    good: Iterable[str], bad: Iterable[str], path: Path, settings: ClassifierSettings
) -> Training:
    """Trains a classifier on texts that are good and texts that are bad, and writes it to `path`.

    Of each kind `max_bytes` are used, chosen by a hash of the text, whatever their order; of these
    `heldout_fraction`, also by hash, only measure. Memory: twice `max_bytes`.
    Raises BadInput when there are too few examples.
    """
    kinds = {GOOD: _chosen(good, settings.max_bytes), BAD: _chosen(bad, settings.max_bytes)}
    both = kinds[GOOD].keys() & kinds[BAD].keys()
    below = round(settings.heldout_fraction * POSITIONS)
    train: list[tuple[int, str]] = []
    heldout: dict[str, list[str]] = {GOOD: [], BAD: []}
    counts = dict.fromkeys(kinds, 0)
    for kind, examples in kinds.items():
        for at, line in examples.items():
            if at in both:
                continue
            if position(_LEFT_OUT + line) < below:
                heldout[kind].append(line)
            else:
                train.append((at, f"{_PREFIX}{kind} {line}\n"))
                counts[kind] += 1
        for what, count in (("", counts[kind]), ("held-out ", len(heldout[kind]))):
            if count < (1 if what else _FEWEST):
                raise BadInput(
                    f"{count} {what}examples of {kind} text are too few to train a classifier",
                    fix=f"give {_FEWEST} or more; {len(both)} stood on both sides",
                )
    train.sort()  # by hash: good and bad ones mixed, in an order that depends on nothing else
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="classifier-") as scratch:
        file = Path(scratch) / "examples.txt"
        with file.open("w", encoding="utf-8", newline="\n") as lines_out:
            lines_out.writelines(line for _, line in train)
        model = _library().train_supervised(
            input=str(file),
            dim=settings.dim,
            wordNgrams=settings.word_ngrams,
            bucket=settings.buckets,
            minCount=settings.min_count,
            epoch=settings.epochs,
            lr=settings.learning_rate,
            seed=settings.seed,
            thread=1,
            verbose=0,
        )
        written = Path(scratch) / "model.bin"
        model.save_model(str(written))
        written.replace(path)
    classifier = QualityClassifier(path)
    scores = {kind: classifier.probabilities(lines) for kind, lines in heldout.items()}
    return Training(
        file=path.name,
        digest=digest_file(path),
        good=counts[GOOD],
        bad=counts[BAD],
        heldout_good=len(heldout[GOOD]),
        heldout_bad=len(heldout[BAD]),
        contradictory=len(both),
        area_under_curve=area_under_curve(scores[GOOD], scores[BAD]),
        curve=threshold_curve(scores[GOOD], scores[BAD]),
        settings=asdict(settings),
    )


def load_classifier(path: Path) -> Any:
    """The fastText model at `path`, for its `f.multilinePredict`. Raises BadInput when it is no sound classifier."""
    check_fasttext_file(path)
    return _library().load_model(str(path))


def example_line(text: str) -> str:
    """`text` as fastText reads an example: one line, none of whose words are commands to it."""
    line = " ".join(text.replace("\x00", " ").split())
    if _PREFIX in line:
        line = line.replace(_PREFIX, "label")  # would be an answer
    if "</s>" in line:
        line = line.replace("</s>", "<s>")  # would end the line
    return line.encode("utf-8", "replace").decode() if not line.isascii() else line


def threshold_curve(good: NDArray[np.float32], bad: NDArray[np.float32]) -> list[dict[str, float]]:
    """Precision and recall of good texts, and what is kept, for thresholds from 0.05 to 0.95."""
    points = []
    for step in range(1, 20):
        threshold = step / 20
        kept_good = int(np.count_nonzero(good >= threshold))
        kept_bad = int(np.count_nonzero(bad >= threshold))
        kept = kept_good + kept_bad
        points.append(
            {
                "threshold": threshold,
                "precision": round(kept_good / kept, 4) if kept else 1.0,
                "recall": round(kept_good / len(good), 4),
                "good_kept": round(kept_good / len(good), 4),
                "bad_kept": round(kept_bad / len(bad), 4),
            }
        )
    return points


def area_under_curve(good: NDArray[np.float32], bad: NDArray[np.float32]) -> float:
    """The share of pairs of a good and a bad text in which the good one scores higher; ties count half."""
    ordered = np.sort(bad)
    below = np.searchsorted(ordered, good, side="left") + np.searchsorted(ordered, good, side="right")
    return round(float(below.mean()) / 2 / len(bad), 4)


def _chosen(texts: Iterable[str], max_bytes: int) -> dict[int, str]:
    """The texts of the lowest hashes, as lines by hash, as many as `max_bytes` hold; each text once.

    Which they are does not depend on their order: what lies above a hash that was let go does not come in again.
    """
    chosen: dict[int, str] = {}
    highest: list[int] = []  # a heap with the highest hash first
    size, ceiling = 0, POSITIONS
    for text in texts:
        line = example_line(text)
        at = position(line)
        if not line or at >= ceiling or at in chosen:
            continue
        chosen[at] = line
        heapq.heappush(highest, -at)
        size += len(line)
        while size > max_bytes:
            ceiling = -heapq.heappop(highest)
            size -= len(chosen.pop(ceiling))
    return chosen


def _library() -> Any:
    """fastText. Imported here, because few need it."""
    try:
        import fasttext
    except ImportError as error:
        raise BadInput(
            f"the quality classifier needs fastText, and it cannot be imported: {error}",
            fix="pip install 'fasttext-community>=0.11.9,<0.12'",
        ) from error
    return fasttext
