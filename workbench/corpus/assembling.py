"""The corpus folder out of the decisions: every block written by some process, its parts joined here in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.corpus.cache import LayerCache
from workbench.corpus.copies import DUPLICATE
from workbench.corpus.intake import Intake
from workbench.corpus.preparing import Prepared
from workbench.corpus.report.clusters import Clusters
from workbench.corpus.report.sources import SAMPLES_PER_SOURCE
from workbench.corpus.workers import WorkerPool
from workbench.corpus.writing import (
    NOWHERE,
    REJECTED,
    TRAIN,
    Fetching,
    ShardJoiner,
    Verdicts,
    Writing,
    Written,
    move_to_end,
)
from workbench.data import corpus_folder
from workbench.data.documents import Document
from workbench.data.jsonl_zst import JsonlZstWriter

SAMPLES_PER_REASON = 20
"""Rejected documents of each reason whose text is in the report, chosen by hash."""


def assemble(
    intake: Intake,
    sides: NDArray[np.uint8],
    *,
    cache: LayerCache,
    folder: Path,
    scratch: Path,
    pool: WorkerPool,
    shingles: Path | None,
    wanted: Sequence[int],
    marked: Callable[[NDArray[np.int64]], None],
    written: Callable[[int], None],
    kept: Callable[[str], None],
) -> dict[int, str]:
    """Writes the training and the rejected file of `folder`, and counts what went where.

    sides: TRAIN or HELD_OUT for every document that stays. shingles: as in Writing. wanted: documents whose beginning
    is asked for, and given back. marked: told which held-out shingles stand in the training text, block by block.
    written: told the number of documents written so far. kept: told the key of each layer WRITTEN, which nobody needs
    when all is done. Raises NoSpace.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    samples: dict[int, str] = {}
    joiner = ShardJoiner(folder)
    rejected = corpus_folder.rejected_file(folder)
    parts = pool.map(
        Writing(cache, scratch, shingles),
        _verdicts(intake, sides, np.array(sorted(wanted), dtype=np.int64)),
        size=lambda verdicts: verdicts.block.num_bytes,
        name=lambda verdicts: verdicts.block.file,
    )
    for number, part in enumerate(parts):
        _count(intake, sides, number, part)
        if part.train is not None:
            joiner.add(part.train, json_bytes=part.train_json_bytes)
        if part.rejected is not None:
            move_to_end(part.rejected, rejected)
        if part.key is not None:
            kept(part.key)
        marked(part.marks)
        first = intake.table.first_of_block[number]
        samples.update({first + place: text for place, text in part.samples.items()})
        written(intake.table.first_of_block[number + 1])
    joiner.close()
    if not rejected.exists():
        with corpus_folder.rejected_writer(folder):
            pass
    return samples


def add_rejected(folder: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Append records to the rejected file of a corpus folder. Raises NoSpace."""
    if records:
        part = folder / "rejected-last"
        with JsonlZstWriter(part) as writer:
            for record in records:
                writer.write(record)
        move_to_end(part, corpus_folder.rejected_file(folder))


def write_clusters(folder: Path, clusters: Clusters, intake: Intake, texts: Mapping[int, str]) -> None:
    """Writes the largest clusters of copies, each with the beginning of what is kept and of some copies."""

    def shown(document: int) -> dict[str, Any]:
        source = intake.blocks[int(intake.table.blocks_of(np.array([document]))[0])].source
        record: dict[str, Any] = {
            "id": intake.table.ids([document])[0],
            "source": source,
            "text": texts[document],
        }
        code = int(intake.table.columns["reason"][document])
        if code:
            record |= {"reason": intake.reasons[code - 1]}
            if record["reason"] != DUPLICATE:
                record |= {"similarity": figure_of(intake, document)}
        return record

    with JsonlZstWriter(folder / corpus_folder.CLUSTERS_FILE) as writer:
        for cluster in clusters.largest:
            copies = [shown(document) for document in cluster.copies]
            writer.write({"size": cluster.size, "kept": shown(cluster.kept), "copies": copies})


def _verdicts(intake: Intake, sides: NDArray[np.uint8], wanted: NDArray[np.int64]) -> Iterator[Verdicts]:
    """What was decided, block by block."""
    shown: dict[str, int] = {}
    for number, block in enumerate(intake.blocks):
        span = intake.table.block(number)
        codes = np.asarray(intake.table.columns["reason"][span])
        side = np.where(codes > 0, np.uint8(REJECTED), sides[span])
        reasons: dict[int, tuple[str, float | str, str | None]] = {}
        if block.is_reference:
            side = np.full(len(codes), NOWHERE, dtype=np.uint8)
        else:
            reasons = _reasons(intake, span, codes)
        samples = wanted[(wanted >= span.start) & (wanted < span.stop)] - span.start
        room = SAMPLES_PER_SOURCE - shown.get(block.source, 0)
        if room > 0:
            first = np.flatnonzero(side == TRAIN)[:room]
            shown[block.source] = shown.get(block.source, 0) + len(first)
            samples = np.union1d(samples, first)
        yield Verdicts(block, side, reasons, [int(place) for place in samples])


def _reasons(
    intake: Intake, span: slice, codes: NDArray[np.uint16]
) -> dict[int, tuple[str, float | str, str | None]]:
    """The reason, figure and original of every rejected document of a block, by place."""
    table = intake.table
    places = np.flatnonzero(codes)
    others = np.asarray(table.columns["other"][span])[places]
    originals = dict(zip(others[others >= 0].tolist(), table.ids(others[others >= 0]), strict=True))
    found: dict[int, tuple[str, float | str, str | None]] = {}
    for place, other in zip(places.tolist(), others.tolist(), strict=True):
        reason = intake.reasons[int(codes[place]) - 1]
        original = originals.get(other)
        found[place] = (reason, figure_of(intake, span.start + place), original)
        if reason == DUPLICATE and original is not None:
            found[place] = (reason, original, None)
    return found


def figure_of(intake: Intake, document: int) -> float | int:
    """The figure that decided about a rejected document, as it is written."""
    figure = float(intake.table.columns["figure"][document])
    reason = intake.reasons[int(intake.table.columns["reason"][document]) - 1]
    return int(figure) if reason in intake.whole_figures else round(figure, 4)


def _count(intake: Intake, sides: NDArray[np.uint8], number: int, part: Written) -> None:
    block, span = intake.blocks[number], intake.table.block(number)
    if block.is_reference:
        return
    in_train = (intake.table.columns["reason"][span] == 0) & (sides[span] == TRAIN)
    num_bytes = int(intake.table.columns["bytes"][span][in_train].sum(dtype=np.int64))
    intake.sources.train(block.source, documents=int(in_train.sum()), num_bytes=num_bytes)
    for place, text in sorted(part.samples.items()):
        if in_train[place]:
            intake.sources.sample(block.source, intake.table.ids([span.start + place])[0], text)


def fetch(intake: Intake, documents: Sequence[int], *, cache: LayerCache, pool: WorkerPool) -> list[Document]:
    """The text of some documents, in the order asked for. They are held in memory."""
    numbers = np.array(documents, dtype=np.int64)
    of_block = intake.table.blocks_of(numbers)
    asked = {number: numbers[of_block == number] for number in np.unique(of_block).tolist()}
    items: list[tuple[Prepared, Sequence[int]]] = [
        (intake.blocks[number], (each - intake.table.first_of_block[number]).tolist())
        for number, each in asked.items()
    ]
    answers = pool.map(
        Fetching(cache), items, size=lambda item: item[0].num_bytes, name=lambda item: item[0].file
    )
    found: dict[int, Document] = {}
    for each, texts in zip(asked.values(), answers, strict=True):
        found.update(zip(each.tolist(), texts, strict=True))
    return [found[document] for document in documents]


def samples_of_reasons(intake: Intake) -> dict[str, list[int]]:
    """For every reason some documents that were rejected for it: those at the lowest positions, a fair sample."""
    codes, positions = intake.table.columns["reason"], intake.table.columns["position"]
    chosen: dict[str, list[int]] = {}
    for code, reason in enumerate(intake.reasons, 1):
        documents = np.flatnonzero(codes == code)
        if len(documents):
            order = np.argsort(positions[documents], kind="stable")[:SAMPLES_PER_REASON]
            chosen[reason] = documents[order].tolist()
    return chosen


def samples_as_json(
    intake: Intake, chosen: Mapping[str, Sequence[int]], texts: Mapping[int, str]
) -> dict[str, list[dict[str, Any]]]:
    """The samples of `samples_of_reasons` with what decided, for report.json."""
    shown: dict[str, list[dict[str, Any]]] = {}
    blocks = intake.blocks
    for reason, documents in sorted(chosen.items()):
        numbers = intake.table.blocks_of(np.array(documents, dtype=np.int64))
        shown[reason] = []
        for document, number in zip(documents, numbers.tolist(), strict=True):
            other = int(intake.table.columns["other"][document])
            record: dict[str, Any] = {
                "id": intake.table.ids([document])[0],
                "source": blocks[number].source,
                "figure": figure_of(intake, document),
                "text": texts[document],
            }
            if other >= 0:
                record["copy_of"] = intake.table.ids([other])[0]
                if reason == DUPLICATE:
                    record["figure"] = record.pop("copy_of")
            shown[reason].append(record)
    return shown
