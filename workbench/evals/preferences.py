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
    """Shares of pairs ordered rightly: by likelihood per byte, and by margin over a reference."""

    likelihood_acc: Metric
    margin_acc: Metric | None


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
        likelihood_acc=_share_won(scores / sizes), margin_acc=None if margins is None else _share_won(margins)
    )


def pair_log_likelihoods(subject: Subject, pairs: Sequence[Preference]) -> NDArray[np.float64]:
    """ln p of the chosen and of the rejected reply, its stop token included: one row of two per pair."""
    replies = [
        passages.reply(subject.tokenizer, pair.prompt, text)
        for pair in pairs
        for text in (pair.chosen, pair.rejected)
    ]
    return subject.log_likelihoods(replies).reshape(len(pairs), 2)


def _share_won(scores: NDArray[np.float64]) -> Metric:
    return share([credit(row, 0) for row in scores])
