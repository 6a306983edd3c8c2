"""Real text with planted copies at known similarities, and who found which of them.

Shapes: none; a document is known by its place.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LEVELS = (0.95, 0.9, 0.8, 0.7, 0.5)
"""Jaccard similarities, of runs of NGRAM words, at which copies are planted."""
NGRAM = 5
THRESHOLD = 0.75
EXACT_SHARE, LEVEL_SHARE = 0.03, 0.02
_WORD = re.compile(r"[^\W_]+")
_FILE = "planted.json"


@dataclass(frozen=True)
class Planted:
    """`texts` with copies; `copies` are [copy, original, level, true similarity]."""

    texts: list[str]
    copies: list[tuple[int, int, float, float]]


def shingles_of(text: str) -> set[str]:
    """The runs of NGRAM words of a text, as every contender without a tokenizer of its own is given them."""
    words = _WORD.findall(text.lower())
    return {" ".join(words[at : at + NGRAM]) for at in range(len(words) - NGRAM + 1)} or {" ".join(words)}


def similarity(one: str, other: str) -> float:
    """The true Jaccard similarity."""
    first, second = shingles_of(one), shingles_of(other)
    return len(first & second) / len(first | second)


def plant(folder: Path, texts: Sequence[str], *, seed: int = 0) -> int:
    """Writes `texts` with copies among them; gives back the bytes of all."""
    chance = random.Random(seed)
    made: list[tuple[str, int, float]] = [(text, number, 0.0) for number, text in enumerate(texts)]
    long = [number for number, text in enumerate(texts) if len(text) >= 1000]
    wanted = {
        1.0: round(EXACT_SHARE * len(texts)),
        **{each: round(LEVEL_SHARE * len(texts)) for each in LEVELS},
    }
    for level, count in wanted.items():
        for _ in range(count):
            original = chance.choice(long)
            made.append(
                (_copied(texts[original], level, texts[chance.choice(long)], chance), original, level)
            )
    chance.shuffle(made)
    place_of = {original: place for place, (_, original, level) in enumerate(made) if not level}
    copies = [
        (place, place_of[original], level, similarity(text, texts[original]))
        for place, (text, original, level) in enumerate(made)
        if level
    ]
    all_texts = [text for text, _, _ in made]
    (folder / _FILE).write_text(json.dumps({"texts": all_texts, "copies": copies}), encoding="utf-8")
    return sum(len(text.encode()) for text in all_texts)


def _copied(text: str, level: float, other: str, chance: random.Random) -> str:
    """`text` with words replaced by those of `other` until the similarity is about `level`.

    One word is in NGRAM runs: with d runs lost of S, J = (S - d) / (S + d).
    """
    words = list(_WORD.finditer(text))
    runs = len(words) - NGRAM + 1
    lost = runs * (1 - level) / (1 + level)
    spots = _spread(len(words), round(lost / NGRAM), chance)
    donors = _WORD.findall(other)
    pieces, at = [], 0
    for spot in spots:
        pieces += [text[at : words[spot].start()], f"{chance.choice(donors)}x"]
        at = words[spot].end()
    return "".join([*pieces, text[at:]])


def _spread(length: int, count: int, chance: random.Random) -> Iterator[int]:
    """`count` places below `length`, in order, no two in one run of words if there is room."""
    step = length / max(count, 1)
    for number in range(count):
        low, high = round(number * step), round((number + 1) * step) - NGRAM
        yield chance.randint(low, high) if high > low else low


def load_planted(folder: Path) -> Planted:
    """What `plant` wrote."""
    read = json.loads((folder / _FILE).read_bytes())
    return Planted(read["texts"], [tuple(each) for each in read["copies"]])


def judge_removals(
    planted: Planted, removals: Mapping[str, Sequence[Sequence[int]]]
) -> dict[str, dict[str, float]]:
    """By contender: the share found of each level, and how many removals no similarity bears out.

    A removal is [removed, those it was said to be a copy of …].
    """
    figures = {}
    for name, pairs in removals.items():
        removed = {int(each[0]) for each in pairs}
        found: dict[str, float] = {"removed": len(removed), "wrong": _wrong(planted.texts, pairs)}
        for level in (1.0, *LEVELS):
            at_level = [(copy, original) for copy, original, each, _ in planted.copies if each == level]
            gone = sum(copy in removed or original in removed for copy, original in at_level)
            found[f"found_{level:g}"] = gone / len(at_level) if at_level else 0.0
        figures[name] = found
    return figures


def _wrong(texts: Sequence[str], pairs: Sequence[Sequence[Any]]) -> int:
    return sum(
        max((similarity(texts[removed], texts[other]) for other in others), default=0.0) < THRESHOLD
        for removed, *others in pairs
    )
