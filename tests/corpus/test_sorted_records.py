from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.corpus import sorted_records
from workbench.corpus.sorted_records import SortedRecords, sort_records


@given(
    st.lists(st.tuples(*[st.integers(0, 3)] * 3), max_size=60),
    st.booleans(),
)
def test_sorting_is_that_of_tuples(rows: list[tuple[int, ...]], unique: bool) -> None:
    records = np.array(rows, dtype=np.uint64).reshape(-1, 3)
    wanted = sorted(set(rows)) if unique else sorted(rows)
    assert sort_records(records, unique=unique).tolist() == [list(row) for row in wanted]


@pytest.mark.parametrize("most_runs", [3, 200])
@pytest.mark.parametrize("unique", [False, True])
@pytest.mark.parametrize("values", [2, 50, 2**63])
def test_what_does_not_fit_memory_is_sorted_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unique: bool, values: int, most_runs: int
) -> None:
    monkeypatch.setattr(sorted_records, "_SMALLEST_READ", 7)
    monkeypatch.setattr(sorted_records, "MOST_RUNS", most_runs)
    draw = np.random.default_rng(0)
    records = draw.integers(0, values, (1000, 2), dtype=np.uint64)
    sorter = SortedRecords(tmp_path, "some", columns=2, memory_bytes=64 * 40, unique=unique)
    for part in np.split(records, [3, 500, 501]):
        sorter.add(part)
    wanted = sorted(set(map(tuple, records.tolist()))) if unique else sorted(map(tuple, records.tolist()))
    assert len(list(tmp_path.iterdir())) > 10
    for _ in range(2):  # it can be read again
        assert [tuple(row) for chunk in sorter for row in chunk.tolist()] == wanted
        assert len(list(tmp_path.iterdir())) <= most_runs
    sorter.close()
    assert not list(tmp_path.iterdir())


def test_what_fits_memory_writes_no_file(tmp_path: Path) -> None:
    sorter = SortedRecords(tmp_path, "some", columns=1, memory_bytes=1 << 20)
    assert list(sorter) == []
    sorter.add(np.array([[3], [1]], dtype=np.uint64))
    sorter.add(np.array([[2]], dtype=np.uint64))
    assert np.concatenate(list(sorter)).tolist() == [[1], [2], [3]]
    assert not list(tmp_path.iterdir())
