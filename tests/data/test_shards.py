from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.data.shards import SourceNumbers, TokenShards, lengths_by_source, token_dtype, write_shards
from workbench.errors import Damaged, NotFound

DOCUMENTS = [[0, 5, 6], [0], [0, 7, 8, 9, 10, 11, 12], [0, 13]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_shards(tmp_path, DOCUMENTS, vocab_size=14, shard_tokens=4)
    return tmp_path


def test_documents_come_back_across_shards(folder: Path) -> None:
    shards = TokenShards.open(folder)
    assert (shards.num_documents, shards.num_tokens, len(shards.shards)) == (4, 13, 4)
    assert [shards.document(i).tolist() for i in range(4)] == DOCUMENTS
    assert [len(shard) for shard in shards.shards] == [4, 4, 4, 1]


@given(
    documents=st.lists(st.lists(st.integers(0, 99), min_size=1), max_size=8),
    shard_tokens=st.integers(1, 20),
    ends=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_any_slice_is_that_of_the_stream(
    tmp_path_factory: pytest.TempPathFactory,
    documents: list[list[int]],
    shard_tokens: int,
    ends: tuple[float, float],
) -> None:
    folder = tmp_path_factory.mktemp("shards")
    shards = write_shards(folder, iter(documents), vocab_size=100, shard_tokens=shard_tokens)
    stream = [token for document in documents for token in document]
    start, stop = sorted(round(end * len(stream)) for end in ends)
    assert shards.read(start, stop).tolist() == stream[start:stop]


@pytest.mark.parametrize(("vocab_size", "width"), [(256, 2), (65_536, 2), (65_537, 4)])
def test_ids_take_two_bytes_while_they_can(tmp_path: Path, vocab_size: int, width: int) -> None:
    shards = write_shards(tmp_path, [[0, vocab_size - 1]], vocab_size=vocab_size, shard_tokens=10)
    assert token_dtype(vocab_size).itemsize == width
    assert (tmp_path / "shard-00000.bin").stat().st_size == 2 * width
    assert shards.document(0).tolist() == [0, vocab_size - 1]


def test_reading_is_mapped_not_loaded(folder: Path) -> None:
    assert all(isinstance(shard, np.memmap) for shard in TokenShards.open(folder).shards)


def test_an_id_outside_the_vocabulary_is_our_bug(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        write_shards(tmp_path, [[0, 14]], vocab_size=14, shard_tokens=4)


def test_nothing_is_readable_before_all_is_written(tmp_path: Path) -> None:
    def broken() -> Iterator[list[int]]:
        yield [0, 1]
        raise KeyError("killed")

    with pytest.raises(KeyError):
        write_shards(tmp_path, broken(), vocab_size=14, shard_tokens=4)
    with pytest.raises(NotFound):
        TokenShards.open(tmp_path)


@pytest.mark.parametrize("name", ["shard-00001.bin", "shard-00003.bin", "bounds.bin"])
def test_a_cut_or_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).write_bytes((folder / name).read_bytes()[:-1])
    with pytest.raises(Damaged, match=name):
        TokenShards.open(folder)
    (folder / name).unlink()
    with pytest.raises(Damaged, match=name):
        TokenShards.open(folder)


@pytest.mark.parametrize("change", [{"num_tokens": 12}, {"num_shards": 3}, {"num_documents": None}])
def test_an_index_that_lies_is_named(folder: Path, change: dict[str, int | None]) -> None:
    index = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps(index | change))
    with pytest.raises(Damaged, match=r"index\.json"):
        TokenShards.open(folder)


def test_shards_tell_the_source_of_each_document_and_how_long_its_documents_are(tmp_path: Path) -> None:
    sources = SourceNumbers()
    for name in ("web", "book", "web", "web"):
        sources.note(name)
    write_shards(tmp_path, DOCUMENTS, vocab_size=14, shard_tokens=4, sources=sources)
    shards = TokenShards.open(tmp_path)
    assert shards.sources == ("web", "book")
    assert [shards.documents_of(name).tolist() for name in ("web", "book", "none")] == [[0, 2, 3], [1], []]
    assert lengths_by_source(shards) == {"web": {2: 1, 3: 1, 7: 1}, "book": {1: 1}}


def test_shards_from_before_sources_were_told_are_still_read(folder: Path) -> None:
    shards = TokenShards.open(folder)
    assert (shards.sources, shards.source_of) == ((), None)
    assert lengths_by_source(shards) == {"": {1: 1, 2: 1, 3: 1, 7: 1}}


def test_a_cut_source_file_is_damage(tmp_path: Path) -> None:
    sources = SourceNumbers()
    for _ in DOCUMENTS:
        sources.note("web")
    write_shards(tmp_path, DOCUMENTS, vocab_size=14, shard_tokens=4, sources=sources)
    (tmp_path / "sources.bin").write_bytes(b"\0\0")
    with pytest.raises(Damaged, match=r"sources\.bin.*has 2 bytes, not 8"):
        TokenShards.open(tmp_path)
