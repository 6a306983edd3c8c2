"""The symbols of the Python that runs the tests: names as people write them, and a split without leaks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from workbench.data.documents import Document
from workbench.data.python_docs import Symbol, read_describable, read_symbols
from workbench.data.python_docs.everyday import EVERYDAY_MODULES
from workbench.data.python_docs.summary import folded
from workbench.errors import BadInput


@pytest.mark.parametrize(
    "name",
    [
        "len",
        "print",
        "str.join",
        "dict.get",
        "math.sqrt",
        "os.getcwd",
        "os.path.join",
        "os.path.exists",
        "shutil.copytree",
        "json.dumps",
        "json.JSONDecoder",
        "re.sub",
        "pathlib.Path",
        "pathlib.Path.mkdir",
        "itertools.chain",
        "functools.lru_cache",
        "random.choice",
        "datetime.date",
        "time.sleep",
        "subprocess.run",
        "shutil",
    ],
)
def test_what_everyone_uses_is_everyday_described_and_trained_on(
    by_name: dict[str, Symbol], name: str
) -> None:
    symbol = by_name[name]
    assert symbol.is_everyday
    assert symbol.summary
    assert not symbol.heldout


@pytest.mark.parametrize(
    "name",
    ["asyncio.run", "unittest.TestCase.assertEqual", "collections.abc.Mapping", "decimal.Decimal.sqrt"],
)
def test_implementation_modules_do_not_show(by_name: dict[str, Symbol], name: str) -> None:
    assert name in by_name


def test_private_names_are_not_asked_about() -> None:
    assert not [s.name for s in read_describable() if any(part.startswith("_") for part in s.name.split("."))]


def test_sizes(symbols: list[Symbol]) -> None:
    assert len({symbol.name for symbol in symbols}) == len(symbols) > 8_000
    described = read_describable()
    assert 300 <= sum(symbol.is_everyday for symbol in described) <= 900
    assert sum(symbol.heldout for symbol in described) >= 200
    groups = {symbol.group: symbol.heldout for symbol in symbols}
    assert 0.02 < sum(groups.values()) / len(groups) < 0.07


def test_a_group_and_the_everyday_modules_lie_on_one_side(symbols: list[Symbol]) -> None:
    side: dict[str, bool] = {}
    for symbol in symbols:
        assert side.setdefault(symbol.group, symbol.heldout) == symbol.heldout
        assert not (symbol.heldout and (symbol.is_everyday or symbol.module in EVERYDAY_MODULES))


def test_no_heldout_documentation_in_training_documents(
    symbols: list[Symbol], all_documents: list[Document]
) -> None:
    trained = " | ".join(folded(document.text) for document in all_documents if not document.heldout)
    leaked = [
        symbol.name
        for symbol in symbols
        if symbol.heldout
        and symbol.doc
        and (folded(symbol.doc) in trained or (symbol.summary and folded(symbol.summary) in trained))
    ]
    assert leaked == []


def test_nothing_that_is_read_is_imported(tmp_path: Path) -> None:
    """A package that would leave a mark when imported, and a library that stays out of sys.modules."""
    package = tmp_path / "marked"
    package.mkdir()
    mark = tmp_path / "imported"
    (package / "__init__.py").write_text(
        f'"""A package that leaves marks."""\nopen({str(mark)!r}, "w").close()\n__all__ = ["Tool"]\n'
    )
    (package / "_inner.py").write_text('class Tool:\n    "A tool of the marked package."\n')
    (package / "broken.py").write_text("def (")
    program = (
        "import sys\n"
        "from workbench.data.python_docs import read_symbols\n"
        "found = {s.name: s for s in read_symbols(('marked',))}\n"
        "assert found['marked.Tool'].summary == 'A tool of the marked package.'\n"
        "assert 'marked._inner.Tool' not in found and 'tkinter.Button' in found\n"
        "heavy = {'marked', 'tkinter', 'turtle', 'asyncio', 'unittest', 'sqlite3', 'antigravity', 'torch'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": f"{Path(__file__).parents[3]}:{tmp_path}", "PATH": ""},
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip() == "[]"
    assert not mark.exists()


@pytest.mark.parametrize("name", ["no_such_package_anywhere", "a.b", "", "../etc", "sys"])
def test_a_package_that_cannot_be_read_is_named(name: str) -> None:
    with pytest.raises(BadInput, match="packages: ") as caught:
        read_symbols((name,))
    assert caught.value.fix


def test_a_caller_may_change_its_list() -> None:
    read_symbols().clear()
    assert read_symbols()
