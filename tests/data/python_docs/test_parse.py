"""One source file: what is a symbol, how it is called, and that nothing of it runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.data.python_docs.parse import MAX_SIGNATURE, ParsedModule, parse_file

SOURCE = '''"""Tools for tests. They do little."""
import os as _os
from .inner import *
raise SystemExit("this module was imported")
__all__ = ["add", "Box"]
__all__ += ["other"]

def add(a, b=1, /, *rest, scale: float = 2.0, **named):
    """Add some numbers."""

try:
    def reported(): "Say what happened here."
except NameError:
    def reported(): "Never looked at, the first counts."

def _private(): pass
def bare(x): pass

class Box(dict):
    """A box for things."""
    def __init__(self, size, *, colour=None): pass
    def put(self, thing):
        "Put one thing into the box."
    @property
    def size(self):
        "How much it holds in total."
    @staticmethod
    def of(things):
        "Build a box of all things."
    class Lid:
        def close(self):
            "Close the lid of the box."

_box = Box(1)
put = _box.put
plus = add
'''


@pytest.fixture
def parsed(tmp_path: Path) -> ParsedModule:
    (tmp_path / "tools.py").write_text(SOURCE)
    found = parse_file(tmp_path / "tools.py", module="pack.tools")
    assert found is not None
    return found


def test_names_kinds_and_signatures(parsed: ParsedModule) -> None:
    found = {symbol.name: (symbol.kind, symbol.full_signature) for symbol in parsed.symbols}
    assert found == {
        "pack.tools": ("module", ""),
        "pack.tools.add": ("function", "pack.tools.add(a, b=1, /, *rest, scale: float=2.0, **named)"),
        "pack.tools.reported": ("function", "pack.tools.reported()"),
        "pack.tools.bare": ("function", "pack.tools.bare(x)"),
        "pack.tools.Box": ("class", "pack.tools.Box(size, *, colour=None)"),
        "pack.tools.Box.put": ("method", "pack.tools.Box.put(thing)"),
        "pack.tools.Box.size": ("property", ""),
        "pack.tools.Box.of": ("method", "pack.tools.Box.of(things)"),
        "pack.tools.Box.Lid": ("class", ""),
        "pack.tools.Box.Lid.close": ("method", "pack.tools.Box.Lid.close()"),
    }


def test_members_belong_to_the_group_of_their_class(parsed: ParsedModule) -> None:
    groups = {symbol.name: symbol.group for symbol in parsed.symbols}
    assert groups["pack.tools.Box.Lid.close"] == groups["pack.tools.Box"] == "pack.tools.Box"
    assert groups["pack.tools.add"] == "pack.tools.add"
    assert groups["pack.tools"] == "pack.tools"


def test_summaries_exports_aliases_and_star_imports(parsed: ParsedModule) -> None:
    summaries = {symbol.name: symbol.summary for symbol in parsed.symbols}
    assert summaries["pack.tools"] == "Tools for tests."
    assert summaries["pack.tools.bare"] == ""
    assert parsed.exports == {"add", "Box", "other"}
    assert parsed.star_imports == ("pack.inner",)
    assert {(alias.path, alias.target) for alias in parsed.aliases} == {("put", "Box.put"), ("plus", "add")}


@pytest.mark.parametrize(
    "content",
    [
        b"def broken(:",
        b"x = '\xff'",
        b"\x00",
        b"print 'python 2'",
        b"def deep(x=" + b"-" * 3_000 + b"1): 'Take one.'",
        b"(" * 10_000,
        b"-" * 200_000 + b"1",
    ],
)
def test_what_is_not_python_is_passed_over(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.py").write_bytes(content)
    assert parse_file(tmp_path / "bad.py", module="bad") is None


def test_a_missing_file_is_passed_over(tmp_path: Path) -> None:
    assert parse_file(tmp_path / "none.py", module="none") is None


def test_other_peoples_invalid_escapes_do_not_warn(tmp_path: Path) -> None:
    (tmp_path / "old.py").write_text('"""Uses \\d in a docstring."""')
    assert parse_file(tmp_path / "old.py", module="old") is not None  # a warning would be an error here


def test_a_table_of_arguments_is_cut_at_a_whole_one(tmp_path: Path) -> None:
    arguments = ", ".join(f"argument_{number}=None" for number in range(100))
    (tmp_path / "wide.py").write_text(f"def wide({arguments}):\n    'Take far too many arguments.'")
    found = parse_file(tmp_path / "wide.py", module="wide")
    assert found is not None
    assert len(found.symbols[0].signature) < MAX_SIGNATURE + 20
    assert found.symbols[0].signature.endswith("=None, ...)")
