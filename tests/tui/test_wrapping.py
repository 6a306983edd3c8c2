"""Text into rows, at once and as it grows."""

from __future__ import annotations

import random

import pytest
from rich.cells import cell_len

from tests.tui.hostile import HOSTILE
from tui.wrapping import GrowingRows, row_starts, wrapped
from workbench.safe_text import safe_text


def rows_of(line: str, width: int) -> list[str]:
    starts = row_starts(line, width)
    return [line[start:end] for start, end in zip(starts, [*starts[1:], None], strict=True)]


@pytest.mark.parametrize(
    ("line", "rows"),
    [
        ("", [""]),
        ("one two", ["one two"]),
        ("one two three", ["one two ", "three"]),
        ("one  seven77", ["one  ", "seven77"]),
        ("x" * 20, ["x" * 8, "x" * 8, "xxxx"]),
        ("a " + "x" * 10, ["a ", "x" * 8, "xx"]),
        ("    in", ["    in"]),
        ("ab 你好世界", ["ab 你好", "世界"]),
        ("你" * 5, ["你" * 4, "你"]),
        ("e\u0301" * 9, ["e\u0301" * 8, "e\u0301"]),
    ],
)
def test_rows_break_between_words_and_where_a_word_is_too_long(line: str, rows: list[str]) -> None:
    assert rows_of(line, 8) == rows


@pytest.mark.parametrize("width", [1, 2, 7, 40])
def test_no_row_is_wider_than_the_page_but_for_spaces_and_nothing_is_lost(width: int) -> None:
    for text in HOSTILE:
        for line in safe_text(text)[:3000].split("\n"):
            rows = rows_of(line, width)
            assert "".join(rows) == line
            assert all(cell_len(row.rstrip()) <= max(width, 2) for row in rows), ascii(line[:80])


def test_a_text_that_grows_has_the_rows_of_the_whole() -> None:
    draw = random.Random(5)
    letters = ["a", "bc", " ", "  ", "\n", "word", "你", "🦊", "e\u0301", "\t", "x" * 30, "👩\u200d👧"]
    for width in (2, 9, 33):
        for _ in range(30):
            pieces = [draw.choice(letters) for _ in range(60)]
            grown = GrowingRows(width)
            for piece in pieces:
                before = list(grown.rows)
                first = grown.grow(piece)
                assert grown.rows[:first] == before[:first]
            whole = GrowingRows(width)
            whole.grow("".join(pieces))
            assert grown.rows == whole.rows


def test_styles_stay_on_their_words() -> None:
    pieces = [("plain ", ""), ("bold words", "bold"), (" end", "")]
    assert wrapped(pieces, 8) == [
        (("plain ", ""),),
        (("bold ", "bold"),),
        (("words", "bold"), (" ", "")),
        (("end", ""),),
    ]
