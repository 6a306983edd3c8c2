"""Compiled modules, asked in a child process."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from workbench.data.python_docs import Symbol, native
from workbench.data.python_docs.probe import describe
from workbench.errors import WorkbenchError


def test_builtins_have_signature_and_summary(by_name: dict[str, Symbol]) -> None:
    assert by_name["len"].signature == "len(obj)"
    assert by_name["len"].summary == "Return the number of items in a container."
    assert by_name["str.join"].full_signature == "str.join(iterable)"
    assert by_name["dict.items"].summary.startswith("Return a set-like object")


def test_a_module_that_is_not_built_here_says_nothing() -> None:
    assert list(describe("no_such_module_anywhere")) == []


def test_only_what_a_module_owns_is_described() -> None:
    paths = {found["path"] for found in describe("_io")}
    assert "StringIO.getvalue" in paths
    assert "BlockingIOError" not in paths
    assert {found["path"].partition(".")[0] for found in describe("re:Match")} == {"Match"}


def test_a_child_that_fails_is_an_error_not_a_smaller_corpus(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    with pytest.raises(WorkbenchError, match="could not describe its builtins"):
        native.read_native_symbols()
