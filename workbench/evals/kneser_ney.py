"""An interpolated modified Kneser-Ney n-gram model of token ids, counted with a handful of sorts.

Chen & Goodman (1999): p_k(w | h) = max(c(h w) - D(c), 0) / c(h) + gamma(h) p_{k-1}(w | h without its first),
where c is the raw count at the highest order and, below it, the number of different tokens seen before
(h w): a word that always follows the same word should not be expected elsewhere. p_0 is uniform over all
tokens but the start token, which is never predicted. Every document starts anew: what stands before its first
token are start tokens, as many as the order looks back.

Speed comes from naming n-grams by integers: the n-gram that ends at position t is the pair (name of the
(n-1)-gram that ends at t, token n-1 places before), so each order costs one sort. Knows token ids only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class KneserNey:
    """Counts of the n-grams, for all n up to `order`, of a stream of documents that each begin with `bos_id`.

    Memory at order 5: about 150 bytes per token while counting.
    """

    def __init__(self, ids: NDArray[np.integer], *, bos_id: int, vocab_size: int, order: int = 5) -> None:
        assert order >= 1 and vocab_size >= 2 and len(ids) > 0 and ids[0] == bos_id
        assert vocab_size * (len(ids) + order) < 2**62, "names of n-grams would not fit"
        self.order, self.bos_id, self.vocab_size = order, bos_id, vocab_size
        self._tables = _count(self._padded(ids), bos_id=bos_id, vocab_size=vocab_size, order=order)

    def log_likelihoods(self, ids: NDArray[np.integer]) -> Floats:
        """ln p of every token of a stream of documents, except their start tokens, in order."""
        stream = self._padded(ids)
        is_token = stream != self.bos_id
        probability = np.full(len(stream), 1.0 / (self.vocab_size - 1))
        names: Ints = np.zeros(len(stream), dtype=np.int64)  # order 0: the empty n-gram
        for k, table in enumerate(self._tables):
            context, names = _shifted(names), table.find(names, _tokens_before(stream, k), self.vocab_size)
            probability = table.interpolate(probability, names=names, context=context)
        log_p: Floats = np.log(probability[is_token])
        return log_p

    def _padded(self, ids: NDArray[np.integer]) -> Ints:
        """The stream with enough start tokens that no n-gram of a token reaches into the document before."""
        repeats = np.where(ids == self.bos_id, max(1, self.order - 1), 1)
        return np.repeat(ids.astype(np.int64), repeats)


@dataclass(frozen=True, slots=True)
class _Table:
    """The n-grams of one order k, by name; contexts are named by the order below.

    `keys` are (name of the (k-1)-gram behind) * vocab_size + (first token), sorted; a name is an index of it.
    """

    keys: Ints
    discounted: Floats  # max(c - D(c), 0), per n-gram
    total: Floats  # c(h), per context
    left_over: Floats  # the mass the discounts took from a context: gamma(h) * c(h)

    def find(self, shorter: Ints, token: Ints, vocab_size: int) -> Ints:
        """Names of the n-grams made of these parts; -1 where one was never seen."""
        wanted = shorter * vocab_size + token
        at = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        return np.where((shorter >= 0) & (self.keys[at] == wanted), at, -1)

    def interpolate(self, lower: Floats, *, names: Ints, context: Ints) -> Floats:
        """p_k from p_{k-1} (`lower`); where the context was never seen, p_{k-1} itself."""
        total = np.where(context >= 0, self.total[context], 0.0)
        seen = total > 0
        own = np.where(names >= 0, self.discounted[names], 0.0)
        mixed = own + self.left_over[context] * lower
        return np.where(seen, mixed / np.where(seen, total, 1.0), lower)


def _count(stream: Ints, *, bos_id: int, vocab_size: int, order: int) -> list[_Table]:
    """One table per order, 1 to `order`."""
    keys_of: list[Ints] = []
    context_of: list[Ints] = []
    num_contexts: list[int] = []
    counts_of: list[Ints] = []
    ends: Ints = np.array([-1])  # last token of each n-gram of the order below
    names: Ints = np.zeros(len(stream), dtype=np.int64)
    for k in range(order):
        contexts = _shifted(names)
        unique = _Unique.of(names * vocab_size + _tokens_before(stream, k))
        parents = unique.keys // vocab_size
        ends = unique.keys % vocab_size if k == 0 else ends[parents]
        is_counted = ends != bos_id  # the start token is never predicted
        if k > 0:  # how many different tokens stand before: one per n-gram of this order
            counts_of.append(np.bincount(parents[is_counted], minlength=len(keys_of[-1])))
        num_contexts.append(len(keys_of[-1]) if k > 0 else 1)
        keys_of.append(unique.keys)
        context_of.append(contexts[unique.somewhere])
        names = unique.names
    counts_of.append(np.bincount(names, minlength=len(keys_of[-1])) * is_counted)
    return [
        _table(keys, counts, context, num)
        for keys, counts, context, num in zip(keys_of, counts_of, context_of, num_contexts, strict=True)
    ]


def _table(keys: Ints, counts: Ints, context: Ints, num_contexts: int) -> _Table:
    discounts = _discounts(counts)[np.minimum(counts, 3)]
    return _Table(
        keys=keys,
        discounted=counts - discounts,
        total=_sums(context, counts, num_contexts),
        left_over=_sums(context, discounts, num_contexts),
    )


def _sums(context: Ints, weights: Ints | Floats, num_contexts: int) -> Floats:
    return np.bincount(context, weights=weights, minlength=num_contexts).astype(np.float64)


def _discounts(counts: Ints) -> Floats:
    """D(0) = 0, D(1), D(2), D(3 and more), from the counts of counts (Chen & Goodman 1999, eq. 26).

    Where the counts of counts cannot say (a tiny corpus), 0.5, 1 and 1.5: KenLM's --discount_fallback.
    """
    n1, n2, n3, n4 = (float(n) for n in np.bincount(np.minimum(counts, 5), minlength=6)[1:5])
    if min(n1, n2, n3, n4) > 0:
        y = n1 / (n1 + 2 * n2)
        found = np.array([0.0, 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3])
        if all(0 < found[c] <= c for c in (1, 2, 3)):
            return found
    return np.array([0.0, 0.5, 1.0, 1.5])


@dataclass(frozen=True, slots=True)
class _Unique:
    """The different values of an array, sorted; which one each element is; and where each can be found."""

    keys: Ints
    names: Ints
    somewhere: Ints

    @classmethod
    def of(cls, values: Ints) -> _Unique:
        """As `np.unique` with inverse and index, but with the unstable sort, which is far faster."""
        order = np.argsort(values)
        ordered = values[order]
        is_new = np.empty(len(values), dtype=bool)
        is_new[0] = True
        np.not_equal(ordered[1:], ordered[:-1], out=is_new[1:])
        names = np.empty(len(values), dtype=np.int64)
        names[order] = np.cumsum(is_new) - 1
        return cls(keys=ordered[is_new], names=names, somewhere=order[is_new])


def _shifted(names: Ints) -> Ints:
    """At each position, the name that stood one position earlier. Only start tokens look before the first."""
    return np.concatenate((names[:1], names[:-1]))


def _tokens_before(stream: Ints, count: int) -> Ints:
    """At each position, the token `count` places earlier; before the first, the first (a start token)."""
    return np.concatenate((np.repeat(stream[:1], count), stream[: len(stream) - count]))
