"""Texts with planted near duplicates, and their similarity the slow way."""

from __future__ import annotations

import random

VOCABULARY = 3000


def text_of(seed: object, words: int = 120) -> list[str]:
    draw = random.Random(str(seed))
    return [f"w{draw.randrange(VOCABULARY)}" for _ in range(words)]


def edited(words: list[str], changes: int, seed: object) -> list[str]:
    """`words` with so many of them replaced."""
    draw = random.Random(str(seed))
    edited = list(words)
    for at in draw.sample(range(len(words)), changes):
        edited[at] = f"new{draw.randrange(VOCABULARY)}"
    return edited


def jaccard(one: str, other: str, ngram: int) -> float:
    sets = []
    for text in (one, other):
        words = text.split()
        runs = {tuple(words[i : i + ngram]) for i in range(len(words) - ngram + 1)}
        sets.append(runs or {tuple(words)})
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])
