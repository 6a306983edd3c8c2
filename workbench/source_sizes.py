"""How much text a plan's sources hold, before they are read: by the sizes of their files."""

from __future__ import annotations

import os
from pathlib import Path

from workbench.plan import Plan, summary_of
from workbench.recipe_corpus import Corpus
from workbench.source_files import (
    DOCUMENT_SUFFIXES,
    is_file_source,
    readable_files_of,
)

# Of Python 3.11, as cleaned: what a plan is told before the corpus is made.
PYTHON_DOCS_BYTES = 2_900_000
GZIP_RATIO = 3.5


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
    return sum(map(unpacked_bytes, files))


def unpacked_bytes(file: Path) -> int:
    """About how much a file holds unpacked; of one in gzip what its last four bytes say, where they can be right."""
    packed = file.stat().st_size
    if file.suffix == ".gz" and packed >= 4:
        with open(file, "rb") as opened:
            opened.seek(-4, os.SEEK_END)
            told = int.from_bytes(opened.read(), "little")  # modulo 4 GiB, and of the last member (RFC 1952)
        if told >= packed:
            return told
    ratio = GZIP_RATIO if file.suffix in (".gz", ".zst", ".parquet") else 1
    return round(packed * ratio)
