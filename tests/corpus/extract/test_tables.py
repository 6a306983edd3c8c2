from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.corpus.extract.readers import table_documents
from workbench.corpus.extract.settings import Extraction, Place
from workbench.corpus.extract.tables import cut_tables
from workbench.data.documents import BadRecord, Document

PLACE = Place("s", "a.csv", "/d/a.csv", 2)


def read(content: bytes, *, key: str = "text", tabs: bool = False) -> list[Document | BadRecord]:
    return list(table_documents(content, PLACE, Extraction(text_key=key), tabs=tabs))


def texts(records: list[Document | BadRecord]) -> list[str]:
    return [record.text for record in records if isinstance(record, Document)]


def reasons(records: list[Document | BadRecord]) -> list[tuple[int, str]]:
    return [(record.line, record.reason) for record in records if isinstance(record, BadRecord)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_and_quotes_are_obeyed(delimiter: str) -> None:
    rows = [["id", "text"], ["1", f"a{delimiter}b"], ["2", 'say "hi"\r\nnow'], ["3", "ünï"]]
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows(rows)
    assert texts(read(out.getvalue().encode())) == [f"a{delimiter}b", 'say "hi"\nnow', "ünï"]


def test_lines_are_those_of_the_file() -> None:
    found = read(b'id,text\n1,"two\nlines"\n\n2,next\n')
    assert [record.id for record in found if isinstance(record, Document)] == ["a.csv:2", "a.csv:5"]


def test_several_columns_are_joined_by_a_template() -> None:
    found = read(b"title,body,n\nA,b,1\n,c,2\n,,3\n", key="{title}: {body}")
    assert texts(found) == ["A: b", ": c"]
    assert reasons(found) == [(4, "no_text")]


def test_a_column_that_is_not_there_is_said_with_those_that_are() -> None:
    (bad,) = read(b"a;b\n1;2\n")
    assert isinstance(bad, BadRecord)
    assert bad.reason == "no_column"
    assert "'a', 'b'" in bad.detail


def test_bad_rows_are_counted_and_good_ones_kept() -> None:
    content = (
        b'id,text\n1,good\n2\n3,too,many\n4,\n5,"fine"\n6,caf\xe9 in a long enough line\n7,' + b"\xff" * 9
    )
    found = read(content)
    assert texts(found) == ["good", "fine", "café in a long enough line"]
    assert reasons(found) == [(3, "wrong_columns"), (4, "wrong_columns"), (5, "no_text"), (8, "invalid_utf8")]


def test_a_quote_that_is_never_closed_costs_one_row() -> None:
    found = read(b'id,text\n1,good\n2,"never closed\n3,good too\n4,and this\n')
    assert texts(found) == ["good", "good too", "and this"]
    assert reasons(found) == [(3, "unclosed_quote")]


def test_huge_fields_are_read() -> None:
    assert texts(read(b"text\n" + b"x" * 500_000 + b"\n"))[0] == "x" * 500_000


@given(st.binary(max_size=200))
def test_no_bytes_are_too_odd(junk: bytes) -> None:
    for record in read(b"text,b\n" + junk):
        if isinstance(record, Document):
            record.text.encode()


@given(
    st.lists(
        st.lists(st.text(st.sampled_from('ab",\n\r;x'), max_size=8), min_size=2, max_size=2), max_size=30
    ),
    st.integers(1, 60),
)
def test_cutting_changes_no_row(rows: list[list[str]], block_bytes: int) -> None:
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([["id", "text"], *rows])
    whole = out.getvalue().encode()
    parts = list(cut_tables([whole[:9], whole[9:]], block_bytes=block_bytes))
    together = [
        (record.id if isinstance(record, Document) else record.place)
        for line, content in parts
        for record in table_documents(content, Place("s", "a", "a", line), Extraction())
    ]
    alone = [
        (record.id if isinstance(record, Document) else record.place)
        for record in table_documents(whole, Place("s", "a", "a", 2), Extraction())
    ]
    assert together == alone
