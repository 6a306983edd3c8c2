"""Which files a source of a recipe means: a file, a folder or a glob, relative to the recipe. Ground: paths only.

Paper asks it to fingerprint what a stage will read, craft to read it, so both see the same files.
"""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from workbench.errors import BadInput

BUILT_IN = "python-docs"
HUB_PREFIX = "hf:"
PACKINGS = (".gz", ".zst")
DOCUMENT_KINDS = (".txt", ".md", ".jsonl", ".json", ".csv", ".tsv", ".html", ".htm", ".warc", ".wet")
DOCUMENT_SUFFIXES = (
    ".parquet",
    *(kind + packing for kind in DOCUMENT_KINDS for packing in ("", *PACKINGS)),
)
EXAMPLE_SUFFIXES = (
    ".parquet",
    *(kind + packing for kind in (".json", ".jsonl") for packing in ("", *PACKINGS)),
)


def is_file_source(source: str) -> bool:
    """Whether `source` names files, not the built-in corpus or a hub data set."""
    return source != BUILT_IN and not source.startswith(HUB_PREFIX)


def files_of(source: str, *, base: Path, suffixes: Collection[str]) -> list[Path]:
    """The regular files that `source` means, sorted, links to files followed, hidden files left out.

    A file is taken whatever it is called; of folders and globs only files with one of `suffixes` are.
    Raises BadInput, naming the source, when there is none or one cannot be read.
    """
    files, _ = _found(source, base, suffixes)
    for file in files:
        _require_readable(file)
    return files


def readable_files_of(
    source: str, *, base: Path, suffixes: Collection[str]
) -> tuple[list[Path], list[BadInput]]:
    """The same, and what is wrong with those of a folder or glob that cannot be read: pipes, links to nothing.

    Raises BadInput where that is the only file, or all of them.
    """
    files, is_named = _found(source, base, suffixes)
    readable: list[Path] = []
    refused: list[BadInput] = []
    for file in files:
        try:
            _require_readable(file)
        except BadInput as error:
            refused.append(error)
        else:
            readable.append(file)
    if refused and (is_named or not readable):
        raise refused[0]
    return readable, refused


def _found(source: str, base: Path, suffixes: Collection[str]) -> tuple[list[Path], bool]:
    """What `source` means, readable or not, and whether it names one file."""
    path = base / source
    is_named = False
    if glob.has_magic(source) and not os.path.lexists(path):
        found = [base / name for name in glob.iglob(source, root_dir=base, recursive=True)]
        files = [file for each in found for file in (_below(each, suffixes) if each.is_dir() else [each])]
        files = [file for file in files if _has_suffix(file, suffixes)]
    elif path.is_dir():
        files = list(_below(path, suffixes))
    else:
        files, is_named = [path], True
    if not files:
        raise BadInput(
            "no file fits",
            file=path,
            fix=f"give a file, a folder or a glob of {' '.join(suffixes)}",
        )
    return sorted(set(files), key=os.fsencode), is_named


def _below(folder: Path, suffixes: Collection[str]) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and _has_suffix(Path(name), suffixes):
                yield Path(root) / name


def _has_suffix(path: Path, suffixes: Collection[str]) -> bool:
    return path.name.lower().endswith(tuple(suffixes))


def _require_readable(file: Path) -> None:
    try:
        mode = file.stat().st_mode
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}", file=file, fix="check the path") from None
    if not stat.S_ISREG(mode):
        raise BadInput(
            "is not a regular file", file=file, fix="give a file of text, not a device, pipe or socket"
        )
    if not os.access(file, os.R_OK):
        raise BadInput("cannot be read: permission denied", file=file, fix="give yourself read permission")
