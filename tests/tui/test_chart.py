"""Charts without a terminal: series, tracks, dots, scales, cells. What is drawn is what was measured."""

from __future__ import annotations

import math
import re
from array import array
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.chart.canvas import ASCII, BLOCK, BRAILLE, Canvas, Charset
from tui.chart.dots import Window, parts_of, rows_of, smoothed
from tui.chart.picture import MARK_GLYPHS, Held, Line, View, picture
from tui.chart.scale import (
    full_range,
    labels_of,
    log_ticks,
    robust_range,
    round_up,
    snapped,
    ticks,
    trimmed_range,
)
from tui.chart.series import Part, Series
from tui.chart.track import Broken, StageCurves, Track
from tui.gauges import TRAINING

values = st.floats(-1e6, 1e6, allow_nan=False, width=32)


def series_of(numbers: list[float]) -> Series:
    series = Series()
    for number in numbers:
        series.append(number)
    return series


@given(st.lists(values | st.just(math.nan), min_size=1, max_size=700), st.data())
def test_a_part_is_what_its_rows_come_to(numbers: list[float], data: st.DataObject) -> None:
    level = data.draw(st.integers(0, 2))
    first = data.draw(st.integers(0, len(numbers) - 1)) // 16**level * 16**level
    end = data.draw(st.integers(first + 1, len(numbers)))
    part = series_of(numbers).part(first, end, level=level)
    there = [number for number in numbers[first:end] if number == number]
    if not there:
        assert part is None
    else:
        assert part is not None and (part.low, part.high) == (min(there), max(there))
        if len(there) == end - first:
            assert part.mean == pytest.approx(math.fsum(there) / len(there), rel=1e-5, abs=1.0)


def test_a_copy_that_was_cut_goes_on_like_one_that_never_had_more() -> None:
    long, short = (
        series_of([float(i % 97) for i in range(5000)]),
        series_of([float(i % 97) for i in range(3000)]),
    )
    copy = long.cut(3000)
    for series in (copy, short):
        for number in range(600):
            series.append(float(number))
    assert copy.raw == short.raw and copy.levels == short.levels and len(long) == 5000


def test_what_float32_cannot_hold_is_no_number() -> None:
    assert series_of([1e39, 1.0]).part(0, 2) == Part(1.0, 1.0, 1.0, 1) or math.isnan(series_of([1e39]).raw[0])


def curves_of(losses: list[float], *, tokens: int = 100) -> StageCurves:
    curves = StageCurves(flops_per_token=6.0)
    for step, loss in enumerate(losses, start=1):
        curves.training.add(step, step * tokens, step * 0.5, {"loss": loss})
    return curves


def test_a_step_seen_again_replaces_what_came_after_it() -> None:
    track = curves_of([1.0] * 10).training
    before = track.metrics["loss"]
    track.add(6, 600, 3.0, {"loss": 9.0})
    assert list(track.steps) == [1, 2, 3, 4, 5, 6] and track.metrics["loss"].raw[-1] == 9.0
    assert len(before) == 10  # whoever draws it now is not disturbed


def test_a_metric_that_comes_late_has_no_values_before() -> None:
    track = Track()
    for step in (1, 2, 3):
        track.add(step, 0, 0, {"loss": 1.0, **({"kl": 0.5} if step == 3 else {})})
    assert math.isnan(track.metrics["kl"].raw[1]) and track.metrics["kl"].raw[2] == 0.5


def test_not_a_number_is_remembered_and_hostile_names_are_not_metrics() -> None:
    track = Track()
    track.add(7, 0, 0, {"loss": math.nan, "[/b]\x1b": 1.0})
    assert track.broken == {"loss": Broken(7, 7, 1)} and list(track.metrics) == ["loss"]


def test_every_axis_has_its_x_and_none_that_is_not_known() -> None:
    curves = curves_of([1.0] * 4)
    assert [curves.end(axis) for axis in curves.axes()] == [4, 400, 2.0, 2400]
    assert curves.x_of(2, "flops") == 1200
    bare = StageCurves()
    bare.training.add(1, 0, 0, {"loss": 1.0})
    assert bare.axes() == ("step",)


def test_rows_never_change_behind_the_newest_one() -> None:
    curves = curves_of([float(i % 13) for i in range(5000)])
    window = Window(0, 8000, 120)
    before = rows_of(window, curves.training.steps)
    for step in range(5001, 5100):
        curves.training.add(step, step * 100, step * 0.5, {"loss": 1.0})
    after = rows_of(window, curves.training.steps)
    dot = window.dot(5000)
    assert before.bounds[:dot] == after.bounds[:dot] and before.level == after.level
    series = curves.training.metrics["loss"]
    known = parts_of(series, before)
    assert parts_of(series, after, known=known[: dot - 1]) == parts_of(series, after)


def test_smoothing_has_no_pull_to_zero_and_no_effect_at_zero() -> None:
    parts = [Part(value, value, value, 1) for value in [5.0] * 25 + [3.0] * 25]
    assert smoothed(parts, 0.98)[0] == pytest.approx(5.0)
    assert smoothed(parts, 0.0) == [part.mean for part in parts]
    assert smoothed([parts[0], None, parts[0]], 0.9)[1] is None


def test_a_dot_of_many_rows_counts_as_its_rows() -> None:
    numbers = [2.0 + math.exp(-step / 50) for step in range(400)]
    fine = smoothed([Part(value, value, value, 1) for value in numbers], 0.9)[-1]
    series = series_of(numbers)
    coarse = smoothed([series.part(row, row + 8) for row in range(0, 400, 8)], 0.9)[-1]
    assert fine is not None and coarse == pytest.approx(fine, abs=0.01)


def test_the_range_gives_the_later_half_at_least_60_percent_of_the_height() -> None:
    losses = [2.6 + 9.4 * math.exp(-step / 200) for step in range(1000)]
    low, high = snapped(*robust_range(losses))
    late = losses[500:]
    assert (max(late) - min(late)) / (high - low) >= 0.55 and low <= min(late) and high >= max(late) * 0.99


def test_one_spike_does_not_take_the_height() -> None:
    norms = [0.4 + 0.05 * math.sin(step) for step in range(1000)]
    norms[500] = 40.0
    assert trimmed_range(norms)[1] < 1.0


def test_a_loss_that_wavers_by_a_percent_does_not_fill_the_height() -> None:
    losses = [3.30 + 0.03 * math.cos(step) for step in range(400)]
    for chosen in (full_range, robust_range):
        low, high = snapped(*chosen(losses))
        assert (max(losses) - min(losses)) / (high - low) < 0.55


def test_a_flat_curve_has_a_range() -> None:
    for chosen in (full_range, robust_range, trimmed_range):
        low, high = chosen([2.0, 2.0])
        assert low < 2.0 < high


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.integers(1, 12))
def test_ticks_are_few_round_and_inside(low: float, width: float, most: int) -> None:
    found = ticks(low, low + width, most)
    assert len(found) <= most + 1
    slack = 1e-6 * max(1.0, abs(low), width)
    assert all(low - slack <= tick <= low + width + slack for tick in found)
    assert len(labels_of(found)) == len(found)


def test_ticks_of_usual_ranges() -> None:
    assert ticks(2.0, 4.0, 4) == [2.0, 3.0, 4.0]
    assert ticks(1.0, 1.0, 4) == []
    assert ticks(0.0, 400.0, 2) == [0.0, 200.0, 400.0], "a single one would not say how far things are apart"
    assert ticks(0.0, 200.0, 2) == [0.0, 200.0]
    assert log_ticks(0.01, 10, 10) == pytest.approx([0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10])
    assert labels_of([0.0, 0.0005, 0.001]) == ["0", "0.0005", "0.001"]


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_snapped_limits_hold_the_range_and_little_more(low: float, width: float) -> None:
    high = low + width
    snapped_low, snapped_high = snapped(low, high)
    slack = 1e-6 * max(1.0, abs(low), width)
    assert snapped_low <= low + slack and snapped_high >= high - slack
    assert snapped_high - snapped_low <= 1.6 * width + slack


@pytest.mark.parametrize(
    ("step", "end"), [(1, 10), (11, 15), (99, 100), (400, 400), (401, 500), (20_014, 25_000), (2.7e10, 3e10)]
)
def test_the_axis_ends_at_a_round_place(step: float, end: float) -> None:
    assert round_up(step) == pytest.approx(end)


@pytest.mark.parametrize("charset", [BRAILLE, BLOCK, ASCII], ids=lambda charset: charset.name)
def test_a_line_is_joined_and_a_cell_shows_its_last_layer(charset: Charset) -> None:
    canvas = Canvas(10, 4, charset)
    canvas.fill(dict.fromkeys(range(canvas.dots_wide), (0.0, 1.0)), "b", faint=True)
    canvas.line({0: 0.0, canvas.dots_wide - 1: 1.0}, "l")
    rows = canvas.rows()
    assert all(len(text) == 10 and len(styles) == 10 for text, styles in rows)
    for column in range(10):
        assert any(styles[column] == "l" for _, styles in rows)
    assert any("b" in styles for _, styles in rows)


def test_braille_bits_are_where_the_eye_sees_them() -> None:
    canvas = Canvas(1, 1)
    canvas.line({0: 0.0, 1: 1.0}, "l")
    text, _ = canvas.rows()[0]
    assert ord(text) - 0x2800 & (64 | 8) == 64 | 8  # lower left, upper right


def drawn(curves: StageCurves, view: View | None = None, *, width: int = 70, height: int = 12) -> str:
    line = Line(curves, "loss", "val_loss")
    rows = picture("loss", [line], view or View(), width=width, height=height, held=Held())
    assert all(len(text) == width and len(styles) == width for text, styles in rows)
    return "\n".join(text for text, _ in rows)


def falling(steps: int = 400) -> list[float]:
    return [2.0 + 6 * math.exp(-step / 60) + 0.1 * math.sin(step * 13) for step in range(steps)]


def test_news_costs_few_cells() -> None:
    curves, held = curves_of(falling(401)), Held()
    line = Line(curves, "loss")
    size = {"width": 70, "height": 12}
    before = picture("loss", [line], View(), **size, held=held)  # type: ignore[arg-type]
    curves.training.add(402, 40_200, 201, {"loss": 2.0})
    after = picture("loss", [line], View(), **size, held=held)  # type: ignore[arg-type]
    cells = [(a, b) for old, new in zip(before, after, strict=True) for a, b in zip(old, new, strict=True)]
    assert 0 < sum(x != y for old, new in cells for x, y in zip(old, new, strict=True)) < 20


@pytest.mark.parametrize("charset", [BRAILLE, BLOCK, ASCII])
@pytest.mark.parametrize("scale", [1.0, 3e-4, 12_345.0])
def test_a_picture_does_not_hang_on_the_one_before(charset: Charset, scale: float) -> None:
    """The labels' room is known only when the first one is drawn; its figures are those of every later one."""
    view, held = View(charset=charset), Held()
    line = Line(curves_of([scale * loss for loss in falling(401)]), "loss")
    first = picture("loss", [line], view, width=40, height=11, held=held)
    assert first == picture("loss", [line], view, width=40, height=11, held=held)
    assert first == picture("loss", [line], view, width=40, height=11, held=Held(gutter=held.gutter))


def test_a_curve_in_the_memory_of_another_is_another() -> None:
    held = Held()
    for last in range(40):
        lines = [Line(curves_of([*falling(20), float(last)]), "loss")]
        shown = picture("loss", lines, View(smoothing=0), width=40, height=11, held=held)
        assert float(shown[0][0].split()[1]) == last
        del lines


def test_not_a_number_is_shown_where_it_happened_and_leaves_the_axis_alone() -> None:
    losses = falling()
    whole = drawn(curves_of(losses))
    losses[299] = math.nan
    shown = drawn(curves_of(losses))
    assert "✗ not a number at step 300" in shown
    marked = [line.index("✗") for line in shown.splitlines()[1:] if "✗" in line]
    assert marked and marked[0] == pytest.approx(70 * 0.75, abs=3)
    labels = [[line[:4] for line in text.splitlines()[1:]] for text in (whole, shown)]
    assert labels[0] == labels[1]


@pytest.mark.parametrize("smoothing", [0, 2])
def test_no_line_is_drawn_through_what_was_no_number(smoothing: int) -> None:
    losses = [2.0] * 400
    losses[120:280] = [math.nan] * 160
    shown = drawn(curves_of(losses), View(smoothing=smoothing, charset=ASCII), width=60)
    assert "not a number at 160 steps, 121 to 280" in shown
    line = next(row for row in shown.splitlines() if "*" in row).partition("|")[2]
    assert re.fullmatch(r"\*{16,18} {20,22}\*{16,18} *", line), line


def test_a_metric_that_is_told_now_and_then_is_joined() -> None:
    curves = StageCurves()
    for step in range(1, 401):
        values = {"loss": 2.0} | ({"rare": 3.0} if step % 40 == 0 else {})
        curves.training.add(step, step * 10.0, step * 0.1, values)
    rows = picture("x", [Line(curves, "rare")], View(charset=ASCII), width=60, height=10, held=Held())
    assert len({at for text, _ in rows[1:] for at, cell in enumerate(text) if cell == "*"}) > 40


def test_a_curve_of_nothing_but_nan_is_no_crash() -> None:
    assert "loss" in drawn(curves_of([math.nan] * 50))


@pytest.mark.parametrize("axis", ["step", "tokens", "time", "flops"])
@pytest.mark.parametrize("log", [False, True])
def test_every_axis_and_scale_draws_the_line(axis: str, log: bool) -> None:
    assert any("⠁" <= c <= "⣿" for c in drawn(curves_of(falling()), View(axis=axis, log=log)))


def test_a_stretch_shows_that_stretch_alone() -> None:
    losses = [5.0] * 200 + [1.0] * 200
    view = View(window=(250, 350), full=True, smoothing=0)
    shown = drawn(curves_of(losses), view)
    assert "5.0" not in shown and "300" in shown


def test_the_newest_point_is_shown_where_it_lies_on_the_edge() -> None:
    curves = curves_of([1.0] * 399 + [7.0])  # the axis ends at 400
    rows = rows_of(Window(0, 400, 100), curves.training.steps)
    assert parts_of(curves.training.metrics["loss"], rows)[-1].high == 7.0  # type: ignore[union-attr]


def test_marks_stand_under_the_axis_and_held_out_values_in_the_picture() -> None:
    curves = curves_of(falling())
    curves.mark("checkpoint", 100)
    curves.mark("resume", 250)
    curves.measured.add(300, 30_000, 150, {"val_loss": 2.4})
    shown = drawn(curves)
    last = shown.splitlines()[-1]
    assert "▵" in last and "↻" in last and last.index("▵") < last.index("↻") and "◆" in shown


def test_a_resume_is_seen_at_the_checkpoint_where_it_begins() -> None:
    curves = curves_of(falling())
    for kind in ("checkpoint", "resume"):
        curves.mark(kind, 250)
    curves.mark("checkpoint", 350)
    below = drawn(curves, View()).splitlines()[-1]
    assert below.count("↻") == 1 and below.count("▵") == 1
    explained = "".join(told.name for told in TRAINING)
    assert all(glyph in explained for glyph in MARK_GLYPHS.values())


def test_the_cursor_reads_what_was_measured_there() -> None:
    curves = curves_of([float(step) for step in range(1, 401)])
    assert (
        "at 250" in drawn(curves, View(cursor=250.0))
        and "250" in drawn(curves, View(cursor=250.0)).splitlines()[0]
    )


def test_runs_over_each_other_are_told_apart_without_colour() -> None:
    lines = [
        Line(curves_of([loss] * 300), "loss", label=label, number=number)
        for number, (loss, label) in enumerate(((2.0, "one"), (3.0, "two")))
    ]
    rows = picture("loss", lines, View(), width=70, height=12, held=Held())
    text = "\n".join(text for text, _ in rows)
    assert "● one" in text and "▲ two" in text
    assert all(any(glyph in row for row, _ in rows[1:]) for glyph in "●▲")


def test_ascii_is_ascii() -> None:
    curves = curves_of(falling())
    curves.measured.add(300, 0, 0, {"val_loss": 2.4})
    assert drawn(curves, View(charset=ASCII)).isascii()


@given(st.integers(1, 90), st.integers(1, 20), st.lists(values | st.just(math.nan), max_size=40))
def test_no_size_and_no_value_breaks_a_picture(width: int, height: int, losses: list[float]) -> None:
    for view in (View(), View(log=True, full=True), View(window=(3.0, 9.0), cursor=5.0)):
        rows = picture("x", [Line(curves_of(losses), "loss")], view, width=width, height=height, held=Held())
        assert len(rows) <= max(height, 1) and all(len(text) == width == len(styles) for text, styles in rows)


def test_a_million_rows_are_drawn_from_a_few_thousand() -> None:
    series = Series()
    series.raw = array("f", bytes(4 * 1_048_576))
    size = 1_048_576
    from tui.chart.series import Level

    while size := size // 16:
        zeros = array("f", bytes(4 * size))
        series.levels.append(Level(zeros, zeros, zeros))
    steps = array("i", range(1, 1_048_577))
    window = Window(0, 1_500_000, 400)
    rows = rows_of(window, steps)
    assert rows.level == 2 and max(b - a for a, b in pairwise(rows.bounds)) / 16**rows.level < 40
    assert len([part for part in parts_of(series, rows) if part]) == pytest.approx(280, abs=2)


def test_a_run_keeps_its_glyph_where_another_has_no_curve() -> None:
    lines = [
        Line(StageCurves(), "loss", label="none", number=0),
        Line(curves_of([2.0] * 300), "loss", label="one", number=1),
    ]
    rows = picture("loss", lines, View(), width=70, height=12, held=Held())
    drawn = "".join(text for text, _ in rows[1:])
    assert "▲" in rows[0][0] and "▲" in drawn and "●" not in drawn
    assert all(style != "0" for _, styles in rows[1:] for style in styles)


def test_six_series_of_a_million_rows_take_less_than_fifty_megabytes() -> None:
    """At a hundredth of it, by the sizes of the columns: 160 MB are allowed, of which the app itself takes 40."""
    track, rows = Track(), 10_000
    steps = range(1, rows + 1)
    track.extend(steps, [0.0] * rows, [0.0] * rows, {f"m{number}": [1.0] * rows for number in range(6)})
    columns = [track.steps, track.tokens, track.seconds]
    for series in track.metrics.values():
        columns += [
            series.raw,
            *(each for level in series.levels for each in (level.low, level.high, level.mean)),
        ]
    assert sum(len(column) * column.itemsize for column in columns) / rows < 50


def test_rows_that_come_at_once_are_rows_that_come_one_by_one() -> None:
    at_once, one_by_one = Track(), Track()
    values = [math.sin(row) if row % 37 else math.nan for row in range(1000)]
    for first, end in ((0, 5), (5, 300), (300, 301), (301, 1000)):
        rows = range(first, end)
        assert at_once.takes(rows, list(rows), [row / 4 for row in rows])
        at_once.extend(
            rows,
            list(rows),
            [row / 4 for row in rows],
            {"loss": values[first:end], "no metric!": values[first:end]},
        )
    for row, value in enumerate(values):
        one_by_one.add(row, row, row / 4, {"loss": value})
    assert not at_once.takes([999], [999.0], [250.0]) and not at_once.takes(
        [1001, 1000], [1.0, 2.0], [0.0, 0.0]
    )
    assert (
        at_once.broken == one_by_one.broken
        and list(at_once.broken) == ["loss"]
        and set(at_once.metrics) == {"loss"}
    )
    for got, wanted in zip(at_once.metrics["loss"].levels, one_by_one.metrics["loss"].levels, strict=True):
        assert (got.low, got.high, got.mean) == (wanted.low, wanted.high, wanted.mean)
    assert at_once.steps == one_by_one.steps and at_once.seconds == one_by_one.seconds
