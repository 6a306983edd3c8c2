"""A Hugging Face dataset as a source of documents, streamed: nothing but the rows in hand is held or stored.

`hf:NAME`, `hf:NAME:CONFIG`, or `hf:./FOLDER` and `hf:/FOLDER` for a dataset folder on disk (relative to the
recipe), which is the same code without the network. `datasets` runs no code of a dataset (since version 4).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from workbench.data.byte_stream import shown_path
from workbench.data.columns import text_of_record
from workbench.data.documents import BadRecord, Document
from workbench.data.strict_json import RecordError
from workbench.errors import BadInput
from workbench.text_columns import text_columns


class HubSource:
    """Iterates the documents of a dataset's split. Raises BadInput, naming it, for whatever goes wrong."""

    def __init__(self, name: str, *, base: Path, split: str = "train", text_key: str = "text") -> None:
        self.name = name
        self._base = base
        self._split = split
        self._columns = text_columns(text_key)

    def __iter__(self) -> Iterator[Document | BadRecord]:
        rows = self._rows()
        row = 0
        while True:
            try:
                record = next(rows, None)
            except Exception as error:  # whatever the network, a decoder or a schema can raise
                raise self._failed(f"cannot be read after {row} rows", error) from error
            if record is None:
                break
            row += 1
            try:
                text = text_of_record(self._columns, record)
                text.encode()
            except RecordError as bad:
                yield BadRecord(self.name, row, bad.reason, self.name, bad.detail)
            except UnicodeEncodeError:
                yield BadRecord(self.name, row, "lone_surrogate", self.name, "half of a surrogate pair")
            else:
                yield Document(f"{self.name}:{row}", text, self.name)
        if row == 0:
            raise BadInput(f"split {self._split!r} is empty", file=shown_path(self.name))

    def _rows(self) -> Iterator[dict[str, Any]]:
        import datasets  # half a second and pandas: only for who asks

        datasets.disable_progress_bars()
        path, config = self._path_and_config()
        try:
            dataset: Iterable[Any] = datasets.load_dataset(path, config, split=self._split, streaming=True)
        except Exception as error:
            raise self._failed("cannot be opened", error) from error
        return iter(dataset)

    def _path_and_config(self) -> tuple[str, str | None]:
        rest = self.name.removeprefix("hf:")
        if rest.startswith(("/", "./", "../")):
            folder = self._base / rest
            if not folder.is_dir():
                raise BadInput(
                    "there is no such dataset folder", file=shown_path(folder), fix="check the path"
                )
            return str(folder), None
        name, _, config = rest.partition(":")
        return name, config or None

    def _failed(self, what: str, error: Exception) -> BadInput:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        return BadInput(f"{what}: {reason}", file=shown_path(self.name), fix="check name, split and network")
