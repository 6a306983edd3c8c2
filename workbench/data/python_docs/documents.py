"""Symbols as documents to learn from: one per module-level name, in one layout, and the language reference.

    shutil.copytree(src, dst, symlinks=False)

    Recursively copy a directory tree and return the destination directory.

A class is followed by its members. No document holds text of both sides of the split.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from workbench.data.documents import Document
from workbench.data.python_docs.parse import Symbol
from workbench.data.python_docs.symbols import read_symbols
from workbench.data.python_docs.topics import read_topics

SOURCE = "python-docs"

MIN_SIGNATURES = 4
"""Fewer undocumented signatures than this say too little about a module to make a document."""


def documents(packages: Sequence[str] = ()) -> Iterator[Document]:
    """The documented groups of symbols by name, then bare signatures by module, then the language reference.

    `heldout` is always set. The reference is trained on, because everything in Python is described in it.
    Raises BadInput as `read_symbols` does.
    """
    undocumented: dict[str, list[Symbol]] = {}
    in_order = sorted(read_symbols(packages), key=lambda symbol: (symbol.group, symbol.name))
    for group, symbols in itertools.groupby(in_order, key=lambda symbol: symbol.group):
        members = list(symbols)
        if any(member.doc for member in members):
            yield _document(group, _text(members), heldout=members[0].heldout)
        elif not members[0].heldout:
            undocumented.setdefault(members[0].module, []).extend(members)
    for module, bare in undocumented.items():
        signatures = [f"module {module}", "", *(_title(symbol) for symbol in bare if symbol.is_public)]
        if len(signatures) >= MIN_SIGNATURES:
            yield _document(f"{module}/signatures", "\n".join(signatures), heldout=False)
    for name, text in read_topics().items():
        yield _document(f"reference/{name}", text, heldout=False)


def _document(name: str, text: str, *, heldout: bool) -> Document:
    return Document(id=f"{SOURCE}:{name}", text=text, source=SOURCE, heldout=heldout)


def _text(members: Sequence[Symbol]) -> str:
    return "\n\n".join(part for member in members for part in (_title(member), member.doc) if part)


def _title(symbol: Symbol) -> str:
    """How the symbol is called, or its name; modules, classes and properties say what they are."""
    called = symbol.full_signature or symbol.name
    return f"{symbol.kind} {called}" if symbol.kind in ("module", "class", "property") else called
