"""Hostile names and texts in the rooms: clean where they are put together, and no byte of them obeyed at the end."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.content import Content

from tests.tui.hostile import HOSTILE
from tests.tui.hostile_home import ROWS, corpus_of, hostile_run, scorecard_of, wicked
from tests.tui.test_hostile import HARM, misdeeds
from tui.commands import shown_command
from tui.recipe_check import check
from tui.screens import clusters, corpus, doctor, scores, tokens
from tui.widgets import recipe_keys
from workbench.corpus_report import read_corpus_report
from workbench.doctor import Finding
from workbench.recipe_draft import keys_of_recipes
from workbench.scorecard_report import read_scorecard
from workbench.stored_documents import read_clusters


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return hostile_run(tmp_path)[0]


def harmful(contents: Iterator[Content]) -> list[str]:
    """What in them a terminal would obey, ends of lines and tabs apart."""
    seen = list(contents)
    assert seen
    return sorted({repr(one) for content in seen for one in HARM.findall(content.plain)})


def test_a_corpus_is_cleaned_where_it_is_told(home: Path) -> None:
    report = read_corpus_report(corpus_of(home))
    rows = list(corpus.rows_of(report, room=60))
    assert harmful(row.line for row in rows) == []
    keys = [row.key for row in rows if row.key is not None]
    assert {key[0] for key in keys if isinstance(key, tuple)} >= {
        "step", "reason", "part", "copies", "items", "source", "figure",
    }  # fmt: skip
    assert harmful(corpus.told_of(report, key, width=80) for key in [*keys, None]) == []
    found = read_clusters(report.folder, ROWS)
    assert (
        harmful(told for each in found for told in (clusters.cluster_line(each), clusters.cluster_told(each)))
        == []
    )


def test_a_scorecard_is_cleaned_where_it_is_told(home: Path) -> None:
    report = read_scorecard(scorecard_of(home))
    assert harmful(scores.row_line(report, row, report.models, name=40) for row in report.rows) == []
    for row in report.rows:
        assert harmful(scores.told_of(report, row, width=100)) == []


def test_a_machine_is_cleaned_where_it_is_told() -> None:
    findings = [
        Finding("home", wicked(number), wicked(number + 1), wicked(number + 2)) for number in range(ROWS)
    ]
    assert harmful(doctor.finding_lines(findings)) == []
    use = {"name": wicked(1), "times": 2.0, "instead_of": wicked(2), "active": True}
    facts = {"peaks": {}, "uses": [use], "arithmetic": wicked(3), "threads": wicked(4)}
    assert harmful(doctor.speed_lines(facts)) == []


@pytest.mark.parametrize("text", HOSTILE[::10])
def test_a_recipe_is_cleaned_where_it_is_told(tmp_path: Path, text: str) -> None:
    keys = keys_of_recipes()
    whole = f"name = {_quoted(text)}\n[corpus]\nsources = [{_quoted(text)}]\n[pretrain]\noptimizer = {_quoted(text)}\n"
    checked = check(tmp_path / "x.toml", whole, keys, home=tmp_path)
    rows = list(recipe_keys.rows_of(keys, checked, whole, room=60, words="", everything=True))
    assert harmful(row.line for row in rows) == [] and checked.problems
    for at in ("name", "corpus.sources", "pretrain.optimizer", ("table", "corpus")):
        told = recipe_keys.told_of(keys, checked, at)
        assert told is not None and not HARM.search(told.plain)


def _quoted(text: str) -> str:
    """As a string of TOML, which knows no lone surrogate."""
    clean = text[:200].encode("utf-8", "replace").decode()
    return '"' + "".join(f"\\U{ord(letter):08x}" for letter in clean) + '"'


@pytest.mark.parametrize("problem", ["", "yes"])
def test_tokens_are_cleaned_where_they_are_told(problem: str) -> None:
    for text in HOSTILE:
        data = text[:500].encode("utf-8", "replace")
        pieces = tuple(data[at : at + 3] for at in range(0, len(data), 3))
        cut = tokens.Cut(text, tuple(range(len(pieces))), pieces, 300, problem and text)
        assert harmful(iter((tokens.headline(cut, 20), tokens.boundaries(cut), tokens.ids_line(cut)))) == []


def test_a_command_is_shown_on_one_line() -> None:
    assert not [text for text in HOSTILE if HARM.search(shown := shown_command(text[:300])) or "\n" in shown]


def test_no_byte_of_a_room_is_obeyed(tmp_path: Path, open_terminal: Any) -> None:
    home, run = hostile_run(tmp_path)
    terminal = open_terminal(home, run, size=(140, 40))
    terminal.read_until(lambda output: b"pretrain" in output)

    def go(keys: bytes, *, until: str) -> None:
        seen = len(terminal.output)
        terminal.type(keys)
        terminal.read_until(lambda output: until.encode() in output[seen:])

    def look_around(rows: int) -> None:
        for _ in range(rows):
            seen = len(terminal.output)
            terminal.type(b"\x1b[B")
            terminal.read_until(lambda output: len(output) > seen)  # noqa: B023 - called at once

    go(b"3", until="left out of")
    look_around(24)
    go(b"\x1b[H\x1b[Bd", until="from document 1")  # those left out for the first reason
    go(b"\x1b", until="left out of")
    go(b"\x1b[Hd", until="from document 1")
    look_around(ROWS)
    go(b"v", until="MARK")
    go(b"/nowhere/\x1b[200~\x1b]52;c;eA==\x07[/b]\xc2\x9b\x1b[201~\r", until="not found from here on")
    go(b"\x1b", until=" " * len("not found from here on"))
    go(b"\x1b", until="left out of")
    go(b"\x1b", until="smooth" if b"smooth" in terminal.output else "steer")
    go(b"6", until="standard error")
    look_around(4)
    go(b"\x1b[H\r", until="came out wrong")
    look_around(ROWS)
    go(b"\x1b", until="standard error")
    go(b"\x1b", until="steer")
    go(b"2", until="not in this recipe")
    look_around(8)
    go(b"y", until="copied: workbench run")
    go(b"\x1b", until="steer")
    go(b"9", until="this machine")
    go(b"\x1b", until="steer")
    terminal.type(b"q")
    assert terminal.exit_code() == 0
    copied = re.findall(rb"\x1b\]52;c;([A-Za-z0-9+/=]+)\x07", terminal.output)
    assert len(copied) == 1, "what `y` was pressed for, and nothing else"
    assert not HARM.search(base64.b64decode(copied[0]).decode())
    rest = terminal.output.replace(b"\x1b]52;c;" + copied[0] + b"\x07", b"")
    assert misdeeds(rest) == [] and b"Traceback" not in terminal.output
