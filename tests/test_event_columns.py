"""Events in columns: the very same events, and never others, whatever became of the file."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest

from workbench import event_columns
from workbench.event_columns import Rows, columns_path
from workbench.events import EventReader, EventWriter
from workbench.history import HistoryReader

BLOCK = 16


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_columns, "BLOCK_EVENTS", BLOCK)
    monkeypatch.setattr("workbench.history.LINES_BYTES", 0)


def train(writer: EventWriter, first: int, steps: int) -> None:
    """What a worker says, and a few things that it should not."""
    chance = random.Random(first)
    for step in range(first, first + steps):
        loss: Any = math.nan if step % 23 == 0 else 2 + chance.random()
        more = {"data_wait_share": 0.1} if step % 7 == 0 else {}
        writer.write(
            "metric",
            stage="pretrain",
            step=step,
            loss=loss,
            tokens=step * 512,
            mfu=None,
            seconds=step / 4,
            **more,
        )
        if step % 3 == 0:
            done: Any = step * 512 if step % 5 else 0.5
            writer.write("stage_progress", stage="pretrain", done=done, total=2**40, unit="tokens")
        if step % 10 == 0:
            writer.write("metric", stage="pretrain", step=step, val_loss=2.5)
            writer.write(
                "note", stage="pretrain", text="é\ud800\x1b[31m", large=10**30, deep={"a": [1, None]}
            )


def ordered(events: list[Any]) -> list[Any]:
    """To be compared as text: types as well, for 1 is not 1.0."""
    return [sorted(event.items()) for event in sorted(events, key=lambda event: event["seq"])]


def lines(path: Path) -> list[Any]:
    reader, found = EventReader(path), []
    while events := reader.read_new():
        found += events
    return ordered(found)


def read(path: Path, *, limit_bytes: int = 1 << 24) -> tuple[list[Any], int]:
    """All events by way of the columns, and how many of them came as rows."""
    reader, found, rows = HistoryReader(path), [], 0
    while pieces := reader.read_new(limit_bytes=limit_bytes):
        for piece in pieces:
            rows += len(piece) if isinstance(piece, Rows) else 0
            found += piece.events() if isinstance(piece, Rows) else piece
    return ordered(found), rows


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A history of three workers, of whom two were killed: one of them within a line and a block."""
    path = tmp_path / "events.jsonl"
    train(EventWriter(path), 1, 70)
    with path.open("ab") as file:
        file.write(b'{"time":1,"kind":"met')
    with columns_path(path).open("ab") as file:
        file.write(b'{"version":1,"from":')
    train(EventWriter(path), 60, 50)
    writer = EventWriter(path)
    train(writer, 110, 45)
    writer.close()
    return path


def test_columns_say_what_the_lines_say(path: Path) -> None:
    told = lines(path)
    events, rows = read(path)
    assert repr(events) == repr(told)
    assert rows > len(told) / 2


@pytest.mark.parametrize("limit_bytes", [300, 1000])
def test_a_reader_that_began_elsewhere_meets_each_event_once(path: Path, limit_bytes: int) -> None:
    assert repr(read(path, limit_bytes=limit_bytes)[0]) == repr(lines(path))
    reader = HistoryReader(path)
    first = lines(path)[:5]
    reader.skip_to(sum(len(line) for line in path.read_bytes().splitlines(keepends=True)[:5]))
    found = [event for piece in iter(reader.read_new, []) for part in piece for event in _events(part)]
    assert len(found) == len(lines(path)) - len(first)


def _events(piece: Any) -> list[Any]:
    return list(piece.events()) if isinstance(piece, Rows) else piece


def test_a_short_rest_is_read_as_lines(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To find the blocks of a long run takes as long as to read some hundred kilobytes."""
    monkeypatch.setattr("workbench.history.LINES_BYTES", path.stat().st_size)
    events, rows = read(path)
    assert (repr(events), rows) == (repr(lines(path)), 0)


def test_columns_cut_anywhere_lose_nothing_and_the_next_worker_goes_on(path: Path) -> None:
    told, whole = lines(path), columns_path(path).read_bytes()
    for size in range(0, len(whole), 397):
        columns_path(path).write_bytes(whole[:size])
        assert repr(read(path)[0]) == repr(told)
    columns_path(path).write_bytes(whole[: len(whole) // 2])
    rows = read(path)[1]
    train(EventWriter(path), 200, 40)
    again, more = read(path)
    assert repr(again) == repr(lines(path)) and more > rows


def test_damaged_columns_are_passed_over(path: Path) -> None:
    told, whole = lines(path), bytearray(columns_path(path).read_bytes())
    for at in range(0, len(whole), 211):
        damaged = whole.copy()
        damaged[at] ^= 0x11
        columns_path(path).write_bytes(damaged)
        assert repr(read(path)[0]) == repr(told), at


def test_columns_of_other_events_are_none(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    columns_path(path).rename(columns_path(other))
    train(EventWriter(path), 300, 60)
    columns_path(path).write_bytes(columns_path(other).read_bytes())
    shortened = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(line.replace(b"pretrain", b"finetune") for line in shortened))
    assert {dict(event).get("stage") for event in read(path)[0]} == {"finetune"}
    path.write_bytes(b"".join(shortened[:7]))
    writer = EventWriter(path)
    writer.write("note", text="gone on")
    assert columns_path(path).stat().st_size == 0, "what is of events that are no more goes"
    assert len(read(path)[0]) == 8


def test_a_disk_that_takes_no_columns_takes_events(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    columns_path(path).mkdir()
    train(EventWriter(path), 1, 40)
    assert repr(read(path)[0]) == repr(lines(path))


def test_a_reader_meanwhile_sees_blocks_as_they_come(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    writer, reader = EventWriter(path), HistoryReader(path)
    found: list[Any] = []
    for step in range(0, 90, 9):
        train(writer, step, 9)
        found += [event for part in reader.read_new() for event in _events(part)]
    found += [event for piece in iter(reader.read_new, []) for part in piece for event in _events(part)]
    assert repr(ordered(found)) == repr(lines(path))
