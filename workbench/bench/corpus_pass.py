"""The whole pass: a file of JSON lines to a written corpus, with everything measured that filters can ask about.

Read, cleaned, language and figures of Gopher, C4 and FineWeb, sketches, exact and near copies, split, written; with an
empty cache, in one process. No filter but the length rejects, so that all text goes all the way.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.corpus.assembling import assemble
from workbench.corpus.cache import LayerCache
from workbench.corpus.copies import NearSettings, leave_out_exact, leave_out_near
from workbench.corpus.document_table import DocumentTable
from workbench.corpus.editing import Editing
from workbench.corpus.exact_duplicates import ExactDuplicates
from workbench.corpus.figures import FigureSettings
from workbench.corpus.intake import Judge
from workbench.corpus.measures import LanguageFigures, Measure, NearSketches, QualityFigures
from workbench.corpus.near_copies import ShingleIndex
from workbench.corpus.preparing import Preparation
from workbench.corpus.sides import sides_of, split
from workbench.corpus.sketches import MinHash
from workbench.corpus.sources import Reading, open_sources
from workbench.corpus.workers import WorkerPool
from workbench.corpus.writing import keep_hashes

PACKAGES: Mapping[str, str] = {}
FILE = "texts.jsonl"
MINHASH = MinHash()
THRESHOLDS: Mapping[str, Mapping[str, Any]] = {"length": {"min_characters": 40, "max_characters": 10_000_000}}


def prepare(folder: Path, texts: Sequence[str]) -> int:
    """Writes the texts as JSON lines."""
    lines = [json.dumps({"text": text}, ensure_ascii=False) for text in texts]
    (folder / FILE).write_text("\n".join(lines), encoding="utf-8")
    return sum(len(text.encode()) for text in texts)


def load(folder: Path) -> Path:
    """The folder with the file."""
    return folder


def little(material: Path) -> Path:
    """A folder with the first hundred texts."""
    folder = Path(tempfile.mkdtemp(dir=material, prefix="little-"))
    with (material / FILE).open(encoding="utf-8") as file:
        (folder / FILE).write_text("".join(line for line, _ in zip(file, range(100), strict=False)))
    return folder


def judge(folder: Path, results: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """What share of the documents stayed."""
    return {name: {"kept": found["kept"]} for name, found in results.items()}


def _measures() -> tuple[Measure, ...]:
    language = [LanguageFigures(None, "bundled")] if importlib.util.find_spec("py3langid") else []
    return (*language, QualityFigures(FigureSettings()), NearSketches(MINHASH))


def workbench(folder: Path) -> dict[str, float]:
    """One corpus out of the file, thrown away again; the share of the documents that stayed."""
    out = Path(tempfile.mkdtemp(dir=folder, prefix="out-"))
    cache, reading = LayerCache(out / "cache"), Reading()
    with (
        WorkerPool(1, look=_nothing) as pool,
        DocumentTable(out / "scratch" / "documents") as table,
        ExactDuplicates(out / "scratch" / "exact") as exact,
    ):
        taker = Judge(
            cache,
            table,
            filters=["length"],
            thresholds=THRESHOLDS,
            later_steps={"copies": ["duplicate", "near_duplicate"]},
            exact=exact,
            max_documents=None,
            max_bad_records=1.0,
        )
        opened = open_sources([FILE], base=folder, reading=reading)
        prepared = pool.map(
            Preparation(cache, reading, Editing(), _measures()),
            opened.blocks,
            size=lambda block: block.num_bytes,
            name=lambda block: block.file,
        )
        for _ in taker.take_in(prepared):
            pass
        table.freeze()
        intake = taker.intake
        leave_out_exact(intake, exact, _told)
        near = NearSettings(MINHASH, jaccard=0.75)
        leave_out_near(intake, near, cache=cache, pool=pool, scratch=out / "scratch" / "near", told=_told)
        sides = split(table, intake.staying, heldout_fraction=0.02, heldout_max_bytes=8_000_000)
        index = ShingleIndex([])
        assemble(
            intake,
            sides_of(len(table), sides.heldout),
            cache=cache,
            folder=out,
            scratch=out / "scratch" / "parts",
            pool=pool,
            shingles=keep_hashes(index.hashes, out / "scratch"),
            wanted=(),
            marked=index.mark_places,
            written=lambda _: None,
            kept=lambda _: None,
        )
        kept = float(intake.staying.mean())
    shutil.rmtree(out)
    return {"kept": kept}


CONTENDERS: Mapping[str, Callable[[Path], dict[str, float]]] = {"workbench": workbench}


def _nothing() -> None:
    """Nobody asks for a stop here."""


def _told(done: int, total: int | None, unit: str) -> None:
    """Nobody watches."""
