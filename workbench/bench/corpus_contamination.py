"""Decontamination: texts scanned for test items of which some were planted in them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

NGRAM = 13
ITEM_WORDS = (9, 60)
_ITEMS_PER_TEXT, _PLANTED_SHARE = 0.5, 0.02
_FILE = "contamination.json"


def prepare(folder: Path, texts: Sequence[str]) -> int:
    """Takes items from the second half of `texts` and plants some in the first, which is what is scanned."""
    chance = random.Random(0)
    half = len(texts) // 2
    scanned, others = list(texts[:half]), texts[half:]
    items = []
    for _ in range(round(_ITEMS_PER_TEXT * half)):
        words = chance.choice(others).split()
        length = min(chance.randint(*ITEM_WORDS), len(words))
        start = chance.randint(0, len(words) - length)
        items.append(" ".join(words[start : start + length]))
    planted = []
    for number in chance.sample(range(half), round(_PLANTED_SHARE * half)):
        item = chance.randrange(len(items))
        at = scanned[number].find(" ", len(scanned[number]) // 2) + 1
        scanned[number] = f"{scanned[number][:at]}{items[item]} {scanned[number][at:]}"
        planted.append((number, item))
    (folder / _FILE).write_text(json.dumps({"texts": scanned, "items": items, "planted": planted}))
    return sum(len(text.encode()) for text in scanned)


def load(folder: Path) -> dict[str, Any]:
    """Texts, items, and [text, item] of what was planted."""
    loaded: dict[str, Any] = json.loads((folder / _FILE).read_bytes())
    return loaded


def little(material: Mapping[str, Any]) -> dict[str, Any]:
    """A few texts and items."""
    return {name: each[:20] for name, each in material.items()}


def judge(folder: Path, results: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """The share of what was planted that was found, and how many texts were found without anything planted in them."""
    planted = load(folder)["planted"]
    holders = {text for text, _ in planted}
    figures = {}
    for name, found in results.items():
        pairs = {(text, item) for text, item in found}
        hit = sum((text, item) in pairs for text, item in planted)
        others = len({text for text, _ in pairs} - holders)
        figures[name] = {"found": hit / max(len(planted), 1), "others": others}
    return figures


def workbench(material: Mapping[str, Any]) -> list[tuple[int, int]]:
    """The index made, and all texts scanned."""
    from workbench.corpus.contamination import ContaminationIndex
    from workbench.corpus.eval_items import EvalItem

    items = [EvalItem("items", str(number), (text,)) for number, text in enumerate(material["items"])]
    index = ContaminationIndex(items, ngram=NGRAM)
    return [(each.text, each.item) for each in index.judge(index.table.scan(material["texts"]))]


def plain(material: Mapping[str, Any]) -> list[tuple[int, int]]:
    """The same with Python sets of words, as GPT-3's and lm-evaluation-harness's scripts do it."""
    import re

    word = re.compile(r"[^\W_]+")
    index: dict[tuple[str, ...], list[int]] = {}
    lengths = set()
    for number, text in enumerate(material["items"]):
        words = word.findall(text.lower())
        length = min(len(words), NGRAM)
        if length >= 8:
            lengths.add(length)
            for at in range(len(words) - length + 1):
                index.setdefault(tuple(words[at : at + length]), []).append(number)
    found = set()
    for number, text in enumerate(material["texts"]):
        words = word.findall(text.lower())
        for length in lengths:
            for at in range(len(words) - length + 1):
                for item in index.get(tuple(words[at : at + length]), ()):
                    found.add((number, item))
    return sorted(found)


CONTENDERS: Mapping[str, Callable[[Mapping[str, Any]], list[tuple[int, int]]]] = {
    "workbench": workbench,
    "plain Python": plain,
}
PACKAGES: Mapping[str, str] = {}
