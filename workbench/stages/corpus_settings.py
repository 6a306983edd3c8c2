"""What the recipe table [corpus] means to the craft that builds a corpus: its keys as plain settings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from workbench.corpus.bad_words import read_bad_words
from workbench.corpus.c4_lines import LineRules
from workbench.corpus.classifier import ClassifierSettings
from workbench.corpus.copies import NearSettings
from workbench.corpus.editing import Editing, Masking
from workbench.corpus.eval_hits import ItemHits, TestItems, read_test_items
from workbench.corpus.extract.settings import Extraction, HtmlLimits
from workbench.corpus.figures import FigureSettings
from workbench.corpus.measures import (
    BadWordCounts,
    LanguageFigures,
    Measure,
    NearSketches,
    QualityFigures,
)
from workbench.corpus.part_cutting import PartsOf
from workbench.corpus.pii import KINDS
from workbench.corpus.repeated_parts import PartSettings
from workbench.corpus.sketches import MinHash
from workbench.corpus.sources import Reading
from workbench.files import digest_file
from workbench.recipe_corpus import Corpus
from workbench.recipe_extraction import Extraction as ExtractionTable
from workbench.recipe_filters import Classifier

MEASURED_FOR = {"gopher_repetition", "gopher_quality", "c4", "fineweb"}
"""Filters that look at the figures of figures/, which are measured together."""


def reading_of(settings: Corpus) -> Reading:
    """How sources are read."""
    asked = settings.extraction or ExtractionTable()
    extraction = Extraction(
        text_key=settings.text_key,
        text_keys=dict(settings.text_keys),
        html_text=asked.html_text,
        html_limits=HtmlLimits(asked.max_page_bytes, asked.max_nesting),
        max_unpack_ratio=asked.max_unpack_ratio,
    )
    return Reading(
        extraction=extraction,
        text_split=settings.text_split,
        packages=settings.packages,
        hf_split=settings.hf_split,
    )


def editing_of(settings: Corpus) -> Editing:
    """What is done to every text."""
    lines, pii = settings.c4_lines, settings.pii
    masking = None
    if pii is not None and (kinds := tuple(kind for kind in KINDS if getattr(pii, kind))):
        masking = Masking(kinds, private_addresses=pii.private_ip_addresses)
    return Editing(
        repair_unicode=settings.repair_unicode,
        normalization=settings.normalization,
        c4_lines=None if lines is None else LineRules(**dict(lines)),
        pii=masking,
    )


def near_settings_of(settings: Corpus) -> NearSettings | None:
    """How near duplicates are found; None where they are not looked for."""
    near = settings.near_duplicates
    if near is None:
        return None
    minhash = MinHash(ngram=near.ngram, bands=near.bands, rows=near.rows, seed=near.seed)
    return NearSettings(
        minhash, jaccard=near.jaccard, keep=near.keep, chains=near.chains, memory_bytes=near.memory_bytes
    )


def part_settings_of(settings: Corpus) -> PartSettings | None:
    """Which repeated parts are cut out; None where none are."""
    parts = settings.repeated_parts
    if parts is None:
        return None
    return PartSettings(unit=parts.unit, min_characters=parts.min_characters, copies=parts.copies)


def test_items_of(settings: Corpus, *, base: Path) -> TestItems | None:
    """The test items that are looked for; None where none are. Raises BadInput for a set that is no good."""
    asked = settings.decontamination
    if asked is None:
        return None
    return read_test_items(
        asked.against, base=base, ngram=asked.ngram, min_share=asked.min_share, action=asked.action
    )


def classifier_settings_of(settings: Classifier) -> ClassifierSettings:
    """How a classifier is trained."""
    return ClassifierSettings(
        max_bytes=settings.max_bytes,
        heldout_fraction=settings.heldout_fraction,
        dim=settings.dim,
        word_ngrams=settings.word_ngrams,
        buckets=settings.buckets,
        min_count=settings.min_count,
        epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        seed=settings.seed,
    )


def measures_of(settings: Corpus, items: TestItems | None, *, base: Path) -> Iterator[Measure]:
    """What has to be measured for what is asked. Raises BadInput for a list of words that is no good."""
    if MEASURED_FOR & set(settings.filters):
        quality, fineweb = settings.gopher_quality, settings.fineweb
        figures = FigureSettings(
            stop_words={} if quality is None else dict(quality.stop_words),
            short_line_characters=30 if fineweb is None else fineweb.short_line_characters,
        )
        yield QualityFigures(figures)
    if (language := settings.language) is not None:
        model = None if language.model is None else base / language.model
        yield LanguageFigures(model, "bundled" if model is None else digest_file(model))
    if settings.c4 is not None and settings.c4.bad_words:
        files = [base / name for name in settings.c4.bad_words]
        yield BadWordCounts(read_bad_words(files), " ".join(map(digest_file, files)))
    if (near := near_settings_of(settings)) is not None:
        yield NearSketches(near.minhash)
    if (parts := part_settings_of(settings)) is not None:
        yield PartsOf(parts)
    if items is not None:
        yield ItemHits(items.index.table, items.digest, items.ngram)
