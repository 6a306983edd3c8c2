from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workbench.corpus.cutting import cut_at_lines

PARTS = st.lists(st.sampled_from([b"a", b"bb", b"\n", b"\n\n\n", b" \n", b"cccccccc"]), max_size=40)


def cut(data: bytes, step: int, **options: object) -> list[tuple[int, bytes | None]]:
    chunks = [data[start : start + step] for start in range(0, len(data), step)]
    return list(cut_at_lines(chunks, block_bytes=8, max_line_bytes=12, **options))  # type: ignore[arg-type]


@given(PARTS, st.integers(1, 9), st.booleans())
def test_where_it_is_cut_depends_on_the_bytes_alone(parts: list[bytes], step: int, blank: bool) -> None:
    data = b"".join(parts)
    assert cut(data, step, at_blank_lines=blank) == cut(data, len(data) or 1, at_blank_lines=blank)


@given(PARTS, st.integers(1, 9))
def test_nothing_is_lost_but_lines_too_long(parts: list[bytes], step: int) -> None:
    data = b"".join(parts)
    lines = data.splitlines(keepends=True)
    number, joined = 1, b""
    for first, content in cut(data, step):
        assert first == number
        if content is None:
            assert len(lines[number - 1]) > 12
            content = lines[number - 1]
            joined, number = joined + content, number + 1
        else:
            assert len(content) <= 8 or content.count(b"\n") <= 1
            joined, number = joined + content, number + content.count(b"\n")
    assert joined == data


def test_documents_are_kept_whole_where_two_blank_lines_are() -> None:
    assert cut(b"ab\n\n\ncd\nef\ngh", 3, at_blank_lines=True) == [(1, b"ab\n\n\n"), (4, b"cd\nef\ngh")]
    assert cut(b"ab\n \n\ncd\nef\ngh", 3, at_blank_lines=True)[0] == (1, b"ab\n \n\n")


def test_a_line_without_end_takes_no_memory() -> None:
    found = cut_at_lines((b"x" * 1000 for _ in range(1000)), block_bytes=10_000, max_line_bytes=20_000)
    assert list(found) == [(1, None)]
    found = cut_at_lines([b"ok\n", *[b"x" * 1000] * 50, b"\nlast"], block_bytes=10_000, max_line_bytes=20_000)
    assert list(found) == [(1, b"ok\n"), (2, None), (3, b"last")]
