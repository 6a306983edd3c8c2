"""The documentation of the Python at hand as a source of documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from workbench.data.documents import BadRecord, Document


class PythonDocsSource:
    """Iterates the documents of the standard library, and of the installed packages named."""

    name = "python-docs"

    def __init__(self, packages: Sequence[str] = ()) -> None:
        self._packages = tuple(packages)

    def __iter__(self) -> Iterator[Document | BadRecord]:
        from workbench.data import python_docs  # parsing takes seconds: only when it is read

        yield from python_docs.documents(self._packages)
