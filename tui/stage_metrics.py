"""What one stage measures: the newest figures by name, and all of them as curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tui.chart.series import NAN
from tui.chart.track import StageCurves
from tui.metric_rows import MUST_BE_NUMBERS, NO_METRIC, Columns, columns_of, columns_of_rows
from workbench.event_columns import Rows
from workbench.events import Event

_WRITTEN_AS_WORDS = ("nan", "inf", "-inf")


class StageMetrics:
    """Takes in metric events, of any shape and with any values."""

    def __init__(self, curves: StageCurves, figures: Mapping[str, Any] | None = None) -> None:
        self.curves = curves
        self.figures = dict(figures or {})

    def take(self, events: Sequence[Event]) -> None:
        """Take in events that are alike (metric_rows.py)."""
        for event in events[-1:] if self._take_columns(columns_of(events[:-1])) else events:
            self._take(event)

    def take_rows(self, rows: Rows) -> None:
        """Take in events that were kept in columns."""
        first = len(rows) - 1 if self._take_columns(columns_of_rows(rows)) else 0
        for event in rows.events(first):
            self._take(event)

    def _take_columns(self, columns: Columns | None) -> bool:
        """All but the newest event at once, where that can be. The newest also says how things stand now."""
        training = self.curves.training
        if columns is None or not training.takes(columns.steps, columns.tokens, columns.seconds):
            return False
        training.extend(columns.steps, columns.tokens, columns.seconds, columns.metrics)
        return True

    def _take(self, event: Event) -> None:
        figures = self.figures
        values: dict[str, float] = {}
        for key, value in event.items():
            if key in NO_METRIC:
                continue
            if type(value) is float or type(value) is int:
                values[key] = figures[key] = value
            elif key in MUST_BE_NUMBERS or value in _WRITTEN_AS_WORDS:
                values[key] = NAN
                figures[key] = "nan"
        step = event.get("step")
        if type(step) is not int:
            return
        figures["step"] = step
        curves = self.curves
        if "loss" in event or "tokens_per_second" in event:
            tokens, seconds = event.get("tokens"), event.get("seconds")
            if type(tokens) is int:
                figures["tokens"] = tokens
            curves.training.add(
                step,
                tokens if type(tokens) is int else 0.0,
                seconds if type(seconds) is float or type(seconds) is int else 0.0,
                values,
            )
        elif values:
            curves.measured.add(step, *curves.training.at_step(step), values)
