"""Preference pairs: the true summary of a symbol against the true summary of another one.

The rejected reply is whole and well formed, so that only its meaning is wrong. Truncated or garbled rejects
teach a model when not to stop instead.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from workbench.data.conversations import Message
from workbench.data.preferences import Preference
from workbench.data.python_docs.conversations import ask
from workbench.data.python_docs.parse import Symbol
from workbench.data.python_docs.summary import similarity
from workbench.data.python_docs.symbols import read_describable

NEIGHBOURS = 40
"""How many summaries of nearest length a rejected one is drawn from: length must not give it away."""

SAME_MODULE_SHARE = 0.5
"""How often the rejected summary is taken from the same module, where it is most plausible."""

MAX_SIMILARITY = 0.4
"""Replies that share more of their words than this (Jaccard) are not clearly right and wrong."""


def preferences(packages: Sequence[str] = (), *, seed: int = 0) -> Iterator[Preference]:
    """One pair per describable symbol, shuffled by `seed`; `heldout` is always set.

    Both replies come from the same side of the split. A symbol that has no summary different enough
    is left out. Raises BadInput as `read_symbols`.
    """
    symbols = read_describable(packages)
    made: list[Preference] = []
    for heldout in (False, True):
        side = [symbol for symbol in symbols if symbol.heldout == heldout]
        made += _pairs(side, seed=seed)
    random.Random(seed).shuffle(made)
    yield from made


def _pairs(symbols: Sequence[Symbol], *, seed: int) -> Iterator[Preference]:
    by_length = sorted(symbols, key=lambda symbol: (len(symbol.summary), symbol.name))
    lengths = [len(symbol.summary) for symbol in by_length]
    by_module: dict[str, list[Symbol]] = {}
    for symbol in symbols:
        by_module.setdefault(symbol.module, []).append(symbol)
    for symbol in symbols:
        chance = random.Random(f"{seed}:{symbol.name}")
        near = max(0, bisect_left(lengths, len(symbol.summary)) - NEIGHBOURS // 2)
        pools = [by_length[near : near + NEIGHBOURS]]
        if chance.random() < SAME_MODULE_SHARE:
            pools.insert(0, by_module[symbol.module])
        wrong = next((found for pool in pools if (found := _wrong_summary(symbol, pool, chance))), None)
        if wrong is not None:
            yield Preference(
                id=f"python-docs:{symbol.name}",
                prompt=(Message("user", ask(symbol.name)),),
                chosen=symbol.summary,
                rejected=wrong,
                heldout=symbol.heldout,
            )


def _wrong_summary(symbol: Symbol, pool: Sequence[Symbol], chance: random.Random) -> str | None:
    """The summary of a symbol of `pool` that says something else; None if there is none."""
    for other in chance.sample(pool, len(pool)):
        if is_other_meaning(symbol, other):
            return other.summary
    return None


def is_other_meaning(symbol: Symbol, other: Symbol) -> bool:
    """Whether the summary of `other` would be a wrong answer about `symbol`, and clearly so.

    Symbols that share their last name (`close`) often share their meaning too.
    """
    return (
        symbol.name.rpartition(".")[2] != other.name.rpartition(".")[2]
        and similarity(symbol.summary, other.summary) <= MAX_SIMILARITY
    )
