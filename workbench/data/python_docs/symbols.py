"""All documented symbols of the Python at hand, under the names people write, and the one rule of the split.

    files found ─ parse ─┐
                         ├─ public names ─ merged by name ─ split, near-copies of training text left out
    compiled modules ────┘

The split is by group (a module-level name with all that belongs to it): a hash of the name decides. Knows
where Python keeps its source; installed packages are found without being imported.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import os
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

from workbench.data.python_docs.everyday import EVERYDAY_MODULES, is_everyday
from workbench.data.python_docs.native import read_native_symbols
from workbench.data.python_docs.parse import (
    ParsedModule,
    Symbol,
    parse_file,
    path_in_module,
    qualified,
    renamed,
)
from workbench.data.python_docs.summary import folded, similarity
from workbench.data.python_docs.topics import read_topics
from workbench.data.split import is_heldout
from workbench.errors import BadInput

HELDOUT_FRACTION = 0.05
"""Share of the groups that are kept out of training."""

NEAR_COPY = 0.8
"""Two summaries of equally named symbols that share this much of their words say the same."""

SKIPPED_FOLDERS = frozenset(
    {
        "__pycache__",
        "dist-packages",
        "encodings",
        "ensurepip",
        "idle_test",
        "lib-dynload",
        "lib2to3",
        "pydoc_data",
        "site-packages",
        "test",
        "tests",
        "turtledemo",
    }
)
"""Tests, examples, codec tables and vendored copies: no documentation of their own."""

SKIPPED_MODULES = frozenset(
    {"antigravity", "ntpath", "nturl2path", "sre_compile", "sre_constants", "sre_parse", "this"}
)
"""The Windows twin of `os.path`, jokes, and deprecated second names."""

PUBLIC_MODULES: dict[str, str] = {
    "_collections_abc": "collections.abc",
    "_pydatetime": "datetime",
    "_pydecimal": "decimal",
    "_pyio": "io",
    "_threading_local": "threading",
    "_weakrefset": "weakref",
    "genericpath": "os.path",
    "posixpath": "os.path",
}
"""Where the standard library implements a module under another name, the name people import."""


def read_symbols(packages: Sequence[str] = ()) -> list[Symbol]:
    """The documented symbols of the standard library and of installed `packages`, sorted by name.

    Parsed once per process. The split is decided: a symbol is trained on, `heldout`, or absent because
    training text says the same. Raises BadInput for a package that is not installed or has no Python source,
    and where this Python came without its library's source.
    """
    return list(_read_symbols(tuple(dict.fromkeys(packages))))


def read_describable(packages: Sequence[str] = ()) -> list[Symbol]:
    """The public symbols that have a clean one-line summary: those one can ask "What does it do?" about."""
    return [symbol for symbol in read_symbols(packages) if symbol.is_public and symbol.summary]


@functools.cache
def _read_symbols(packages: tuple[str, ...]) -> tuple[Symbol, ...]:
    installed = [
        module for name in packages for module in _package(name)
    ]  # first: a wrong name fails at once
    modules = [*_standard_library(), *installed]
    named = [*_publicly_named(modules), *read_native_symbols()]
    symbols = _decided(_merged(named, modules))
    return tuple(_without_copies(symbols, topics=list(read_topics().values())))


# -- finding source ----------------------------------------------------------------------------------


@functools.cache
def _standard_library() -> tuple[ParsedModule, ...]:
    folder = Path(sysconfig.get_path("stdlib"))
    if not (folder / "os.py").is_file():
        raise BadInput(
            "python-docs: this Python came without the source of its standard library",
            file=folder,
            fix="use a Python that has it, or give your own files as sources",
        )
    return tuple(parse_folder(folder, package=""))


def _package(name: str) -> Iterator[ParsedModule]:
    """The modules of the installed package `name`, found by its import name and not imported."""
    try:
        # Only a top-level name is looked up without importing anything: `a.b` would import `a`.
        spec = importlib.util.find_spec(name) if name.isidentifier() else None
    except ValueError:
        spec = None
    places = [*spec.submodule_search_locations] if spec and spec.submodule_search_locations else []
    found = [module for place in places for module in parse_folder(Path(place), package=name)]
    if spec and not places and spec.origin and spec.origin.endswith(".py"):
        parsed = parse_file(Path(spec.origin), module=name)
        found = [parsed] if parsed else []
    if not found:
        problem = "has no Python source to read" if spec else "is not an installed package"
        raise BadInput(
            f"packages: {name!r} {problem}",
            fix='give top-level import names such as "numpy", installed where workbench runs',
        )
    yield from found


def parse_folder(folder: Path, *, package: str) -> Iterator[ParsedModule]:
    """The modules below `folder`, which is the package `package` or, with "", a folder of modules."""
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name.isidentifier() and name not in SKIPPED_FOLDERS)
        inside = [package] if package else []
        inside += Path(root).relative_to(folder).parts
        for file in sorted(Path(root, name) for name in files):
            stem = file.stem
            is_package = stem == "__init__"
            if file.suffix != ".py" or not stem.isidentifier():
                continue
            if not inside and (is_package or stem in SKIPPED_MODULES or stem.startswith("_sysconfigdata")):
                continue
            module = ".".join(inside if is_package else [*inside, stem])
            if parsed := parse_file(file, module=module, is_package=is_package):
                yield parsed


# -- the names people write --------------------------------------------------------------------------


def _publicly_named(modules: list[ParsedModule]) -> Iterator[Symbol]:
    """All symbols, each under the name of the package that passes it on."""
    homes = _homes(modules)
    for module in modules:
        for symbol in module.symbols:
            path = path_in_module(symbol)
            home = homes.get((module.name, path.partition(".")[0]), module.name) if path else module.name
            home = PUBLIC_MODULES.get(home, home)
            yield symbol if home == module.name else renamed(symbol, module=home, path=path)


def _homes(modules: list[ParsedModule]) -> dict[tuple[str, str], str]:
    """(module, module-level name) -> the package under whose name it is public, where that is another one.

    A package passes on what its `__all__` names and a module below it defines, and what it imports with `*`.
    """
    by_name = {module.name: module for module in modules}
    defined = {module.name: {path_in_module(symbol) for symbol in module.symbols} for module in modules}
    homes: dict[tuple[str, str], str] = {}
    for module in modules:
        passed_on = module.exports - defined[module.name]
        for inner in modules:
            if not inner.name.startswith(f"{module.name}."):
                continue
            everything = by_name[inner.name].exports if inner.name in module.star_imports else frozenset()
            for name in (passed_on | everything) & defined[inner.name]:
                # The package nearest the top wins: json.JSONDecoder, not json.decoder.JSONDecoder.
                homes.setdefault((inner.name, name), module.name)
    return homes


def _merged(symbols: list[Symbol], modules: list[ParsedModule]) -> list[Symbol]:
    """One symbol per name, sorted: the first documented one, with a signature where any of them has one."""
    merged: dict[str, Symbol] = {}
    for symbol in symbols:
        known = merged.get(symbol.name)
        if known is None or (symbol.doc and not known.doc):
            merged[symbol.name] = symbol
        elif not known.signature and symbol.signature and known.kind == symbol.kind:
            merged[symbol.name] = dataclasses.replace(known, signature=symbol.signature)
    for module in modules:
        home = PUBLIC_MODULES.get(module.name, module.name)
        for alias in module.aliases:
            target = merged.get(qualified(home, alias.target))
            name = qualified(home, alias.path)
            if target is not None and target.doc and name not in merged:
                kind = "function" if target.kind == "method" else target.kind
                merged[name] = dataclasses.replace(renamed(target, module=home, path=alias.path), kind=kind)
    return [merged[name] for name in sorted(merged)]


# -- the split ---------------------------------------------------------------------------------------


def _decided(symbols: list[Symbol]) -> Iterator[Symbol]:
    """The symbols with `is_everyday` and `heldout` set. The rule of the split, and the only place of it."""
    for symbol in symbols:
        yield dataclasses.replace(
            symbol,
            is_everyday=symbol.is_public and is_everyday(symbol.name, symbol.kind),
            heldout=symbol.module not in EVERYDAY_MODULES
            and is_heldout(f"python-docs:{symbol.group}", HELDOUT_FRACTION),
        )


def _without_copies(symbols: Iterator[Symbol], *, topics: list[str]) -> Iterator[Symbol]:
    """The symbols without held-out ones whose documentation, or its first sentence, training text repeats.

    Inherited and re-exported docstrings would otherwise be measured after they were learned.
    """
    decided = list(symbols)
    trained = [symbol for symbol in decided if not symbol.heldout]
    text = " | ".join([folded(doc) for doc in [*(symbol.doc for symbol in trained), *topics]])
    namesakes: dict[str, list[str]] = {}
    for symbol in trained:
        namesakes.setdefault(symbol.name.rpartition(".")[2], []).append(symbol.summary)
    for symbol in decided:
        if not symbol.heldout or not symbol.doc:
            yield symbol
            continue
        says = folded(symbol.summary or symbol.doc)
        similar = namesakes.get(symbol.name.rpartition(".")[2], ())
        copied = any(similarity(symbol.summary, other) >= NEAR_COPY for other in similar if other)
        if says and says not in text and not copied:
            yield symbol
