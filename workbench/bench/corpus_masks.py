"""E-mail and IP addresses masked: what both know of, planted in every fifth text, beside datatrove's PIIFormatter.

Ours also with all six kinds, as a recipe may ask; datatrove knows the two.
"""

from __future__ import annotations

import ipaddress
import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

_FILE = "texts.json"
_EVERY = 5


class Material(NamedTuple):
    """Texts, and by the number of a text what was planted in it."""

    texts: list[str]
    planted: dict[int, list[str]]


def prepare(folder: Path, texts: Sequence[str]) -> int:
    """Writes `texts` with an address of each kind in the middle of every fifth."""
    draw = random.Random(0)
    planted: dict[int, list[str]] = {}
    with_addresses = list(texts)
    for number in range(0, len(texts), _EVERY):
        name = "".join(draw.choices("abcdefghijklmnop", k=8))
        planted[number] = [f"{name}.{number}@{name[::-1]}.org", _public_address(draw)]
        at = texts[number].find(" ", len(texts[number]) // 2)
        sentence = " Write to {} or look at {}, they said.".format(*planted[number])
        with_addresses[number] = texts[number][:at] + sentence + texts[number][at:]
    (folder / _FILE).write_text(json.dumps([with_addresses, list(planted.items())]))
    return sum(len(text.encode()) for text in with_addresses)


def _public_address(draw: random.Random) -> str:
    while True:
        address = ipaddress.IPv4Address(draw.getrandbits(32))
        if address.is_global and not address.is_multicast:
            return str(address)


def load(folder: Path) -> Material:
    """The texts and what was planted."""
    texts, planted = json.loads((folder / _FILE).read_bytes())
    return Material(texts, dict(planted))


def little(material: Material) -> Material:
    """A few texts."""
    return Material(material.texts[:20], {number: material.planted[number] for number in (0, _EVERY)})


def judge(folder: Path, results: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """The share of what was planted that is masked, and the share of other texts that were changed."""
    material = load(folder)
    planted = sum(map(len, material.planted.values()))
    others = len(material.texts) - len(material.planted)
    return {
        name: {
            "found": 1 - told["left"] / planted,
            "other texts changed": len(set(told["changed"]) - material.planted.keys()) / others,
        }
        for name, told in results.items()
    }


def _told(material: Material, mask: Callable[[str], str]) -> dict[str, Any]:
    masked = [mask(text) for text in material.texts]
    left = sum(each in masked[number] for number, some in material.planted.items() for each in some)
    changed = [place for place, text in enumerate(material.texts) if masked[place] != text]
    return {"left": left, "changed": changed}


def workbench(material: Material) -> dict[str, Any]:
    """The two kinds that datatrove knows."""
    from workbench.corpus.pii import mask

    return _told(material, lambda text: mask(text, ("emails", "ip_addresses")).text)


def workbench_all_kinds(material: Material) -> dict[str, Any]:
    """All that a recipe can ask for."""
    from workbench.corpus.pii import KINDS, mask

    return _told(material, lambda text: mask(text, KINDS).text)


def datatrove(material: Material) -> dict[str, Any]:
    """As it comes: e-mail and public IPv4 addresses."""
    from datatrove.pipeline.formatters import PIIFormatter

    return _told(material, PIIFormatter().format)


CONTENDERS: Mapping[str, Callable[[Material], dict[str, Any]]] = {
    "workbench": workbench,
    "workbench-all-kinds": workbench_all_kinds,
    "datatrove-pii": datatrove,
}
PACKAGES: Mapping[str, str] = {"datatrove-pii": "datatrove"}
