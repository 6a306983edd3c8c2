"""Documents from files: which reader each file takes. Which files a name means is source_files.py's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from workbench.data.byte_stream import open_plain_file, shown_path, text_blocks
from workbench.data.columns import text_of_record
from workbench.data.documents import BadRecord, Document, TextSplit
from workbench.data.lines import MAX_LINE_BYTES, split_lines
from workbench.data.strict_json import RecordError, parse_object
from workbench.data.text_files import BadText, texts_of
from workbench.errors import BadInput
from workbench.source_files import PACKINGS, files_of
from workbench.text_columns import text_columns

SUFFIXES = (
    ".parquet",
    *(kind + packing for kind in (".txt", ".md", ".jsonl") for packing in ("", *PACKINGS)),
)
"""What is read here; pages, archives and tables are the corpus workbench's."""


class FileSource:
    """Iterates the documents and bad records of the files that `name` stands for, relative to `base`.

    Making one looks the files up and opens none. Raises BadInput naming the file that is missing, of a kind
    that is not read, or damaged; and the source, at its end, when it held nothing at all.
    """

    def __init__(
        self, name: str, *, base: Path, text_key: str = "text", text_split: TextSplit = "file"
    ) -> None:
        self.name = name
        self.files = files_of(name, base=base, suffixes=SUFFIXES)
        self._kinds = [kind_of(file) for file in self.files]
        self._base = base
        self._text_key = text_key
        self._text_split = text_split

    def __iter__(self) -> Iterator[Document | BadRecord]:
        empty = True
        for file, kind in zip(self.files, self._kinds, strict=True):
            for record in self._records(file, kind):
                empty = False
                yield record
        if empty:
            raise BadInput("holds no text", file=shown_path(self.name), fix="give a source with text in it")

    def _records(self, file: Path, kind: str) -> Iterator[Document | BadRecord]:
        if kind == ".jsonl":
            return self._from_jsonl(file)
        if kind == ".parquet":
            return self._from_parquet(file)
        return self._from_text(file)

    def _from_text(self, file: Path) -> Iterator[Document | BadRecord]:
        label = self._label(file)
        whole_file = self._text_split == "file"
        for number, text in enumerate(texts_of(text_blocks(file), split=self._text_split)):
            if isinstance(text, BadText):
                yield self._bad(file, text.line, text.reason, text.detail)
                continue
            place = f"[{number}]" if whole_file else f":{text.line}"
            name = label if whole_file and number == 0 else label + place
            yield Document(name, text.text, self.name, foreign_bytes=text.foreign_bytes)

    def _from_jsonl(self, file: Path) -> Iterator[Document | BadRecord]:
        label = self._label(file)
        for line in split_lines(text_blocks(file)):
            if line.content is None:
                yield self._bad(file, line.number, "line_too_long", f"more than {MAX_LINE_BYTES:,} bytes")
            elif line.content.strip():
                try:
                    text = text_of_record(text_columns(self._text_key), parse_object(line.content))
                except RecordError as bad:
                    yield self._bad(file, line.number, bad.reason, bad.detail)
                else:
                    yield Document(f"{label}:{line.number}", text, self.name)

    def _from_parquet(self, file: Path) -> Iterator[Document | BadRecord]:
        from workbench.data.parquet import read_texts  # pyarrow: 0.1 s and 100 MB not everybody needs

        label = self._label(file)
        with open_plain_file(file) as stream:
            for row, text in read_texts(stream, text_columns(self._text_key), shown_path(file)):
                if isinstance(text, str):
                    yield Document(f"{label}:{row}", text, self.name)
                else:
                    yield self._bad(file, row, text.reason, text.detail)

    def _label(self, file: Path) -> str:
        """`file` as part of an id: relative to the recipe, so that a moved project keeps its ids."""
        return shown_path(file.relative_to(self._base) if file.is_relative_to(self._base) else file)

    def _bad(self, file: Path, line: int, reason: str, detail: str) -> BadRecord:
        return BadRecord(self.name, line, reason, shown_path(file), detail)


def kind_of(file: Path) -> str:
    """`.txt`, `.md`, `.jsonl` or `.parquet`: the suffix that says how `file` is read, under .gz or .zst.

    Raises BadInput for another one.
    """
    name = file.name.lower()
    for suffix in SUFFIXES:
        if name.endswith(suffix):
            return "." + suffix.split(".")[1]
    readable = " ".join(SUFFIXES)
    raise BadInput(
        "documents are not read from this kind of file", file=shown_path(file), fix=f"give {readable}"
    )
