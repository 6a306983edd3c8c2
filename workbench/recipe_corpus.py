"""The recipe table [corpus]: which sources are read, how they are cleaned, and what is held out."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import Field, model_validator

from workbench.recipe_dedup import Decontamination, NearDuplicates, RepeatedParts
from workbench.recipe_extraction import Extraction, Pii, TextKey, TextKeys
from workbench.recipe_fields import (
    COSMETIC,
    Bytes,
    Count,
    Flag,
    NaturalInt,
    PositiveInt,
    Share,
    Sources,
    Table,
    Text,
)
from workbench.recipe_filters import (
    C4,
    C4Lines,
    Classifier,
    FineWeb,
    GopherQuality,
    GopherRepetition,
    Language,
)

FilterName = Literal["language", "gopher_repetition", "gopher_quality", "c4", "fineweb", "classifier"]


class Corpus(Table):
    """Raw sources to clean, deduplicated documents with a held-out part."""

    sources: Sources = ("python-docs",)
    """Where documents come from: files, folders or globs (.txt .md .jsonl .json .csv .tsv .html .htm .warc .wet, also
    with .gz or .zst; .parquet; what a file is, its first bytes say), `python-docs` (the documentation of the Python at
    hand), or `hf:NAME[:CONFIG]` (a Hugging Face dataset, streamed; needs the network) or `hf:./FOLDER` (the same from
    disk). Paths are relative to the recipe."""
    packages: tuple[Text, ...] = ()
    """Installed packages that `python-docs` reads besides the standard library, by import name."""
    text_key: TextKey = "text"
    """The column or JSON key that holds a document's text, or a template of several: `"{title}\\n\\n{body}"`."""
    text_keys: TextKeys = Field(default_factory=dict)
    """The same for single sources: `{ "books.csv" = "body" }`."""
    extraction: Extraction | None = None
    """How web pages become text, and where the patience with files ends."""
    text_split: Literal["file", "blank-lines", "lines"] = "file"
    """How a .txt or .md file becomes documents: the `file` is one (beyond 4 MB several, cut at a blank line),
    two or more `blank-lines` separate them, or each of the `lines` is one. Bytes that are not UTF-8 are read as
    Windows-1252 and counted; where they are more than a tenth the document is a bad record."""
    hf_split: Text = "train"
    """The split of a Hugging Face dataset that is read."""
    max_documents: Count | None = None
    """Stop after this many documents per source; leave it out to read all. For quick tries."""
    repair_unicode: Flag = True
    """Repair mojibake (text decoded with the wrong encoding) with ftfy where it is found."""
    normalization: Literal["NFC", "NFKC", "none"] = "NFC"
    """Unicode normal form. NFC makes equal-looking text equal; NFKC also folds ligatures and widths."""
    pii: Pii | None = None
    """What is masked in every text, where this table is there."""
    c4_lines: C4Lines | None = None
    """Cut lines out that are no sentences, as C4 does, where this table is there."""
    min_characters: NaturalInt = 40
    """Documents shorter than this are rejected: too little to learn from."""
    max_characters: Count = 10_000_000
    """Documents longer than this are rejected: usually a dump, not a text."""
    filters: Annotated[tuple[FilterName, ...], Field(max_length=16)] = ()
    """Quality filters, in the order in which they are asked, after the length; the first that a document fails is the
    reason why it goes. Each has a table of its own with its thresholds, by default those of its paper. FineWeb
    asks language, gopher_repetition, gopher_quality, c4 (with c4_lines, terminal_punctuation = false) and fineweb.
    Another threshold decides again from the figures in the cache and reads nothing again."""
    language: Language | None = None
    """Which languages stay, for the filter of this name."""
    gopher_quality: GopherQuality | None = None
    """Thresholds of the filter of this name."""
    gopher_repetition: GopherRepetition | None = None
    """Thresholds of the filter of this name."""
    c4: C4 | None = None
    """Thresholds of the filter of this name."""
    fineweb: FineWeb | None = None
    """Thresholds of the filter of this name."""
    classifier: Classifier | None = None
    """The filter of this name: good text by a model of your own examples, or by a ready one."""
    deduplicate: Literal["exact", "none"] = "exact"
    """`exact` keeps the first of documents whose text is equal after case and white space are folded."""
    near_duplicates: NearDuplicates | None = None
    """Leave documents out that say nearly the same as another, where this table is there."""
    decontamination: Decontamination | None = None
    """Look for test items in the documents that stay, where this table is there."""
    repeated_parts: RepeatedParts | None = None
    """Cut paragraphs or lines out that stand in other documents too, where this table is there."""
    heldout_fraction: Annotated[float, Field(gt=0, le=0.5, allow_inf_nan=False, strict=True)] = 0.02
    """Share of documents kept out of training to measure on. Chosen by a hash of the text, never by position,
    so adding a source does not move a document across. `python-docs` holds out whole symbols instead, by name.
    Where that picks no document (a folder of a few novels), passages of up to 16,000 characters are held out
    by the same rule instead, four of them or one in ten at the least."""
    heldout_max_bytes: Bytes = 8_000_000
    """The held-out part is not allowed to grow beyond this; the surplus is trained on."""
    heldout_overlap: Share = 0.5
    """A held-out document is rejected when more than this share of its 8-word shingles also stands in training
    text: measuring on copies would flatter the model."""
    max_bad_records: Share = 0.01
    """Bad records (a line that is not JSON, no text, not UTF-8) are rejected and counted; above this share of a
    source the stage fails, because then the file is not what the recipe thinks. A file that vanishes while it works
    is a bad record too, but speaks against nobody."""
    workers: Annotated[PositiveInt | None, Field(le=1024, json_schema_extra=COSMETIC)] = None
    """Processes that read, clean and measure, at about 200 MB each. Default: one per core. Little text needs one."""
    cache_bytes: Annotated[Bytes, Field(json_schema_extra=COSMETIC)] = 50_000_000_000
    """Clean text and figures are kept in the home's `cache/corpus`, so that another threshold or a new source does
    not read everything again. What was not used for longest is deleted beyond this; what a run needs is spared."""

    @model_validator(mode="before")
    @classmethod
    def _filters_have_tables(cls, values: Any) -> Any:
        """A filter that is named without a table of its own has all its defaults."""
        if not isinstance(values, dict) or not isinstance(values.get("filters"), list | tuple):
            return values
        named = [name for name in values["filters"] if name in get_args(FilterName)]
        return values | {name: values.get(name) or {} for name in named}

    @model_validator(mode="after")
    def _tables_are_of_filters(self) -> Corpus:
        if len(set(self.filters)) < len(self.filters):
            raise ValueError("filters names one twice; keep one of them")
        for name in get_args(FilterName):
            if getattr(self, name) is not None and name not in self.filters:
                raise ValueError(f"{name} has thresholds but filters does not name it; add it to filters")
        return self

    @model_validator(mode="after")
    def _classifier_has_a_model(self) -> Corpus:
        asked = self.classifier
        if asked is not None and (asked.model is None) == (not asked.good and not asked.bad):
            raise ValueError("classifier needs a model, or good and bad examples; give one of the two")
        if asked is not None and asked.model is None and not (asked.good and asked.bad):
            raise ValueError("classifier learns from good and bad examples; give both")
        return self

    def thresholds(self) -> dict[str, dict[str, Any]]:
        """The table of every filter that is asked, as plain values; `length` is always the first."""
        length = {"min_characters": max(1, self.min_characters), "max_characters": self.max_characters}
        return {"length": length, **{name: dict(getattr(self, name)) for name in self.filters}}
