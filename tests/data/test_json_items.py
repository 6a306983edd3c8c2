"""Items of JSON lists: the same however the bytes come in, bounded in memory, and each damage costs itself."""

from __future__ import annotations

import json
import random
import string
import tracemalloc
from collections.abc import Iterator

import pytest

from workbench.data.json_items import JsonItem, json_items

ROWS = [
    {"text": 'say "hi", \\ and [go]{}', "n": [1, {"a": []}]},
    {"text": "two\nlines é 中 😀", "empty": {}},
    {"text": "\\"},
    {},
]


def cut(data: bytes, *, size: int = 1 << 18, most: int = 1 << 20) -> list[JsonItem]:
    chunks = (data[start : start + size] for start in range(0, len(data), size))
    return list(json_items(chunks, max_item_bytes=most))


def good(items: list[JsonItem]) -> list[object]:
    return [json.loads(item.content) for item in items if item.bad is None]


LAYOUTS = {
    "one line": json.dumps(ROWS).encode(),
    "not escaped": json.dumps(ROWS, ensure_ascii=False).encode("utf-8", "surrogatepass"),
    "indented": json.dumps(ROWS, indent=2).encode(),
    "not indented": json.dumps(ROWS, indent=0).encode() + b"\n\n",
    "a line each": b"[\n" + b",\n".join(json.dumps(row).encode() for row in ROWS) + b"\n]\n",
    "lines": b"\n".join(json.dumps(row).encode() for row in ROWS),
    "objects one after another": b"\n".join(json.dumps(row, indent=1).encode() for row in ROWS),
    "two lists": json.dumps(ROWS[:2]).encode() + b"\n" + json.dumps(ROWS[2:]).encode(),
    "commas too many": b"[," + b",,".join(json.dumps(row).encode() for row in ROWS) + b",]",
    "windows": json.dumps(ROWS, indent=2).encode().replace(b"\n", b"\r\n"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_items_are_the_same_wherever_the_bytes_are_split(layout: str) -> None:
    data = LAYOUTS[layout]
    whole = cut(data)
    assert good(whole) == ROWS
    assert not any(item.bad for item in whole)
    for at in range(len(data) + 1):
        assert list(json_items([data[:at], data[at:]], max_item_bytes=1 << 20)) == whole
    assert cut(data, size=1) == whole


def test_lines_are_where_items_begin() -> None:
    data = b'\n[\n\n {"a":\n1}, 7,\n"x,y" , {"b": 2}, null\n]\n{"c": 3}\n'
    for size in (1, 3, 100):
        assert [(item.line, item.content) for item in cut(data, size=size)] == [
            (4, b'{"a":\n1}'),
            (5, b"7"),
            (6, b'"x,y"'),
            (6, b'{"b": 2}'),
            (6, b"null"),
            (8, b'{"c": 3}'),
        ]


@pytest.mark.parametrize(
    ("data", "values", "bad"),
    [
        (b'[{"a": 1}, {"a', [{"a": 1}], [(1, "cut_off")]),
        (b'[{"a": 1}, {"a": 2}', [{"a": 1}, {"a": 2}], [(1, "cut_off")]),
        (b'[\n{"a": 1},\n{"a": [2},\n{"a": 3}\n]', [{"a": 1}, {"a": 3}], [(3, "not_json")]),
        (b'{"a": 1}\n{"a": {\n{"a": 3}', [{"a": 1}, {"a": 3}], [(2, "cut_off")]),
        (b"", [], []),
        (b"[]", [], []),
        (b"[", [], [(1, "cut_off")]),
        (b" \n", [], []),
    ],
)
def test_what_has_no_end_costs_itself(data: bytes, values: list[object], bad: list[tuple[int, str]]) -> None:
    for size in (1, 2, 100):
        items = cut(data, size=size)
        assert good(items) == values
        assert [(item.line, item.bad[0]) for item in items if item.bad] == bad


def test_a_quote_too_many_costs_its_own_item() -> None:
    rows = [{"text": f"number {n}"} for n in range(9)]
    lines = [json.dumps(row).encode() for row in rows]
    lines[4] = lines[4].replace(b"number", b'num"ber')
    items = cut(b"[\n" + b",\n".join(lines) + b"\n]", size=5)
    assert [item.content for item in items if not item.bad] == lines[:4] + lines[5:]
    assert [(item.line, item.bad[0]) for item in items if item.bad] == [(6, "not_json")]


def test_an_item_too_long_is_bad_and_what_follows_is_read() -> None:
    long = json.dumps({"text": "x\\" * 50_000}).encode()
    for data in (
        b'[{"a": 1}, ' + long + b', {"a": 2}]',
        b'[\n{"a": 1},\n' + long + b',\n{"a": 2}\n]',
        b'[{"a": 1}, ' + b"9" * 100_000 + b', {"a": 2}]',
        b'[{"a": 1}, ' + b"[" * 50_000 + b"]" * 50_000 + b', {"a": 2}]',
        b'[{"a": 1}, "' + b'\\"' * 50_000 + b'", {"a": 2}]',
        b'[{"a": 1}, "' + b"\\\\" * 50_000 + b'", {"a": 2}]',
    ):
        for size in (1000, 1001):
            items = cut(data, size=size, most=20_000)
            assert good(items) == [{"a": 1}, {"a": 2}]
            assert [item.bad[0] for item in items if item.bad] == ["record_too_long"]
    assert good(cut(b"[" + b" " * 100_000 + b'{"a": 1}]', size=1000, most=20_000)) == [{"a": 1}]


def test_items_that_never_end_are_given_up_in_the_end() -> None:
    items = cut(b"[" + b'\n{"a": ' * 100_000, size=1000, most=20_000)
    assert 2 <= len(items) <= 70
    assert all(item.bad for item in items)


def test_memory_is_an_item_and_a_chunk_whatever_the_file() -> None:
    def chunks() -> Iterator[bytes]:
        yield b"["
        for number in range(2000):
            yield json.dumps({"text": string.ascii_letters * 100, "n": number}).encode() + b","
        for _ in range(2000):
            yield b'{"never": "ending' + b"y" * 5000
        yield b'"}'

    tracemalloc.start()
    count = sum(1 for _ in json_items(chunks(), max_item_bytes=100_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count >= 2000
    assert peak < 1_000_000


def test_no_bytes_raise_and_every_good_list_survives_beside_another() -> None:
    draw = random.Random(0)
    for _ in range(3000):
        noise = bytes(draw.choices(b'[]{}",\\\n: ax1', k=draw.randint(0, 60)))
        items = cut(noise, size=draw.randint(1, 9), most=draw.choice([5, 1000]))
        lines = [item.line for item in items]
        assert lines == sorted(lines)
        assert all(1 <= line <= noise.count(b"\n") + 1 for line in lines)
