"""The one place that knows plotext: the size that was asked for, layers by name, at any terminal size."""

from __future__ import annotations

import pytest

from tui.plot import Layer, draw


@pytest.mark.parametrize(("width", "height"), [(10, 3), (70, 12), (250, 60)])
def test_the_picture_has_the_size_asked_for(width: int, height: int) -> None:
    rows = draw([Layer("a", [0, 10], [0, 10])], width=width, height=height, x_range=(0, 10), y_range=(0, 10))
    assert [sum(len(text) for text, _ in row) for row in rows] == [width] * height


def test_a_line_goes_from_corner_to_corner_under_its_name() -> None:
    rows = draw([Layer("loss", [0, 10], [10, 0])], width=20, height=5, x_range=(0, 10), y_range=(0, 10))
    assert rows[0][0][1] == "loss" and rows[-1][-1][1] == "loss"
    assert {name for row in rows for _, name in row} == {"loss", ""}


def test_later_layers_lie_over_earlier_ones() -> None:
    line = Layer("line", [0, 10], [5, 5])
    mark = Layer("mark", [5], [5], marker="◆")
    rows = draw([line, mark], width=21, height=5, x_range=(0, 10), y_range=(0, 10))
    assert [text for row in rows for text, name in row if name == "mark"] == ["◆"]


def test_nothing_to_draw_is_blank() -> None:
    rows = draw([Layer("none", [], [])], width=8, height=2, x_range=(0, 1), y_range=(0, 1))
    assert ["".join(text for text, _ in row) for row in rows] == [" " * 8] * 2
