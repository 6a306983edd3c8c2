"""How many bytes a token of a plan stands for: counted where a tokenizer is there, else by its vocabulary's size."""

from __future__ import annotations

import math

from workbench.plan import Plan, summary_of
from workbench.recipe import Tokenizer

BYTES_PER_TOKEN = {
    256: 1.0,
    320: 1.5,
    512: 2.05,
    1024: 2.65,
    2048: 3.1,
    4096: 3.6,
    8192: 4.0,
    16384: 4.2,
    65536: 4.5,
}
"""Of byte-level BPE on English text, by entries: novels and PEPs differ by 0.1 (recipes/LOG.md, 2026-11-21; the last
one is GPT-2's). Other languages have more bytes a token or fewer; a tokenizer that is there tells."""


def bytes_per_token(plan: Plan) -> float:
    """Of the text that the plan's model reads: told by the stages that made its tokens, else about."""
    for stage in reversed(plan.stages):
        if stage.name in ("pack", "tokenizer"):
            told = summary_of(plan, stage).get("bytes_per_token")
            if isinstance(told, float) and told > 0:
                return told
    return of_vocabulary(_vocab_size(plan))


def of_vocabulary(entries: int) -> float:
    """The same by the size of the vocabulary alone: between those that were measured, by its logarithm."""
    sizes = sorted(BYTES_PER_TOKEN)
    above = next((size for size in sizes if size >= entries), sizes[-1])
    below = max((size for size in sizes if size <= entries), default=above)
    if above == below or entries > above:
        return BYTES_PER_TOKEN[above]
    part = math.log(entries / below) / math.log(above / below)
    return BYTES_PER_TOKEN[below] + part * (BYTES_PER_TOKEN[above] - BYTES_PER_TOKEN[below])


def _vocab_size(plan: Plan) -> int:
    for stage in plan.stages:
        if stage.shape is not None:
            return stage.shape.vocab_size
        if isinstance(table := stage.table(), Tokenizer):
            return table.vocab_size
    return max(BYTES_PER_TOKEN)
