"""From logits to the next token: penalty, temperature, top-k, top-p, min-p, then one draw.

Order and meaning of every key are those of Hugging Face transformers, so that a setting copied from elsewhere
does here what it did there. Knows no model and no tokenizer: numbers in, ids out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.errors import BadInput


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How to choose the next token. Raises BadInput for a value out of range.

    The defaults draw from the model's own distribution, untouched.
    """

    temperature: float = 1.0
    """Logits are divided by it. Below 1 likely tokens gain; 0 is greedy: the likeliest, nothing drawn."""
    top_k: int = 0
    """Only the k likeliest tokens can be drawn; 0 is all of them."""
    top_p: float = 1.0
    """Only the likeliest tokens that together reach this probability can be drawn (Holtzman et al. 2020)."""
    min_p: float = 0.0
    """Only tokens at least this share as likely as the likeliest can be drawn (Nguyen et al. 2024)."""
    repetition_penalty: float = 1.0
    """Above 1, tokens of the prompt and the reply so far become less likely (Keskar et al. 2019)."""
    seed: int = 0
    """The same seed, prompt and settings draw the same reply."""

    def __post_init__(self) -> None:
        ranges = {
            "temperature": (0, 100, "0 is greedy, 1 the model's own distribution"),
            "top_k": (0, 10**9, "0 keeps all tokens"),
            "top_p": (1e-6, 1, "1 keeps all tokens"),
            "min_p": (0, 1, "0 keeps all tokens"),
            "repetition_penalty": (1e-2, 100, "1 changes nothing"),
            "seed": (0, 2**63 - 1, "any whole number from 0"),
        }
        for name, (low, high, meaning) in ranges.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise BadInput(f"{name} = {value} is not a number from {low} to {high}", fix=meaning)
            if name in ("top_k", "seed") and not isinstance(value, int):
                raise BadInput(f"{name} = {value} is not a whole number", fix=meaning)

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is taken without a draw."""
        return self.temperature == 0

    def generator(self, row: int = 0) -> torch.Generator:
        """The source of randomness of one reply. Each row of a batch has its own, seeded with seed + row, so
        that what a row draws does not depend on the other rows."""
        return torch.Generator().manual_seed((self.seed + row) % 2**63)


GREEDY = Sampling(temperature=0.0)


def sample_next(
    logits_BV: Tensor,
    sampling: Sampling,
    *,
    generators: Sequence[torch.Generator] = (),
    seen_BV: Tensor | None = None,
) -> Tensor:
    """next_B: one token id per row.

    `generators`: one per row, unless greedy. `seen_BV`: true for the tokens of the prompt and the reply so
    far, needed only with a repetition penalty.
    """
    scores_BV = logits_BV.float()
    if sampling.repetition_penalty != 1:
        assert seen_BV is not None, "a repetition penalty needs to know what was seen"
        scores_BV = penalise(scores_BV, seen_BV, sampling.repetition_penalty)
    if sampling.greedy:
        return scores_BV.argmax(-1)
    scores_BV = scores_BV / sampling.temperature
    if sampling.top_k:
        scores_BV = keep_top_k(scores_BV, sampling.top_k)
    if sampling.top_p < 1:
        scores_BV = keep_top_p(scores_BV, sampling.top_p)
    if sampling.min_p:
        scores_BV = keep_min_p(scores_BV, sampling.min_p)
    return draw(scores_BV.softmax(-1), generators)


def penalise(scores_BV: Tensor, seen_BV: Tensor, penalty: float) -> Tensor:
    """Scores of seen tokens moved away from likely: positive ones divided, negative ones multiplied."""
    lowered_BV = torch.where(scores_BV > 0, scores_BV / penalty, scores_BV * penalty)
    return torch.where(seen_BV, lowered_BV, scores_BV)


def keep_top_k(scores_BV: Tensor, k: int) -> Tensor:
    """-inf for every token below the k-th best score of its row (ties with it stay)."""
    kth_B1 = scores_BV.topk(min(k, scores_BV.shape[-1])).values[..., -1:]
    return scores_BV.masked_fill(scores_BV < kth_B1, -torch.inf)


def keep_top_p(scores_BV: Tensor, p: float) -> Tensor:
    """-inf for the unlikely tail: the most of the least likely tokens that together have at most 1 - p."""
    ascending_BV, order_BV = scores_BV.sort(dim=-1)
    tail_BV = ascending_BV.softmax(-1).cumsum(-1) <= 1 - p
    tail_BV[..., -1] = False  # the likeliest token always stays
    return scores_BV.masked_fill(tail_BV.scatter(-1, order_BV, tail_BV), -torch.inf)


def keep_min_p(scores_BV: Tensor, share: float) -> Tensor:
    """-inf for every token less than `share` times as likely as the likeliest of its row."""
    likely_BV = scores_BV.softmax(-1)
    unlikely_BV = likely_BV < share * likely_BV.amax(-1, keepdim=True)
    return scores_BV.masked_fill(unlikely_BV, -torch.inf)


def draw(probabilities_BV: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """next_B, each token with its probability, by a race: token v arrives after an exponential time of rate
    p_v, and is first with exactly probability p_v. One pass, and every row draws from its own generator."""
    assert len(generators) == len(probabilities_BV), "one generator per row"
    waits = [torch.empty(probabilities_BV.shape[-1]).exponential_(generator=g) for g in generators]
    return (probabilities_BV / torch.stack(waits).to(probabilities_BV.device)).argmax(-1)
