"""One chart as rows of characters: title, canvas with its y axis, marks and x axis. Knows no widget."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from tui.chart.canvas import BRAILLE, Canvas, Charset
from tui.chart.dots import SMOOTHINGS, Window, parts_of, rows_of, smoothed
from tui.chart.scale import (
    full_range,
    labels_of,
    log_ticks,
    robust_range,
    round_up,
    short,
    snapped,
    still_fits,
    ticks,
    trimmed_range,
    x_label,
)
from tui.chart.series import NAN, Part, Series
from tui.chart.track import PHASES, StageCurves

Row = tuple[str, str]
"""Text, and one letter a cell: its style (see STYLES)."""

RUN_GLYPHS = "●▲■◆○△"
STYLES = {
    "t": "$dim", "v": "$foreground bold", "x": "$faint", "b": "$faint", "l": "$primary bold", "m": "$warning bold",
    "e": "$error bold", "c": "$secondary", "k": "$dim",
    **{str(run): f"$run-{run} bold" for run, _ in enumerate(RUN_GLYPHS)},
}  # fmt: skip
"""Title, value, axis, band of raw values, smoothed line, what was measured, what is broken, cursor, marks; runs."""
MARK_GLYPHS = {
    "checkpoint": "▵", "evaluation": "◆", "resume": "↻", "rollback": "↶", "warmup": "╭", "decay": "╮",
}  # fmt: skip
ASCII_GLYPHS = str.maketrans("●▲■◆○△▵↻↶╭╮┤│└─┬✗▲▼·…", "o^#+0AcRr/\\||`-+x^v..", "")
MOST_SHIFTED = 6
"""Cells that the mark of a phase may stand beside its step: labels take at most five, and it is rare news."""

LEAST_WIDTH, LEAST_HEIGHT = 20, 4


@dataclass(frozen=True, slots=True)
class Line:
    """One metric of one run. `label` names the run where there are several."""

    curves: StageCurves
    metric: str
    measured: str = ""
    """The same thing on held-out data, drawn as points."""
    label: str = ""
    number: int = 0
    """Its place among the runs, which its glyph and colour tell: the same in every chart, whoever is missing there."""

    @property
    def is_planned(self) -> bool:
        """Whether it follows a plan and has no noise to smooth away."""
        return self.metric == "learning_rate"

    @property
    def falls(self) -> bool:
        """Whether most of it falls at once, so that the later part is what is to be seen."""
        return "loss" in self.metric or self.metric == "nll"


@dataclass(frozen=True, slots=True)
class View:
    """How charts that stand together are looked at."""

    axis: str = "step"
    smoothing: int = 2
    full: bool = False
    log: bool = False
    window: tuple[float, float] | None = None
    """The stretch of x that is shown; None is all, growing."""
    cursor: float | None = None
    charset: Charset = BRAILLE

    def over(self, lines: Sequence[Line]) -> tuple[float, float]:
        """The stretch of x to draw."""
        if self.window is not None:
            return self.window
        return 0.0, round_up(max((line.curves.end(self.axis) for line in lines), default=1.0) or 1.0)


@dataclass(slots=True)
class Held:
    """What a chart keeps from one picture to the next, so that its axis stands still."""

    range: tuple[float, float] | None = None
    key: object = None
    gutter: int = 5
    """The width of the labels beside the canvas."""
    parts: WeakKeyDictionary[Series, tuple[str, tuple[int, ...], list[Part | None]]] = field(
        default_factory=WeakKeyDictionary
    )
    """By series: the axis it was drawn over last, where its dots began then, and what they came to."""


@dataclass(slots=True)
class _Drawn:
    """A line on the dots of the window."""

    line: Line
    parts: list[Part | None]
    averages: list[float | None]
    points: list[tuple[float, float]] = field(default_factory=list)
    gaps: Sequence[int] = ()
    """Dots whose rows are all no numbers: the line is not drawn through them."""


def picture(
    title: str,
    lines: Sequence[Line],
    view: View,
    *,
    width: int,
    height: int,
    held: Held,
    focused: bool = False,
) -> list[Row]:
    """`height` rows of `width` cells."""
    if width < LEAST_WIDTH or height < LEAST_HEIGHT:
        return [_filled(_title(title, [], view, focused, width), width)]
    most_ticks = max(2, (height - 2) // 3)
    axis_before, again = (held.key, held.range), False
    while True:  # what room the labels take is known only when they are: then all is laid out for that
        window = Window(*view.over(lines), (width - held.gutter - 1) * view.charset.wide)
        drawn = [_on_dots(line, view, window, held) for line in lines]
        seen = [d for d in drawn if any(part is not None for part in d.parts) or d.points]
        if not seen:
            return [_filled(_title(title, drawn, view, focused, width), width)]
        low, high = _range(title, seen, view, held)
        scale = math.log10 if view.log and low > 0 else float
        y_ticks = (ticks if scale is float else log_ticks)(low, high, most_ticks)
        labels = labels_of(y_ticks)
        gutter = max([len(label) for label in labels] + [held.gutter] * again, default=0)
        if gutter == held.gutter:
            break
        held.gutter, again = gutter, True
        held.key, held.range = axis_before  # of this picture nobody sees anything
    canvas = Canvas(width - gutter - 1, height - 2, view.charset)
    low_y, span = scale(low), scale(high) - scale(low)

    def place(value: float) -> float:
        return (scale(max(value, low if scale is not float else value)) - low_y) / span

    for one in seen:
        _paint(canvas, one, window, place, str(one.line.number) if len(lines) > 1 else "l")
    for one in seen:
        _paint_broken(canvas, one.line, window, view)
    if view.cursor is not None:
        x = window.dot(view.cursor) // view.charset.wide
        for y in range(canvas.height):
            canvas.put_if_empty(x, y, "│", "c")
    at_row = {canvas.row_of(place(tick)): label for tick, label in zip(y_ticks, labels, strict=True)}
    rows = [_title(title, drawn, view, focused, width)]
    for y, (text, styles) in enumerate(canvas.rows()):
        label = at_row.get(y, "")
        rows.append((f"{label:>{gutter}}{'┤' if label else '│'}{text}", "t" * gutter + "x" + styles))
    rows.append(_x_row(seen, window, view, canvas.width, gutter))
    return [_filled(_plain(row, view.charset), width) for row in rows]


def _on_dots(line: Line, view: View, window: Window, held: Held) -> _Drawn:
    curves = line.curves
    column, factor = curves.column(curves.training, view.axis)
    series = curves.training.metrics.get(line.metric)
    parts: list[Part | None] = []
    if series is not None and len(series) and factor:
        rows = rows_of(window, column, factor)
        axis, before, known = held.parts.get(series, ("", (), []))
        same = next(
            (i for i, (a, b) in enumerate(zip(before, rows.bounds, strict=False)) if a != b), len(before)
        )
        parts = parts_of(
            series,
            rows,
            known=known[: max(same - 1, 0)] if axis == view.axis and len(before) == len(rows.bounds) else (),
        )
        held.parts[series] = view.axis, rows.bounds, parts
    drawn = _Drawn(line, parts, smoothed(parts, 0.0 if line.is_planned else SMOOTHINGS[view.smoothing]))
    if parts and (steps := curves.training.broken.get(line.metric)) is not None:
        first, last = (window.dot(curves.x_of(step, view.axis)) for step in (steps.first, steps.last))
        drawn.gaps = [
            dot
            for dot in range(max(first, 0), min(last + 1, len(parts)))
            if parts[dot] is None and rows.bounds[dot] < rows.bounds[dot + 1]
        ]
    column, factor = curves.column(curves.measured, view.axis)
    held_out = curves.measured.metrics.get(line.measured)
    if held_out is not None:
        values = zip(column, held_out.raw, strict=False)
        drawn.points = [
            (x * factor, y) for x, y in values if y == y and window.start <= x * factor <= window.end
        ]
    return drawn


def _range(title: str, seen: Sequence[_Drawn], view: View, held: Held) -> tuple[float, float]:
    key = (title, view.full, view.log, view.window, view.smoothing, view.axis, len(seen))
    values = [value for one in seen for value in one.averages if value is not None]
    points = [y for one in seen for _, y in one.points]
    if view.full:
        values += [edge for one in seen for part in one.parts if part for edge in (part.low, part.high)]
    if view.log and min([*values, *points]) > 0:
        logs = [math.log10(value) for value in [*values, *points]]
        low, high = full_range(logs) if view.full else (min(logs), max(logs))
        room = max(0.02, (high - low) * 0.04)
        return 10 ** (low - room), 10 ** (high + room)
    if view.full or not values:
        wanted = full_range([*values, *points])
    else:
        wanted = _joined([_robust(one) for one in seen])
        late = points[-max(1, len(points) // 2) :]  # what was measured late is to be seen
        wanted = min(wanted[0], *late) if late else wanted[0], max(wanted[1], *late) if late else wanted[1]
    if held.key != key or not still_fits(held.range, wanted):
        held.key, held.range = key, snapped(*wanted)
    assert held.range is not None
    return held.range


def _robust(one: _Drawn) -> tuple[float, float]:
    values = [value for value in one.averages if value is not None] or [y for _, y in one.points]
    if one.line.is_planned:
        return full_range(values)
    return robust_range(values) if one.line.falls else trimmed_range(values)


def _joined(ranges: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def _paint(canvas: Canvas, one: _Drawn, window: Window, place: Callable[[float], float], style: str) -> None:
    parts, alone = one.parts, style == "l"
    if alone:
        band = {
            dot: (min(max(place(part.low), 0.0), 1.0), min(max(place(part.high), 0.0), 1.0))
            for dot, part in enumerate(parts)
            if part is not None and place(part.high) >= 0 and place(part.low) <= 1
        }
        canvas.fill(band, "b", faint=True)
    places = {dot: place(value) for dot, value in enumerate(one.averages) if value is not None}
    if not parts:  # only ever measured now and then: its points are the line
        last_dot = canvas.dots_wide - 1
        places = {min(max(window.dot(x), 0), last_dot): place(value) for x, value in one.points}
    inside = {dot: min(max(y, 0.0), 1.0) for dot, y in places.items() if -0.02 <= y <= 1.02}
    for stretch in _stretches(inside, sorted([*places, *one.gaps])):
        canvas.line(stretch, style)
    wide = canvas.charset.wide
    _paint_clipped(canvas, one, places, place, style)
    if alone and len(one.points) > canvas.width // 6:  # too many to tell apart: a line, and the newest
        points = {min(max(window.dot(x), 0), canvas.dots_wide - 1): place(value) for x, value in one.points}
        canvas.line({dot: y for dot, y in points.items() if -0.02 <= y <= 1.02}, "m", dash=3)
    for x, value in one.points if len(one.points) <= canvas.width // 6 else one.points[-1:]:
        y = place(value)
        if -0.02 <= y <= 1.02:
            cell = min(max(window.dot(x), 0) // wide, canvas.width - 1)
            canvas.put(cell, canvas.row_of(min(max(y, 0), 1)), "◆" if alone else "·", "m" if alone else style)
    if not alone and inside:
        dots = sorted(inside)
        # At the end, and once on the way, each run at a place of its own: lines are told apart without colour.
        for dot in (dots[len(dots) * (int(style) + 1) // (len(RUN_GLYPHS) + 2)], dots[-1]):
            canvas.put(dot // wide, canvas.row_of(inside[dot]), RUN_GLYPHS[int(style)], style)


def _paint_clipped(
    canvas: Canvas, one: _Drawn, places: dict[int, float], place: Callable[[float], float], style: str
) -> None:
    """A sign where the line leaves the picture, and one over each value that stands far above it."""
    wide = canvas.charset.wide
    dots = list(places)
    for index, dot in enumerate(dots):
        y, after = places[dot], places[dots[index + 1]] if index + 1 < len(dots) else None
        part = one.parts[dot] if one.parts else None
        if y > 1.02 and (after is None or after <= 1.02):
            canvas.put(dot // wide, 0, "^", style)
        elif y < -0.02 and (after is None or after >= -0.02):
            canvas.put(dot // wide, canvas.height - 1, "v", style)
        elif style == "l" and y <= 1.02 and part is not None and place(part.high) > 2.0:
            canvas.put(dot // wide, 0, "^", "m")


def _stretches(inside: dict[int, float], dots: Sequence[int]) -> list[dict[int, float]]:
    """The line in pieces: it is not drawn through where it leaves the picture, nor where it was no number."""
    pieces: list[dict[int, float]] = [{}]
    for dot in dots:
        if dot in inside:
            pieces[-1][dot] = inside[dot]
        elif pieces[-1]:
            pieces.append({})
    return [piece for piece in pieces if piece]


def _paint_broken(canvas: Canvas, line: Line, window: Window, view: View) -> None:
    for name in (line.metric, line.measured):
        for track in (line.curves.training, line.curves.measured):
            steps = track.broken.get(name)
            if steps is None or (line.measured == name) != (track is line.curves.measured):
                continue
            for step in {steps.first, steps.last}:
                dot = window.dot(line.curves.x_of(step, view.axis))
                if not 0 <= dot <= window.dots:
                    continue
                x = min(dot // view.charset.wide, canvas.width - 1)
                for y in range(canvas.height):
                    canvas.put_if_empty(x, y, "│", "e")
                canvas.put(x, canvas.height - 1, "✗", "e")


def _title(title: str, drawn: Sequence[_Drawn], view: View, focused: bool, width: int) -> Row:
    parts: list[tuple[str, str]] = [(f"{'▸' if focused else ' '}{title} ", "v" if focused else "t")]
    named = len(title) + sum(len(one.line.label) + 10 for one in drawn) <= width  # else the glyphs must do
    for one in drawn:
        value = _value_at(one, view)
        if len(drawn) > 1:
            label = f"{one.line.label} " if named and one.line.label else ""
            parts.append((f" {RUN_GLYPHS[one.line.number]} {label}", str(one.line.number)))
        parts.append((short(value) if value is not None else "–", "v"))
        if len(drawn) == 1 and one.line.measured and (measured := _measured_at(one, view)) is not None:
            parts += [("  ◆ ", "m"), (short(measured), "t")]
            parts += [(" held-out", "t")] if width >= 60 else []
        for name, track in (
            (one.line.metric, one.line.curves.training),
            (one.line.measured, one.line.curves.measured),
        ):
            if name in track.broken:
                parts.append((f"  ✗ not a number {track.broken[name]}", "e"))
    if view.cursor is not None and drawn:
        parts.append((f"  at {x_label(view.cursor, view.axis)}", "c"))
    if focused:
        shown = ["log"] if view.log else []
        shown += ["all"] if view.full else []
        shown += [f"by {view.axis}"] if view.axis != "step" else []
        shown += ["zoomed"] if view.window else []
        shown += [f"s={SMOOTHINGS[view.smoothing]:g}" if view.smoothing else "every step"]
        parts += [(f"  {word}", "t") for word in shown]
    while sum(len(text) for text, _ in parts) > width and len(parts) > 2:
        parts.pop()  # whole or not at all: half a word tells nothing
    return "".join(text for text, _ in parts), "".join(style * len(text) for text, style in parts)


def _value_at(one: _Drawn, view: View) -> float | None:
    curves, metric = one.line.curves, one.line.metric
    series = curves.training.metrics.get(metric)
    if series is None or not len(series):
        return _measured_at(one, view) if len(one.points) and one.line.label else None
    if view.cursor is None:
        return next((value for value in reversed(one.averages) if value is not None), None)
    column, factor = curves.column(curves.training, view.axis)
    row = bisect_left(column, view.cursor / factor if factor else 0)
    row = min(row, len(series) - 1)
    part = series.part(row, row + 1, level=0)
    return part.mean if part else NAN


def _measured_at(one: _Drawn, view: View) -> float | None:
    points = one.points
    if not points:
        return None
    if view.cursor is None:
        return points[-1][1]
    cursor = view.cursor
    return min(points, key=lambda point: abs(point[0] - cursor))[1]


def _x_row(seen: Sequence[_Drawn], window: Window, view: View, width: int, gutter: int) -> Row:
    """Labels under the canvas, each beginning at its place; between them the marks of what happened."""
    text, styles = [" "] * width, ["t"] * width
    for tick in ticks(window.start, window.end, max(2, width // 14)):
        label = x_label(tick, view.axis)
        cell = round((tick - window.start) / (window.end - window.start) * (width - 1))
        cell = min(cell, width - len(label))
        if cell >= 0 and all(c == " " for c in text[max(0, cell - 2) : cell + len(label) + 1]):
            text[cell : cell + len(label)] = label
    if len({id(one.line.curves) for one in seen}) == 1:  # of one training
        _put_marks(seen[0].line.curves, window, view, text, styles)
    return " " * gutter + "└" + "".join(text), "t" * gutter + "x" + "".join(styles)


def _put_marks(curves: StageCurves, window: Window, view: View, text: list[str], styles: list[str]) -> None:
    """The rarer news first: a resume begins at a checkpoint."""
    for kind in ("rollback", "resume"):
        _put_kind(kind, curves, window, view, text, styles)
    _put_phases(curves, window, view, text, styles)
    _put_kind("checkpoint", curves, window, view, text, styles)


def _put_kind(
    kind: str, curves: StageCurves, window: Window, view: View, text: list[str], styles: list[str]
) -> None:
    width = len(text)
    cells = {
        window.dot(curves.x_of(mark.step, view.axis)) // view.charset.wide
        for mark in curves.marks
        if mark.kind == kind
    }
    inside = [cell for cell in sorted(cells) if 0 <= cell < width]
    if kind == "checkpoint" and len(inside) > width // 8:
        inside = inside[-1:]  # one every few seconds says nothing but the newest
    for cell in inside:
        if text[cell] == " ":
            text[cell], styles[cell] = MARK_GLYPHS[kind], "k"


def _put_phases(curves: StageCurves, window: Window, view: View, text: list[str], styles: list[str]) -> None:
    """Where the learning rate turned, as far as the training has come: in the free cell that is nearest to it.

    Both may be one step, and they begin at round ones, where labels stand.
    """
    newest = curves.training.steps[-1] if len(curves.training) else 0
    behind = 0  # what comes later stands later
    for kind in PHASES:
        for mark in curves.marks:
            if mark.kind != kind or mark.step > newest:
                continue
            cell = window.dot(curves.x_of(mark.step, view.axis)) // view.charset.wide
            if not 0 <= cell < len(text):
                continue
            near = range(max(behind, cell - MOST_SHIFTED), min(len(text), cell + MOST_SHIFTED + 1))
            free = [each for each in near if text[each] == " "]
            if free:
                at = min(free, key=lambda each: (abs(each - cell), each < cell))
                text[at], styles[at], behind = MARK_GLYPHS[kind], "k", at + 1


def _filled(row: Row, width: int) -> Row:
    text, styles = row
    return text[:width].ljust(width), styles[:width].ljust(width)


def _plain(row: Row, charset: Charset) -> Row:
    return (row[0].translate(ASCII_GLYPHS), row[1]) if charset.name == "ascii" else row
