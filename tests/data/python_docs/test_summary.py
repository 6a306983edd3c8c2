"""Clean one-line summaries, and nothing where a docstring has none."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.data.python_docs import summary
from workbench.data.python_docs.summary import (
    MAX_CHARACTERS,
    folded,
    similarity,
    split_signature,
    summarize,
)


def test_examples_in_docstrings() -> None:
    assert doctest.testmod(summary).failed == 0


@pytest.mark.parametrize(
    ("doc", "expected"),
    [
        ("Return the sum\n    of all numbers.  More text.", "Return the sum of all numbers."),
        ("Return the sum of all numbers", "Return the sum of all numbers."),
        ("Copy data, e.g. bytes, from one file. Then close.", "Copy data, e.g. bytes, from one file."),
        ("Use :class:`.Path` and ``str`` here.", "Use `Path` and `str` here."),
        ("Return x in the interval [0, 1).", "Return x in the interval [0, 1)."),
        ("Read (a.k.a. load. Yes) the file. Done.", "Read (a.k.a. load. Yes) the file."),
        ("Build a sum, replacing repl. repl can be a function.", "Build a sum, replacing repl."),
        ("", ""),
        ("Stub.", ""),
        ("Construct an object from one of:\n  - a list\n  - a file", ""),
        ("Return one of the following:", ""),
        (">>> add(1, 2)\n3", ""),
        ("This call takes the", ""),
        ('Say "something', ""),
        ("word " * MAX_CHARACTERS, ""),
    ],
)
def test_summarize(doc: str, expected: str) -> None:
    assert summarize(doc) == expected


@given(st.text())
def test_summary_is_one_short_printable_sentence_or_nothing(doc: str) -> None:
    line = summarize(doc)
    assert len(line) <= MAX_CHARACTERS
    assert line.isprintable()
    assert not line or line[-1] in ".!?"


@given(st.text(), st.text(min_size=1))
def test_a_text_that_is_no_call_is_left_alone(doc: str, name: str) -> None:
    arguments, rest = split_signature(doc, name)
    assert arguments or rest == doc


@pytest.mark.parametrize(
    ("doc", "name", "expected"),
    [
        (
            "max(iterable, *[, key=func]) -> value\nmax(arg1, arg2) -> value\n\nReturn the biggest.",
            "max",
            ("(iterable, *[, key=func])", "Return the biggest."),
        ),
        ("D.keys() -> a view on D's keys", "keys", ("()", "Return a view on D's keys")),
        (
            "D.count(value) -- return how often value occurs",
            "count",
            ("(value)", "Return how often value occurs"),
        ),
        (
            "filter(f, it) --> filter object\n\nReturn what f likes.",
            "filter",
            ("(f, it)", "Return what f likes."),
        ),
        (
            "od.pop(k[,d]) -> v, remove specified key and return the\nvalue.",
            "pop",
            ("(k[,d])", "Remove specified key and return the value."),
        ),
        ("Return the value.", "get", ("", "Return the value.")),
    ],
)
def test_split_signature(doc: str, name: str, expected: tuple[str, str]) -> None:
    assert split_signature(doc, name) == expected


def test_folding_ignores_layout_and_similarity_counts_shared_words() -> None:
    assert folded("Return  the\nSUM!") == folded("return the `sum`.") == "return the sum"
    assert similarity("a b c d", "a b e f") == pytest.approx(2 / 6)
    assert similarity("", "") == 1.0
