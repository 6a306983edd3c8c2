"""How fast a corpus is made beside other people's libraries: the same text, the same question, in the same run.

An area is a module with

    CONTENDERS    name -> how it is done, a function from the loaded material to plain data: ours, then peers
    PACKAGES      the package that a peer needs, by contender; ours need none
    prepare(folder, texts)      writes what all are given
    load(folder)                reads it again, not timed, in the process that measures
    little(material)            a small part of it: each is called with that once before the clock starts
    judge(folder, results)      figures of quality by contender, from what they answered, not timed

Every contender is measured in a process of its own, on one thread, in CPU seconds of that process, which are what
an otherwise idle core takes. Peers need numpy beside themselves, nothing of ours.
"""

from __future__ import annotations

import importlib
import importlib.util
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from workbench.bench.process import measure_apart
from workbench.data.documents import Document, read_documents
from workbench.errors import BadInput

AREAS = {
    "repair": "workbench.bench.corpus_repair",
    "masks": "workbench.bench.corpus_masks",
    "languages": "workbench.bench.corpus_languages",
    "pass": "workbench.bench.corpus_pass",
    "filters": "workbench.bench.corpus_filters",
    "dedup": "workbench.bench.corpus_dedup",
    "contamination": "workbench.bench.corpus_contamination",
}
"""What can be measured, and where it is described."""
DOCUMENT_CHARACTERS = 2_500
"""Texts are cut to documents of this length, about a web page."""


class Area(Protocol):
    """What a module of AREAS holds."""

    CONTENDERS: Mapping[str, Callable[[Any], Any]]
    PACKAGES: Mapping[str, str]

    def prepare(self, folder: Path, texts: Sequence[str]) -> int:
        """Write what all are given to `folder`; gives back its size in bytes of UTF-8."""

    def load(self, folder: Path) -> Any:
        """What a contender is called with."""

    def little(self, material: Any) -> Any:
        """So much that everything is imported and every table is made."""

    def judge(self, folder: Path, results: Mapping[str, Any]) -> dict[str, dict[str, float]]:
        """Figures by contender."""


def area_of(name: str) -> Area:
    """The module of that area. Raises BadInput for one that does not exist."""
    if name not in AREAS:
        raise BadInput(f"there is no area {name!r}", fix=f"choose of {', '.join(AREAS)}")
    area: Any = importlib.import_module(AREAS[name])
    return area  # type: ignore[no-any-return]


def documents_of(sources: Sequence[str], *, megabytes: float, base: Path) -> list[str]:
    """Documents of DOCUMENT_CHARACTERS from the beginning of `sources`, up to so much.

    Raises BadInput for too little.
    """
    texts: list[str] = []
    room = round(megabytes * 1e6)
    for piece in _pieces(sources, base):
        texts.append(piece)
        room -= len(piece.encode())
        if room <= 0:
            return texts
    if len(texts) < 100:
        raise BadInput("too little text to measure on", file=", ".join(sources), fix="give more with --data")
    return texts


def _pieces(sources: Sequence[str], base: Path) -> Iterator[str]:
    held = ""
    for record in read_documents(sources, base=base):
        if isinstance(record, Document):
            held = f"{held}\n\n{record.text}" if held else record.text
            while len(held) >= DOCUMENT_CHARACTERS:
                yield held[:DOCUMENT_CHARACTERS].encode("utf-8", "replace").decode()
                held = held[DOCUMENT_CHARACTERS:]


def parse_peers(given: Sequence[str], areas: Sequence[str]) -> dict[str, str]:
    """The Python that has each peer: of `NAME[:PYTHON]`, and of what is installed here. Raises BadInput."""
    packages = {name: package for area in areas for name, package in area_of(area).PACKAGES.items()}
    found = {name: sys.executable for name, package in packages.items() if importlib.util.find_spec(package)}
    for text in given:
        name, _, python = text.partition(":")
        if name not in packages:
            known = ", ".join(packages) or "none here"
            raise BadInput(f"--peer {text}: not a peer of this area", fix=f"choose of {known}")
        if python:
            found[name] = str(Path(python).absolute())
        elif name not in found:
            raise BadInput(
                f"--peer {text} is not installed here",
                fix=f"pip install {packages[name]}, or write --peer {name}:/path/to/python",
            )
    return found


def measure_area(
    name: str,
    folder: Path,
    texts: Sequence[str],
    *,
    peers: Mapping[str, str],
    rounds: int,
    say: Callable[[str], None],
) -> list[dict[str, Any]]:
    """One row for each contender: MB per CPU second (median of `rounds`, in turn), memory, and what `judge` found."""
    area = area_of(name)
    num_bytes = area.prepare(folder, texts)
    pythons = {
        each: peers.get(each, sys.executable)
        for each in area.CONTENDERS
        if each in peers or each not in area.PACKAGES
    }
    measured: dict[str, list[dict[str, Any]]] = {each: [] for each in pythons}
    for number in range(rounds):
        for each, python in pythons.items():
            say(f"{name}: {each}, round {number + 1} of {rounds}")
            job = {
                "kind": "corpus",
                "name": f"{name}: {each}",
                "area": name,
                "contender": each,
                "folder": str(folder),
                "workload": {"threads": 1, "compiled": False},
            }
            measured[each].append(measure_apart(job, python=python))
    figures = area.judge(folder, {each: found[0]["answer"] for each, found in measured.items()})
    rows = []
    for each, found in measured.items():
        seconds = [one["seconds"] for one in found]
        rows.append(
            {
                "area": name,
                "name": each,
                "peer": each in area.PACKAGES,
                "mb_per_second": num_bytes / 1e6 / statistics.median(seconds),
                "mb_per_second_min": num_bytes / 1e6 / max(seconds),
                "mb_per_second_max": num_bytes / 1e6 / min(seconds),
                "seconds": statistics.median(seconds),
                "bytes": num_bytes,
                "peak_mb": max(one["peak_mb"] for one in found),
                "loaded_mb": max(one["loaded_mb"] for one in found),
                "figures": figures.get(each, {}),
            }
        )
    return rows
