from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from workbench.data.lines import Line, split_lines


@given(st.binary(max_size=200), st.lists(st.integers(0, 200)))
def test_blocks_do_not_matter(content: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(content), *(cut for cut in cuts if cut < len(content))})
    blocks = [content[start:end] for start, end in itertools.pairwise(places)]
    expected = content.split(b"\n")
    if expected[-1] == b"":
        expected.pop()
    assert [line.content for line in split_lines(blocks)] == [line.removesuffix(b"\r") for line in expected]


def test_numbers_count_from_one_and_blank_lines_count() -> None:
    assert list(split_lines([b"a\n\r\nb"])) == [Line(1, b"a"), Line(2, b""), Line(3, b"b")]


def test_a_line_over_the_limit_has_no_content_and_the_next_one_has() -> None:
    lines = split_lines([b"ok\n" + b"x" * 50, b"x" * 60, b"\nfine\n" + b"y" * 200], max_bytes=100)
    assert list(lines) == [Line(1, b"ok"), Line(2, None), Line(3, b"fine"), Line(4, None)]
