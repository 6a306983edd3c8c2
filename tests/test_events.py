from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from workbench.errors import NoSpace
from workbench.events import EventReader, EventWriter, read_events


def test_written_events_are_read_once_each(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    writer, reader = EventWriter(path), EventReader(path)
    writer.write("note", text="a")
    assert [event["text"] for event in reader.read_new()] == ["a"]
    assert reader.read_new() == []
    writer.write("note", text="b")
    assert [event["text"] for event in reader.read_new()] == ["b"]


def test_a_line_torn_anywhere_is_not_yet(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    writer = EventWriter(path)
    writer.write("note", text="whole")
    start = path.stat().st_size
    writer.write("metric", step=1, loss=2.5)
    data = path.read_bytes()
    for cut in range(start, len(data)):
        path.write_bytes(data[:cut])
        assert [event["kind"] for event in read_events(path)] == ["note"]


def test_a_new_writer_cuts_the_torn_tail_and_goes_on_counting(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    writer = EventWriter(path)
    writer.write("note", text="one")
    writer.close()
    with open(path, "ab") as file:
        file.write(b'{"kind": "note", "te')
    EventWriter(path).write("note", text="two")
    events = list(read_events(path))
    assert [(event["seq"], event["text"]) for event in events] == [(0, "one"), (1, "two")]


def test_garbage_lines_are_stepped_over(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(
        b"\xff\xfe\n[]\n{}\n" + b"[" * 100_000 + b"\n" + json.dumps({"kind": "note"}).encode() + b"\n"
    )
    assert [event["kind"] for event in read_events(path)] == ["note"]


def test_numbers_json_cannot_hold_become_words(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    EventWriter(path).write("metric", loss=float("nan"), grad_norm=float("inf"))
    event = json.loads(path.read_text())
    assert (event["loss"], event["grad_norm"]) == ("nan", "inf")


def test_a_full_disk_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "events.jsonl"
    writer = EventWriter(path)
    writer.write("note", text="whole")
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:10]))
    with pytest.raises(NoSpace):
        writer.write("note", text="torn")
    assert [event["text"] for event in read_events(path)] == ["whole"]


def test_the_kinds_are_closed(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        EventWriter(tmp_path / "e").write("rumour")
