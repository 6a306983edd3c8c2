"""How much text and how many examples a plan's sources hold, before they are read: by sizes and a look at a file."""

from __future__ import annotations

import contextlib
import json
import math
import re
from pathlib import Path

from workbench.plan import Plan, summary_of
from workbench.recipe import Examples
from workbench.recipe_corpus import Corpus
from workbench.source_files import (
    DOCUMENT_SUFFIXES,
    EXAMPLE_SUFFIXES,
    files_of,
    is_file_source,
    readable_files_of,
)

# Of Python 3.11, as cleaned: what a plan is told before the corpus is made.
PYTHON_DOCS_BYTES = 2_900_000
PYTHON_DOCS_EXAMPLES = 12_000
GZIP_RATIO = 3.5
# An example's, where the file does not tell.
EXAMPLE_BYTES = 500
SAMPLE_BYTES = 256_000
_BETWEEN_RECORDS = re.compile(r"[\s,\[]*")


def text_bytes(plan: Plan) -> int:
    """How much text the corpus will hold: known when it is made, else from the sizes of its files; 0 without one."""
    stage = next((each for each in plan.stages if each.name == "corpus"), None)
    if stage is None:
        return 0
    corpus, made = stage.table(), summary_of(plan, stage)
    assert isinstance(corpus, Corpus)
    if isinstance(made.get("bytes"), int):
        return int(made["bytes"])
    return sum(source_bytes(source, folder=plan.recipe_folder) for source in corpus.sources)


def source_bytes(source: str, *, folder: Path) -> int:
    """About how much text a source of the corpus holds, by its files' sizes. Paths start at `folder`."""
    if not is_file_source(source):
        return PYTHON_DOCS_BYTES
    files, _ = readable_files_of(source, base=folder, suffixes=DOCUMENT_SUFFIXES)
    return sum(map(_unpacked_bytes, files))


def count_examples(plan: Plan, table: Examples) -> int:
    """About how many examples the sources of a fine-tuning table hold."""
    total = 0
    for source in table.sources:
        if is_file_source(source):
            files = files_of(source, base=plan.recipe_folder, suffixes=EXAMPLE_SUFFIXES)
            total += sum(map(examples_in, files))
        else:
            total += PYTHON_DOCS_EXAMPLES
    return total


def examples_in(file: Path) -> int:
    """About how many records a file holds, from the length of those that lie whole in its first bytes."""
    num_bytes, records, end = _unpacked_bytes(file), 0, 0
    if file.suffix in (".json", ".jsonl"):
        with open(file, "rb") as opened:
            head = opened.read(SAMPLE_BYTES).decode("latin-1")  # a character a byte
        with contextlib.suppress(ValueError, RecursionError):  # the last one is cut
            while between := _BETWEEN_RECORDS.match(head, end):
                _, end = json.JSONDecoder().raw_decode(head, between.end())
                records += 1
    return round(num_bytes * records / end) if records else math.ceil(num_bytes / EXAMPLE_BYTES)


def _unpacked_bytes(file: Path) -> int:
    ratio = GZIP_RATIO if file.suffix in (".gz", ".zst", ".parquet") else 1
    return round(file.stat().st_size * ratio)
