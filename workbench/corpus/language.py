"""Which language a text is in, and how sure that is: a few hundred texts at a time, offline.

    bundled    py3langid's model (naive Bayes over byte sequences; Lui & Baldwin 2012), 138 languages, in its package.
               Its automaton is walked here for all texts of a batch in step, which is ten times faster than one by one
    fastText   a model of the user's own by path, such as lid.176.ftz: `__label__en` and its probability

A text is judged by at most PART_CHARACTERS of it, from its beginning, its middle and before its end: menus and
notices stand at the edges, and more changes little. Shapes: N texts, T bytes, C classes, K different features.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.corpus.classifier import example_line, load_classifier
from workbench.data.byte_stream import shown_path
from workbench.errors import BadInput

PART_CHARACTERS = 600
MOST_BYTES = 1500
BATCH_TEXTS = 512
UNKNOWN = "zxx"
"""ISO 639 for no language: what a text without a single letter is."""

SHARPNESS = 1.8
"""The power that probabilities are raised to. Chosen on half of 14,400 sentences of 72 languages; on the other half
confidence and accuracy are then 0.006 apart on average, and 0.036 without."""
_PIECES = 3


def judged_part(text: str) -> str:
    """The part of `text` that is looked at."""
    if len(text) <= PART_CHARACTERS:
        return text
    size = PART_CHARACTERS // _PIECES
    starts = (0, (len(text) - size) // 2, len(text) * 9 // 10 - size)
    return "\n".join(text[max(0, start) : max(0, start) + size] for start in starts)


@dataclass(frozen=True, eq=False)
class BundledModel:
    """py3langid's model as arrays."""

    codes: tuple[str, ...]
    """[C]; a language written in two scripts is there twice."""
    weights_KC: NDArray[np.float32]
    """log P(feature | class)"""
    prior_C: NDArray[np.float32]
    row_of_state: NDArray[np.int32]
    next_state: NDArray[np.int32]
    """By row * 256 + byte."""
    feature_of_state: NDArray[np.int32]
    """The feature that ends in a state, -1 for none."""

    def languages(self, texts: Sequence[str]) -> tuple[list[str], NDArray[np.float32]]:
        """ISO 639 codes, and how probable each is. A text without letters is `zxx` with probability 0."""
        codes: list[str] = []
        parts = []
        for start in range(0, len(texts), BATCH_TEXTS):
            probabilities_NC = self._probabilities(texts[start : start + BATCH_TEXTS])
            best_N = probabilities_NC.argmax(axis=1)
            sure_N = probabilities_NC[np.arange(len(best_N)), best_N]
            codes += [
                self.codes[best] if sure > 0 else UNKNOWN for best, sure in zip(best_N, sure_N, strict=True)
            ]
            parts.append(sure_N)
        return codes, np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def _probabilities(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """[N, C]; all 0 for a text without features."""
        encoded = [_encoded(text) for text in texts]
        lengths_N = np.array([len(data) for data in encoded])
        features_NT = self._features(encoded, lengths_N)
        features_NT.sort(axis=1)
        scores_NC = np.zeros((len(texts), len(self.codes)), np.float32)
        for place, features_T in enumerate(features_NT):
            found = features_T[np.searchsorted(features_T, 0) :]
            if not found.size:
                continue
            starts_K = np.flatnonzero(np.concatenate(([True], found[1:] != found[:-1])))
            counts_K = np.diff(starts_K, append=found.size)
            scores_C = np.log1p(counts_K.astype(np.float32)) @ self.weights_KC[found[starts_K]] + self.prior_C
            # Naive Bayes takes neighbours for independent; the square root of the length keeps it from being too sure.
            scores_C /= np.sqrt(lengths_N[place])
            scores_C = np.exp(scores_C - scores_C.max())
            scores_NC[place] = scores_C / scores_C.sum()
        for first, again in self._twice():
            scores_NC[:, first] += scores_NC[:, again]
            scores_NC[:, again] = 0
        scores_NC **= SHARPNESS
        sums_N = scores_NC.sum(axis=1, keepdims=True)
        np.divide(scores_NC, sums_N, out=scores_NC, where=sums_N > 0)
        return scores_NC

    def _features(self, encoded: Sequence[bytes], lengths_N: NDArray[np.int64]) -> NDArray[np.int32]:
        """[N, T]: the feature that ends at each byte, -1 for none and beyond the end. All texts go one byte a step."""
        num_steps = int(lengths_N.max(initial=0))
        order_N = np.argsort(-lengths_N, kind="stable")
        bytes_TN = np.zeros((num_steps, len(encoded)), np.uint8)
        for column, place in enumerate(order_N):
            data = encoded[place]
            bytes_TN[: len(data), column] = np.frombuffer(data, np.uint8)
        features_TN = np.full((num_steps, len(encoded)), -1, np.int32)
        num_left_T = len(encoded) - np.searchsorted(np.sort(lengths_N), np.arange(1, num_steps + 1))
        state_N = np.zeros(len(encoded), np.int32)
        for step in range(num_steps):
            left = num_left_T[step]
            rows = self.row_of_state[state_N[:left]]
            state_N[:left] = self.next_state[(rows << 8) + bytes_TN[step, :left]]
            features_TN[step, :left] = self.feature_of_state[state_N[:left]]
        features_NT = np.empty((len(encoded), num_steps), np.int32)
        features_NT[order_N] = features_TN.T
        return features_NT

    def _twice(self) -> tuple[tuple[int, int], ...]:
        """(first, another) places of codes that are there twice."""
        return tuple(
            (self.codes.index(code), place)
            for place, code in enumerate(self.codes)
            if self.codes.index(code) != place
        )


def _encoded(text: str) -> bytes:
    part = judged_part(text)
    if part.isupper():
        part = part.lower()
    return unicodedata.normalize("NFC", part).encode("utf-8", "surrogatepass")[:MOST_BYTES]


@functools.cache
def bundled_model() -> BundledModel:
    """The model of the installed py3langid, read once: half a second, 100 MB."""
    from py3langid.langid import MODEL_DIR, MODEL_FILE
    from py3langid.modelio import load_model

    weights_KC, prior_C, codes, next_state, row_of_state, feature_of_state = load_model(
        MODEL_DIR / MODEL_FILE
    )
    return BundledModel(
        tuple(codes),
        np.asarray(weights_KC).astype(np.float32),
        np.asarray(prior_C),
        np.asarray(row_of_state).astype(np.int32),
        np.asarray(next_state).astype(np.int32),
        np.asarray(feature_of_state, np.int32),
    )


class FastTextModel:
    """A fastText model of the user's own whose labels are languages, such as `__label__en`."""

    def __init__(self, path: Path) -> None:
        """Raises BadInput when the file at `path` is no sound fastText classifier."""
        self._model: Any = load_classifier(path)
        self._path = path

    def languages(self, texts: Sequence[str]) -> tuple[list[str], NDArray[np.float32]]:
        """The first part of each text's likeliest label (`en` of `eng_Latn` stays `eng`), and how probable it is.

        Raises BadInput when the model's weights are no numbers.
        """
        lines = [example_line(judged_part(text)) + "\n" for text in texts]
        try:
            labels_N, probabilities_N = self._model.f.multilinePredict(lines, 1, 0.0, "replace")
        except RuntimeError as error:  # "Encountered NaN."
            raise BadInput(
                f"cannot tell languages: {error}", file=shown_path(self._path), fix="give another model"
            ) from None
        codes = [
            labels[0].removeprefix("__label__").partition("_")[0].lower() if len(labels) else UNKNOWN
            for labels in labels_N
        ]
        sure = [min(1.0, float(values[0])) if len(values) else 0.0 for values in probabilities_N]
        return codes, np.array(sure, np.float32)
