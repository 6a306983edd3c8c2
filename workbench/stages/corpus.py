"""The `corpus` stage: raw sources to clean, unique documents, some held out that no training text gives away.

    source ─ clean ─ length ─ exact duplicates ─ split by hash ┬─ train-*.jsonl.zst
                                                               └─ near copies of train? ─ heldout.jsonl.zst
    every rejected record, with its reason and the figure that decided ─ rejected.jsonl.zst

Two passes over the text, both streaming: memory is bounded by `heldout_max_bytes`, not by the corpus.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import orjson

from workbench.data import corpus_folder
from workbench.data.clean import clean
from workbench.data.corpus_report import CorpusReport, first_lines
from workbench.data.dedup import SeenTexts, folded_digest
from workbench.data.documents import BadRecord, Document, read_documents
from workbench.data.heldout import HeldOut
from workbench.data.jsonl_zst import JsonlZstWriter
from workbench.data.near_copies import ShingleIndex
from workbench.data.passages import heldout_below, hold_out_passages, passage_characters
from workbench.data.split import POSITIONS, position
from workbench.errors import BadInput
from workbench.files import write_atomic
from workbench.recipe import Corpus
from workbench.stage_run import StageInputs, StageRun

BETWEEN_LOOKS_SECONDS = 0.2
"""Time between two looks at progress and requests to stop; a record can be a line or a whole novel."""

_Item = TypeVar("_Item")


def run(settings: Corpus, inputs: StageInputs, run: StageRun) -> dict[str, Any]:
    """Builds the `documents` artifact (corpus_folder.py) in `run.folder`; gives back its figures.

    Raises BadInput for a source that is missing, damaged or full of bad records, and when nothing is kept.
    """
    run.start_over()
    with corpus_folder.rejected_writer(run.folder) as rejected:
        report = CorpusReport(rejected)
        records = read_documents(
            settings.sources,
            base=inputs.recipe_folder,
            text_key=settings.text_key,
            packages=settings.packages,
            hf_split=settings.hf_split,
            max_documents=settings.max_documents,
            text_split=settings.text_split,
        )
        split = _split(_accepted(_watched(records, run), settings, run, report), settings, run, report)
        _check(split, settings, run, report)
        if not split.heldout:
            split = _split_passages(split, settings, run)
        heldout = _without_near_copies(split.heldout, settings, run, report)
        _write_heldout(heldout, run, report)
    report_json = orjson.dumps(report.as_json(), option=orjson.OPT_INDENT_2)
    write_atomic(run.folder / corpus_folder.REPORT_FILE, report_json)
    return report.summary()


def _watched(items: Iterable[_Item], run: StageRun) -> Iterator[_Item]:
    """`items`, with progress shown and requests to stop obeyed on the way."""
    looked_at = -BETWEEN_LOOKS_SECONDS
    for count, item in enumerate(items):
        if time.monotonic() - looked_at >= BETWEEN_LOOKS_SECONDS:
            run.progress(count, None, "documents")
            run.check_stop()
            looked_at = time.monotonic()
        yield item


def _accepted(
    records: Iterable[Document | BadRecord], settings: Corpus, run: StageRun, report: CorpusReport
) -> Iterator[Document]:
    """The documents that are worth having, cleaned; everything else goes to the report with its reason."""
    with SeenTexts(run.folder) if settings.deduplicate == "exact" else contextlib.nullcontext() as seen:
        for record in records:
            if isinstance(record, BadRecord):
                report.bad(record, max_share=settings.max_bad_records)
                continue
            report.read(record)
            cleaned = clean(record.text, repair=settings.repair_unicode, normalization=settings.normalization)
            report.of(record.source).changed.update(cleaned.changes)
            document = replace(record, text=cleaned.text) if cleaned.changes else record
            length = len(document.text)
            if length < settings.min_characters or not length:
                report.rejected(document, "too_short", length)
            elif length > settings.max_characters:
                report.rejected(document, "too_long", length)
            elif seen and (first := seen.first_with(folded_digest(document.text), document.id)) is not None:
                report.rejected(document, "duplicate", first)
            else:
                yield document


FEW = 20
"""Documents held out by hash that say little about how much will be held out."""


class _TrainingSide:
    """Documents on their way to disk, counted."""

    def __init__(self, writer: JsonlZstWriter) -> None:
        self._writer = writer
        self.documents = 0
        self.characters = 0

    def add(self, document: Document) -> None:
        corpus_folder.write_document(self._writer, document)
        self.documents += 1
        self.characters += len(document.text)


@dataclass(frozen=True)
class _Split:
    """The held-out side in order of position; the training side is on disk and only counted here."""

    heldout: list[Document]
    train: int
    train_characters: int


def _split(documents: Iterable[Document], settings: Corpus, run: StageRun, report: CorpusReport) -> _Split:
    """Writes the training side and gives back the other: `heldout_fraction` of all documents, by their text.

    What a source itself holds out is never trained on; beyond `heldout_max_bytes` it is rejected, where a
    document held out by hash goes to the training side. When no document would be left to train on, or a few
    large ones, such as one book of six, are far more than `heldout_fraction`, those held out by hash all go there
    (and passages of them are held out later).
    """
    heldout = HeldOut(max_bytes=settings.heldout_max_bytes)
    below = round(settings.heldout_fraction * POSITIONS)
    with corpus_folder.train_writer(run.folder) as writer:
        train = _TrainingSide(writer)
        for document in documents:
            at = position(document.text)
            if document.heldout is False or (document.heldout is None and at >= below):
                train.add(document)
                continue
            for surplus in heldout.add(document, at):
                if surplus.heldout:
                    report.rejected(surplus, "heldout_surplus", settings.heldout_max_bytes)
                else:
                    train.add(surplus)
        chosen = heldout.documents()
        by_hash = [document for document in chosen if not document.heldout]
        if not train.documents or _is_lumpy(by_hash, train.characters, settings.heldout_fraction):
            for document in by_hash:
                train.add(document)
            chosen = [document for document in chosen if document.heldout]
    return _Split(chosen, train.documents, train.characters)


def _is_lumpy(heldout: Sequence[Document], train_characters: int, fraction: float) -> bool:
    """Whether a few documents hold so much that chance, not `fraction`, decided how much is held out."""
    characters = sum(len(document.text) for document in heldout)
    return 0 < len(heldout) < FEW and characters > 2 * fraction * (characters + train_characters)


def _check(split: _Split, settings: Corpus, run: StageRun, report: CorpusReport) -> None:
    """Raises BadInput when a source is full of bad records or nothing was kept; warns of the few."""
    report.check_bad_share(settings.max_bad_records)
    if bad := report.total("bad"):
        run.warning(f"{bad:,} bad records were left out: {first_lines(report.bad_records)}")
    if foreign := report.total("foreign"):
        run.warning(f"{foreign:,} documents are not UTF-8; their other bytes were read as Windows-1252")
    if not split.train:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in report.reasons().most_common())
        raise BadInput(
            f"no document was kept of {report.total('read') + report.total('bad'):,} read: {reasons}",
            file=", ".join(settings.sources),
            fix=f"see corpus.min_characters = {settings.min_characters} and what the sources hold",
        )


def _split_passages(split: _Split, settings: Corpus, run: StageRun) -> _Split:
    """The same corpus with passages held out instead of documents (passages.py). Reads it twice.

    Raises BadInput when it cannot be cut in two.
    """
    characters = passage_characters(split.train_characters, settings.heldout_fraction)
    whole = run.folder / "whole"
    whole.mkdir()
    for file in corpus_folder.train_files(run.folder):
        file.rename(whole / file.name)
    below = heldout_below(
        _watched(corpus_folder.read_artifact_documents(whole), run),
        characters=characters,
        fraction=settings.heldout_fraction,
    )
    heldout = HeldOut(max_bytes=max(settings.heldout_max_bytes, 4 * characters))
    with corpus_folder.train_writer(run.folder) as writer:
        for document in _watched(corpus_folder.read_artifact_documents(whole), run):
            for part in hold_out_passages(document, characters=characters, below=below):
                kept = heldout.add(part, position(part.text)) if part.heldout else [part]
                for each in kept:
                    corpus_folder.write_document(writer, each)
    shutil.rmtree(whole)
    if not heldout:
        raise BadInput(
            f"{split.train_characters:,} characters are too few to hold out a part",
            file=", ".join(settings.sources),
            fix="give more text",
        )
    run.note(
        f"too few documents ({split.train:,}) to hold one out; held out instead: "
        f"{len(heldout):,} of their passages, up to {characters:,} characters each"
    )
    return replace(split, heldout=heldout.documents())


def _without_near_copies(
    heldout: list[Document], settings: Corpus, run: StageRun, report: CorpusReport
) -> list[Document]:
    """The held-out documents that are not mostly made of training text; counts the training side on the way.

    If all of them are, the one that is least so stays, with a warning: a corpus of copies can still be used.
    """
    index = ShingleIndex([document.text for document in heldout])
    train = _watched(corpus_folder.read_artifact_documents(run.folder), run)
    index.mark(report.counted_as_train(document).text for document in train)
    shares = index.shares()
    allowed = settings.heldout_overlap
    if min(shares) > allowed:
        allowed = min(shares)
        run.warning(
            f"every held-out document is a near copy of training text (the least one shares {allowed:.0%} of "
            f"its 8-word runs): held-out figures will flatter the model"
        )
    kept = []
    for document, share in zip(heldout, shares, strict=True):
        if share > allowed:
            report.rejected(document, "near_copy_of_training", round(share, 4))
        else:
            kept.append(document)
    return kept


def _write_heldout(heldout: list[Document], run: StageRun, report: CorpusReport) -> None:
    with corpus_folder.heldout_writer(run.folder) as writer:
        for document in heldout:
            report.heldout(document)
            corpus_folder.write_document(writer, document)
