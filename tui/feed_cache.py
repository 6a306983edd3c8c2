"""What a long history came to, kept in the home's cache: a run of a million steps opens at once.

    line 1   JSON: version, how much of events.jsonl is in it and what that ends with, facts, shape of the columns
    then     the columns, one after another, as this machine holds them

Nothing is lost with it: the feed reads events.jsonl again when the file is missing, damaged, or of another history.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tui.chart.series import FAN, Level, Series
from tui.chart.track import Broken, Mark, StageCurves, Track
from workbench.errors import WorkbenchError
from workbench.event_columns import checksum_before
from workbench.files import write_atomic
from workbench.runs import Run

VERSION = 6
_MOST_HEADER = 1 << 26


@dataclass(frozen=True, slots=True)
class Kept:
    """What was kept: the events up to byte `offset` are in it."""

    offset: int
    facts: dict[str, Any]
    curves: dict[str, StageCurves]


def path_of(run: Run) -> Path:
    """Where a run's curves are kept."""
    return run.home / "cache" / "curves" / f"{run.name}.bin"


def keep(run: Run, offset: int, facts: Mapping[str, Any], curves: Mapping[str, StageCurves]) -> None:
    """Keep it; where the home takes no file, or a name cannot be one, nothing is kept."""
    shapes, columns = {}, []
    for name, stage in curves.items():
        shapes[name], arrays = _shape(stage)
        columns += arrays
    header = {
        "version": VERSION,
        "byteorder": sys.byteorder,
        "offset": offset,
        "tail": checksum_before(run.events_path, offset),
        "facts": facts,
        "curves": shapes,
    }
    try:
        content = io.BytesIO()
        content.write(json.dumps(header).encode() + b"\n")
        for column in columns:
            content.write(memoryview(column).cast("B"))
        path = path_of(run)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, content.getvalue(), durable=False)
    except (OSError, WorkbenchError, TypeError, ValueError):
        return


def load(run: Run) -> Kept | None:
    """What was kept of this very history; None where there is nothing of use."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, EOFError, AttributeError):
        with path_of(run).open("rb") as file:
            header = json.loads(file.readline(_MOST_HEADER))
            if (header["version"], header["byteorder"]) != (VERSION, sys.byteorder):
                return None
            if header["tail"] != checksum_before(run.events_path, header["offset"]):
                return None
            curves = {name: _read_stage(shape, file) for name, shape in header["curves"].items()}
        return Kept(header["offset"], header["facts"], curves)
    return None


def _shape(stage: StageCurves) -> tuple[dict[str, Any], list[array[Any]]]:
    tracks = []
    columns: list[array[Any]] = []
    for track in (stage.training, stage.measured):
        rows = len(track.steps)
        tracks.append(
            {
                "rows": rows,
                "metrics": {name: len(series) for name, series in track.metrics.items()},
                "broken": track.broken,
            }
        )
        columns += [track.steps, track.tokens, track.seconds]
        for series in track.metrics.values():
            columns.append(series.raw)
            columns += [each for level in series.levels for each in (level.low, level.high, level.mean)]
    marks = [[mark.step, mark.kind] for mark in stage.marks]
    return {"tracks": tracks, "marks": marks, "flops_per_token": stage.flops_per_token}, columns


def _read_stage(shape: Mapping[str, Any], file: Any) -> StageCurves:
    stage = StageCurves(flops_per_token=shape["flops_per_token"])
    stage.marks = [Mark(step, kind) for step, kind in shape["marks"]]
    for track, told in zip((stage.training, stage.measured), shape["tracks"], strict=True):
        _read_track(track, told, file)
    return stage


def _read_track(track: Track, told: Mapping[str, Any], file: Any) -> None:
    track.steps, track.tokens, track.seconds = (
        _column(column.typecode, told["rows"], file) for column in (track.steps, track.tokens, track.seconds)
    )
    track.broken = {name: Broken(*steps) for name, steps in told["broken"].items()}
    for name, rows in told["metrics"].items():
        series = track.metrics[name] = Series()
        series.raw = _column("f", rows, file)
        series.levels = [Level(*(_column("f", size, file) for _ in range(3))) for size in _level_sizes(rows)]


def _column(kind: str, rows: int, file: Any) -> array[Any]:
    """So many numbers from a file, read into their place: `array.fromfile` copies them once more."""
    column = array(kind, [0]) * rows
    if file.readinto(column) != rows * column.itemsize:
        raise EOFError
    return column


def _level_sizes(rows: int) -> Iterator[int]:
    while rows := rows // FAN:
        yield rows
