"""The `corpus` stage: raw sources to clean, unique documents, some held out that no training text gives away.

    sources ─ blocks ─ text and figures of each ─ rules ─ exact duplicates ─ split by hash ┬─ train-*.jsonl.zst
              (worker processes, cached)                              near copies of train? ─ heldout.jsonl.zst
    every rejected record, with its reason and the figure that decided ─ rejected.jsonl.zst; all counts ─ report.json

Blocks are prepared and written by as many processes as [corpus] workers says; what is decided, is decided here, in
order. The result does not depend on who did what, on what was cached, or on how often it was interrupted.
"""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import numpy as np
import orjson
from numpy.typing import NDArray

from workbench.corpus.assembling import (
    SAMPLES_PER_REASON,
    add_rejected,
    assemble,
    fetch,
    samples_as_json,
    samples_of_reasons,
    write_clusters,
)
from workbench.corpus.blocks import BLOCK_BYTES, Block
from workbench.corpus.cache import LayerCache
from workbench.corpus.copies import (
    DUPLICATE,
    NEAR_DUPLICATE,
    clusters_in,
    leave_out_exact,
    leave_out_near,
)
from workbench.corpus.document_table import DocumentTable
from workbench.corpus.eval_hits import (
    CONTAMINATED,
    Contaminated,
    TestItems,
    leave_out_contaminated,
    write_contamination,
)
from workbench.corpus.exact_duplicates import ExactDuplicates
from workbench.corpus.intake import Intake, Judge, reject
from workbench.corpus.measures import Measure
from workbench.corpus.near_copies import ShingleIndex, distinct_shingles
from workbench.corpus.part_cutting import CUT_OUT, NOTHING_LEFT, CutOut, cut_repeated_parts
from workbench.corpus.passage_split import hold_out_parts
from workbench.corpus.preparing import Preparation, Prepared
from workbench.corpus.quality_model import (
    MODEL_FILE,
    ClassifierScores,
    QualityModel,
    ready_model,
    trained_model,
)
from workbench.corpus.report.clusters import Clusters
from workbench.corpus.report.sources import first_lines
from workbench.corpus.sides import Sides, sides_of, split
from workbench.corpus.sources import open_sources
from workbench.corpus.workers import INLINE_SIZE, WorkerPool, available_cores
from workbench.corpus.writing import WRITTEN, forget_table, keep_hashes
from workbench.corpus_reference import corpus_folder as corpus_folder_of
from workbench.data import corpus_folder
from workbench.data.corpus_folder import rejected_record
from workbench.data.documents import Document
from workbench.data.passages import passage_characters
from workbench.errors import BadInput
from workbench.files import write_atomic
from workbench.recipe_corpus import Corpus
from workbench.source_identity import corpora_of
from workbench.stage_run import StageInputs, StageRun
from workbench.stages.corpus_settings import (
    classifier_settings_of,
    editing_of,
    measures_of,
    near_settings_of,
    part_settings_of,
    reading_of,
    test_items_of,
)

BETWEEN_LOOKS_SECONDS = 0.2
"""Time between two looks at progress and requests to stop; a record can be a line or a whole novel."""
SCRATCH = "scratch"
NEAR_COPY = "near_copy_of_training"

_Item = TypeVar("_Item")


def run(settings: Corpus, inputs: StageInputs, run: StageRun) -> dict[str, Any]:
    """Builds the `documents` artifact (corpus_folder.py) in `run.folder`; gives back its figures.

    Raises BadInput for a source that is missing, damaged or full of bad records, and when nothing is kept.
    """
    started_at, clock = time.time(), _Clock()
    run.start_over()
    scratch = run.folder / SCRATCH
    items = test_items_of(settings, base=inputs.recipe_folder)
    work = _Work(settings, inputs, run, LayerCache(run.cache_folder / "corpus"), _Looks(run), items)
    with (
        WorkerPool(
            settings.workers or available_cores(), inline_size=INLINE_SIZE, look=work.looks.look
        ) as pool,
        DocumentTable(scratch / "documents") as table,
        ExactDuplicates(scratch / "exact") as exact,
    ):
        model = _quality_model(work, pool)
        intake = _take_in(work, pool, table, exact, model)
        clock.done("reading")
        clusters = _leave_out_copies(work, pool, intake, exact)
        contaminated: Contaminated = (
            () if items is None else leave_out_contaminated(intake, items, cache=work.cache)
        )
        cut_out = _cut_repeated_parts(work, pool, intake)
        sides = split(
            table,
            intake.staying,
            heldout_fraction=settings.heldout_fraction,
            heldout_max_bytes=settings.heldout_max_bytes,
        )
        reject(intake, sides.surplus, "heldout_surplus", settings.heldout_max_bytes)
        intake.whole_figures.add("heldout_surplus")
        _check(sides, settings, run, intake)
        rejected = samples_of_reasons(intake)
        clock.done("deciding")
        texts = _write(work, pool, intake, sides, clusters, rejected)
        report: dict[str, Any] = {
            **intake.sources.as_json(),
            "heldout_of": "documents" if sides.heldout else "passages of documents",
            "steps": intake.funnel.as_json(),
            "histograms": {name: each.as_json() for name, each in sorted(intake.histograms.items())},
            "clusters": clusters.as_json(),
            "not_judged": dict(sorted(intake.not_judged.items())),
            "lines_dropped": {kind: count for kind, count in intake.lines_dropped.items() if count},
            "masked": {
                kind: {"count": count, "samples": intake.masked_samples.get(kind, [])}
                for kind, count in sorted(intake.masked.items())
                if count
            },
            "rejected_samples": samples_as_json(intake, rejected, texts) | work.last_samples,
        }
        if cut_out is not None:
            report["repeated_parts"] = asdict(cut_out)
        if model is not None:
            report["classifier"] = model.as_json()
            if model.is_trained_here:
                shutil.copyfile(model.path, run.folder / MODEL_FILE)
        if items is not None:
            report["contamination"] = write_contamination(
                run.folder, intake, items, contaminated, heldout=set(sides.heldout)
            )
    shutil.rmtree(scratch)
    report_json = orjson.dumps(report, option=orjson.OPT_INDENT_2)
    write_atomic(run.folder / corpus_folder.REPORT_FILE, report_json)
    clock.done("writing")
    for key in work.written:
        work.cache.drop(WRITTEN, key)
    work.cache.shrink(to_bytes=settings.cache_bytes, unused_since=started_at)
    cost = {f"{layer}_cpu_seconds": round(spent, 3) for layer, spent in intake.made_seconds.items()}
    run.tell_cost(**cost)
    return intake.sources.summary() | {"seconds": clock.seconds}


class _Clock:
    """Seconds that each part of the stage took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.monotonic()

    def done(self, part: str) -> None:
        """`part` took as long as it is since the one before it."""
        now = time.monotonic()
        self.seconds[part], self._since = round(now - self._since, 1), now


class _Looks:
    """Progress shown and requests to stop obeyed, every BETWEEN_LOOKS_SECONDS however often it is asked."""

    def __init__(self, run: StageRun) -> None:
        self._run = run
        self._looked_at = -BETWEEN_LOOKS_SECONDS
        self._done: tuple[float, float | None, str] = (0, None, "documents")

    def at(self, done: float, total: float | None, unit: str) -> None:
        """So far it got."""
        self._done = (done, total, unit)
        self.look()

    def look(self) -> None:
        """Raises Stopped when that is asked for; waits while the run is paused."""
        if time.monotonic() - self._looked_at >= BETWEEN_LOOKS_SECONDS:
            self._run.progress(*self._done)
            self._run.check_stop()
            self._looked_at = time.monotonic()

    def watch(self, items: Iterable[_Item], unit: str = "documents") -> Iterator[_Item]:
        """`items`, with a look at each."""
        for count, item in enumerate(items):
            self.at(count, None, unit)
            yield item


@dataclass(frozen=True)
class _Work:
    """What every part of the stage needs."""

    settings: Corpus
    inputs: StageInputs
    run: StageRun
    cache: LayerCache
    looks: _Looks
    items: TestItems | None
    last_samples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Of what was rejected while it was written."""
    written: list[str] = field(default_factory=list)
    """The layers that hold what is written, until all of it is."""


def _prepared(
    work: _Work, pool: WorkerPool, blocks: Iterable[Block], measures: Sequence[Measure]
) -> Iterator[Prepared]:
    """Every block with its layers in the cache, in order."""
    return pool.map(
        Preparation(work.cache, reading_of(work.settings), editing_of(work.settings), tuple(measures)),
        blocks,
        size=lambda block: block.num_bytes,
        name=lambda block: block.file,
    )


def _quality_model(work: _Work, pool: WorkerPool) -> QualityModel | None:
    """The classifier that is asked for: ready, or trained now unless it was before. Raises BadInput."""
    asked, base = work.settings.classifier, work.inputs.recipe_folder
    if asked is None:
        return None
    if asked.model is not None:
        return ready_model(base / asked.model, label=asked.label)
    examples = []
    for names in (asked.good, asked.bad):
        opened = open_sources(names, base=base, reading=reading_of(work.settings), block_bytes=BLOCK_BYTES)
        blocks = _prepared(work, pool, opened.blocks, ())
        examples.append([*work.looks.watch(blocks, "blocks of examples read")])
    good, bad = examples
    return trained_model(good, bad, classifier_settings_of(asked), cache=work.cache)


def _take_in(
    work: _Work, pool: WorkerPool, table: DocumentTable, exact: ExactDuplicates, model: QualityModel | None
) -> Intake:
    """All blocks prepared, in worker processes, and judged here."""
    settings, base = work.settings, work.inputs.recipe_folder
    thresholds = settings.thresholds()
    judge = Judge(
        work.cache,
        table,
        filters=list(thresholds),
        thresholds=thresholds,
        later_steps=_later_steps(settings),
        exact=exact if settings.deduplicate == "exact" else None,
        max_documents=settings.max_documents,
        max_bad_records=settings.max_bad_records,
    )
    opened = open_sources(
        settings.sources,
        base=base,
        reading=reading_of(settings),
        block_bytes=BLOCK_BYTES,
        is_finished=lambda source: source in judge.intake.finished,
        corpora={
            name: corpus_folder_of(name, base=base, home=work.run.home) for name in corpora_of(settings)
        },
    )
    measures = list(measures_of(settings, work.items, base=base))
    if model is not None:
        measures.append(ClassifierScores(model))
    prepared = _prepared(work, pool, opened.blocks, measures)
    for block in judge.take_in(prepared):
        work.looks.at(block.done_bytes, opened.file_bytes, "bytes read")
    judge.intake.table.freeze()
    work.run.watched(opened.watch)
    _tell(opened.surprises, work.run)
    return judge.intake


def _tell(surprises: Mapping[str, str], run: StageRun) -> None:
    """Says which files are something else than they are called."""
    if surprises:
        told = "; ".join(f"{file}: {what}" for file, what in itertools.islice(surprises.items(), 3))
        more = f"; and {len(surprises) - 3:,} more" if len(surprises) > 3 else ""
        run.note(f"not what {'its' if len(surprises) == 1 else 'their'} name says: {told}{more}")


def _later_steps(settings: Corpus) -> dict[str, list[str]]:
    """The steps after the filters, and what they reject for."""
    steps = {"exact_duplicates": [DUPLICATE]} if settings.deduplicate == "exact" else {}
    if settings.near_duplicates is not None:
        steps["near_duplicates"] = [NEAR_DUPLICATE]
    if settings.decontamination is not None:
        steps["decontamination"] = [CONTAMINATED]
    if settings.repeated_parts is not None:
        steps["repeated_parts"] = [CUT_OUT, NOTHING_LEFT]
    return {**steps, "held_out": ["heldout_surplus", NEAR_COPY]}


def _leave_out_copies(work: _Work, pool: WorkerPool, intake: Intake, exact: ExactDuplicates) -> Clusters:
    """Rejects copies; tells who is a copy of whom."""
    leave_out_exact(intake, exact, work.looks.at)
    near = near_settings_of(work.settings)
    if near is not None:
        scratch = work.run.folder / SCRATCH / "near"
        leave_out_near(intake, near, cache=work.cache, pool=pool, scratch=scratch, told=work.looks.at)
    return clusters_in(intake)


def _cut_repeated_parts(work: _Work, pool: WorkerPool, intake: Intake) -> CutOut | None:
    """Cuts out what stands in documents before; None where that is not asked for."""
    parts, table = part_settings_of(work.settings), work.settings.repeated_parts
    if parts is None or table is None:
        return None
    intake.whole_figures.add(NOTHING_LEFT)
    return cut_repeated_parts(
        intake,
        parts,
        memory_bytes=table.memory_bytes,
        min_characters=work.settings.min_characters,
        cache=work.cache,
        pool=pool,
        scratch=work.run.folder / SCRATCH / "parts_compared",
        told=work.looks.at,
    )


def _check(sides: Sides, settings: Corpus, run: StageRun, intake: Intake) -> None:
    """Raises BadInput when nothing was kept; warns of the few bad records."""
    report = intake.sources
    if bad := report.total("bad"):
        run.warning(f"{bad:,} bad records were left out: {first_lines(report.bad_records)}")
    if foreign := report.total("foreign"):
        run.warning(f"{foreign:,} documents are not UTF-8; their other bytes were read as Windows-1252")
    if not sides.train:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in report.reasons().most_common())
        raise BadInput(
            f"no document was kept of {report.total('read') + report.total('bad'):,} read: {reasons}",
            file=", ".join(settings.sources),
            fix=f"see corpus.min_characters = {settings.min_characters} and what the sources hold",
        )


def _write(
    work: _Work,
    pool: WorkerPool,
    intake: Intake,
    sides: Sides,
    clusters: Clusters,
    rejected: Mapping[str, Sequence[int]],
) -> Mapping[int, str]:
    """Writes all files but the report, and counts; gives back the beginnings of the documents to be shown."""
    folder, table = work.run.folder, intake.table
    looks, total = work.looks, len(table)
    heldout = fetch(intake, sides.heldout, cache=work.cache, pool=pool)
    # Whoever writes holds the held-out shingles; they are not held here too, but made again afterwards.
    hashes = distinct_shingles([document.text for document in heldout])
    shingles = keep_hashes(hashes, folder / SCRATCH) if heldout else None
    seen = np.zeros(len(hashes), dtype=bool)
    del hashes

    def mark(places: NDArray[np.int64]) -> None:
        seen[places] = True

    samples = assemble(
        intake,
        sides_of(total, sides.heldout),
        cache=work.cache,
        folder=folder,
        scratch=folder / SCRATCH / "parts",
        pool=pool,
        shingles=shingles,
        wanted=[*clusters.documents, *(each for some in rejected.values() for each in some)],
        marked=mark,
        written=lambda documents: looks.at(documents, total, "documents written"),
        kept=work.written.append,
    )
    forget_table()
    heldout = heldout or _split_passages(work, sides)
    index = ShingleIndex([document.text for document in heldout])
    if shingles is None:
        index.mark(_counted_again(work, intake))
    else:
        index.mark_places(np.flatnonzero(seen))
    left = _without_near_copies(heldout, index, work, intake)
    with corpus_folder.heldout_writer(folder) as writer:
        for document in left:
            intake.sources.heldout(document)
            corpus_folder.write_document(writer, document)
    if clusters.count:
        write_clusters(folder, clusters, intake, samples)
    return samples


def _split_passages(work: _Work, sides: Sides) -> list[Document]:
    """Passages held out instead of documents (passages.py). Raises BadInput when the corpus cannot be cut in two."""
    fraction = work.settings.heldout_fraction
    characters = passage_characters(sides.train_characters, fraction)
    heldout = hold_out_parts(
        work.run.folder,
        characters=characters,
        fraction=fraction,
        max_bytes=max(work.settings.heldout_max_bytes, 4 * characters),
        watched=work.looks.watch,
    )
    if not heldout:
        raise BadInput(
            f"{sides.train_characters:,} characters are too few to hold out a part",
            file=", ".join(work.settings.sources),
            fix="give more text",
        )
    work.run.note(
        f"too few documents ({sides.train:,}) to hold one out; held out instead: "
        f"{len(heldout):,} of their passages, up to {characters:,} characters each"
    )
    return heldout


def _counted_again(work: _Work, intake: Intake) -> Iterator[str]:
    """The training texts after passages were cut out of them, counted in the place of what was counted before."""
    for counts in intake.sources.sources.values():
        counts.train, counts.train_bytes, counts.samples = 0, 0, []
    for document in work.looks.watch(corpus_folder.read_artifact_documents(work.run.folder)):
        intake.sources.train(document.source, documents=1, num_bytes=len(document.text.encode()))
        intake.sources.sample(document.source, document.id, document.text)
        yield document.text


def _without_near_copies(
    heldout: Sequence[Document], index: ShingleIndex, work: _Work, intake: Intake
) -> list[Document]:
    """The held-out documents that are not mostly made of training text.

    If all of them are, the one that is least so stays, with a warning: a corpus of copies can still be used.
    """
    shares = index.shares()
    allowed = work.settings.heldout_overlap
    if min(shares) > allowed:
        allowed = min(shares)
        work.run.warning(
            f"every held-out document is a near copy of training text (the least one shares {allowed:.0%} of "
            f"its 8-word runs): held-out figures will flatter the model"
        )
    kept, left_out = [], []
    for document, share in zip(heldout, shares, strict=True):
        if share > allowed:
            intake.sources.of(document.source).rejected[NEAR_COPY] += 1
            intake.funnel.reject(NEAR_COPY, 1, len(document.text.encode()))
            left_out.append(rejected_record(document, NEAR_COPY, round(share, 4)))
        else:
            kept.append(document)
    add_rejected(work.run.folder, left_out)
    if len(left_out) > len(kept):
        work.run.warning(
            f"{len(left_out):,} of {len(heldout):,} held-out documents are near copies of training text and are left "
            f"out: {sum(len(each.text) for each in kept):,} characters remain to measure on; near_duplicates would "
            f"take such copies out of the corpus"
        )
    if left_out:
        work.last_samples[NEAR_COPY] = [
            {"id": each["id"], "source": each["source"], "figure": each["figure"], "text": each["text"][:300]}
            for each in left_out[:SAMPLES_PER_REASON]
        ]
    return kept
