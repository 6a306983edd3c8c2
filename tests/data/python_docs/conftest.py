"""The standard library, parsed once for all tests of the folder."""

from __future__ import annotations

import pytest

from workbench.data.documents import Document
from workbench.data.python_docs import Symbol, documents, read_symbols


@pytest.fixture(scope="session")
def symbols() -> list[Symbol]:
    return read_symbols()


@pytest.fixture(scope="session")
def by_name(symbols: list[Symbol]) -> dict[str, Symbol]:
    return {symbol.name: symbol for symbol in symbols}


@pytest.fixture(scope="session")
def all_documents() -> list[Document]:
    return list(documents())
