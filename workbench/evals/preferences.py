"""Does a model prefer what people preferred? Accuracy on held-out pairs, with and without a reference model.

Without a reference: is the chosen reply the more likely one, per UTF-8 byte. With one: has training moved the
model towards the chosen reply more than towards the rejected one? That is the sign of DPO's implicit reward
margin, ln p/p_ref (chosen) - ln p/p_ref (rejected) (Rafailov et al. 2023); beta only scales it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.data.preferences import Preference
from workbench.evals import passages
from workbench.evals.metric import Metric, share
from workbench.evals.multiple_choice import credit
from workbench.evals.subject import Subject


@dataclass(frozen=True, slots=True)
class PreferenceAccuracy:
    """For each pair the credit it earned, 0 to 1: by likelihood per byte, and by margin over a reference."""

    by_likelihood: tuple[float, ...]
    by_margin: tuple[float, ...] | None

    @property
    def likelihood_acc(self) -> Metric:
        """The share ordered rightly by likelihood per byte."""
        return share(self.by_likelihood)

    @property
    def margin_acc(self) -> Metric | None:
        """The share ordered rightly by margin; None without a reference."""
        return None if self.by_margin is None else share(self.by_margin)


def preference_accuracy(
    subject: Subject, pairs: Sequence[Preference], *, reference: Subject | None = None
) -> PreferenceAccuracy:
    """How often the chosen reply wins. A reference that is the subject itself would tie always: give None."""
    scores = pair_log_likelihoods(subject, pairs)
    sizes = np.array(
        [[max(1, len(text.encode())) for text in (pair.chosen, pair.rejected)] for pair in pairs]
    )
    margins = None if reference is None else scores - pair_log_likelihoods(reference, pairs)
    return PreferenceAccuracy(
        by_likelihood=_won(scores / sizes), by_margin=None if margins is None else _won(margins)
    )


def pair_log_likelihoods(subject: Subject, pairs: Sequence[Preference]) -> NDArray[np.float64]:
    """ln p of the chosen and of the rejected reply, its stop token included: one row of two per pair."""
    replies = [
        passages.reply(subject.tokenizer, pair.prompt, text)
        for pair in pairs
        for text in (pair.chosen, pair.rejected)
    ]
    return subject.log_likelihoods(replies).reshape(len(pairs), 2)


def _won(scores: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(credit(row, 0) for row in scores)
