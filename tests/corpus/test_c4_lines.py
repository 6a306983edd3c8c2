from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.corpus import c4_lines
from workbench.corpus.c4_lines import DROPPED, LineRules, edit_lines
from workbench.corpus.figures import characters as kinds

ENDS = (*kinds.terminals(), *kinds.QUOTES)
POLICIES = (
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)
DEFAULT = LineRules()


def slowly(text: str, rules: LineRules) -> tuple[str, Counter[str]]:
    """The rules line by line. For scripts with spaces, where `split` finds the words."""
    kept, dropped = [], Counter[str]()
    if rules.citations:
        text = re.sub(r"\[\d*\]|\[edit\]|\[citation needed\]", "", text)
    for line in text.split("\n"):
        line = line.strip()
        words, lower = line.split(), line.lower()
        page = "lorem ipsum" in lower
        if not line:
            continue
        if any(len(word) > rules.max_word_characters for word in words):
            dropped["long_word"] += 1
        elif rules.terminal_punctuation and (not line.endswith(ENDS) or line.endswith("...")):
            dropped["no_terminal_punctuation"] += 1
        elif len(words) < rules.min_words:
            dropped["few_words"] += 1
        elif rules.javascript and "javascript" in lower and not page:
            dropped["javascript"] += 1
        elif rules.policy and any(p in lower for p in POLICIES) and not page and "{" not in line:
            dropped["policy"] += 1
        else:
            kept.append(line)
    return "\n".join(kept), dropped


def check(texts: list[str], rules: LineRules = DEFAULT) -> None:
    edited = edit_lines(texts, rules)
    assert tuple(edited.dropped) == DROPPED
    for number, text in enumerate(texts):
        expected, dropped = slowly(text, rules)
        assert edited.texts[number] == expected
        assert {name: int(edited.dropped[name][number]) for name in DROPPED} == {
            name: dropped[name] for name in DROPPED
        }


PAGE = """\
Home | About | Contact
   The bridge is old and nobody knows who built it.[1] [edit]

Please enable JavaScript to see this page.
We use cookies to make it better for you.
He said "it is so."
She said “it is not.”
Read more...
Short line.
The function foo() { return 1; } is in use cookies of code.
Lorem ipsum dolor sit amet and javascript too.
你好吗？
"""


def test_lines_that_are_no_sentences_are_cut_out() -> None:
    edited = edit_lines([PAGE], DEFAULT)
    assert edited.texts[0].split("\n") == [
        "The bridge is old and nobody knows who built it.",
        'He said "it is so."',
        "She said “it is not.”",
        "The function foo() { return 1; } is in use cookies of code.",
        "Lorem ipsum dolor sit amet and javascript too.",
        "你好吗？",
    ]
    assert {name: int(counts[0]) for name, counts in edited.dropped.items()} == {
        "long_line": 0,
        "long_word": 0,
        "no_terminal_punctuation": 2,
        "few_words": 1,
        "javascript": 1,
        "policy": 1,
    }
    assert edited.citations.tolist() == [2]


@pytest.mark.parametrize(
    ("changed", "stays"),
    [
        ({"terminal_punctuation": False}, "Home | About | Contact"),
        ({"min_words": 2}, "Short line."),
        ({"javascript": False}, "Please enable JavaScript to see this page."),
        ({"policy": False}, "We use cookies to make it better for you."),
        (
            {"citations": False, "terminal_punctuation": False},
            "The bridge is old and nobody knows who built it.[1] [edit]",
        ),
    ],
)
def test_each_rule_can_be_left_out(changed: dict[str, int], stays: str) -> None:
    assert stays not in edit_lines([PAGE], DEFAULT).texts[0].split("\n")
    assert stays in edit_lines([PAGE], replace(DEFAULT, **changed)).texts[0].split("\n")


def test_a_text_that_nothing_is_cut_from_is_the_same_string() -> None:
    text = "One sentence of some words.\nAnother sentence of some words."
    edited = edit_lines([text, ""], DEFAULT)
    assert edited.texts[0] is text
    assert edited.texts[1] == ""


PIECES = st.sampled_from(
    [
        *"ab .\n\n\"'”{[]",
        " the ",
        "word ",
        "...",
        "\t",
        "\u2028",
        "[1]",
        "[edit]",
        "JavaScript ",
        "use cookies",
        "lorem ipsum",
        "x" * 12,
        "é",
        ".\n",
        "!\n",
    ]
)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.lists(PIECES, max_size=60).map("".join), max_size=4), st.booleans(), st.integers(0, 4))
def test_any_texts_are_edited_as_line_by_line(texts: list[str], punctuation: bool, min_words: int) -> None:
    check(texts, LineRules(terminal_punctuation=punctuation, min_words=min_words, max_word_characters=10))


def test_long_texts_are_edited_in_pieces_as_if_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(0)
    lines = [" ".join(draw.choices(["some", "words", "end.", "javascript", "and"], k=9)) for _ in range(400)]
    text = "\n".join([*lines, "", "", *lines])
    check([text, "x", text + "\n"])
    monkeypatch.setattr(c4_lines, "MOST_LINE_CHARACTERS", 200)
    check([text, "x", text + "\n"])


def test_a_line_beyond_all_measure_is_dropped_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(c4_lines, "MOST_LINE_CHARACTERS", 50)
    kept = "A sentence of some words."
    long = "word " * 20 + "."
    edited = edit_lines([f"{kept}\n{long}\n{kept}", long, f"{long}\n{kept}"], DEFAULT)
    assert edited.texts == [f"{kept}\n{kept}", "", kept]
    assert edited.dropped["long_line"].tolist() == [1, 1, 1]
