"""What two to six runs differ in: keys of their recipes, and figures at as many tokens. Pure; knows no widget."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tui import words
from tui.chart.scale import short
from tui.chart.series import NAN
from tui.chart.track import StageCurves, Track
from tui.run_seen import RunSeen
from workbench.files import human_count
from workbench.runs import Run
from workbench.safe_text import one_line

MOST_RUNS = 6
_LONGEST_VALUE = 200
_UNITS = ((10**9, "B"), (10**6, "M"), (10**3, "k"))
NAMES = {
    "val_loss": "held-out loss",
    "val_bpb": "bits/byte",
    "rewards/margins": "reward margin",
    "rewards/accuracies": "accuracy",
}
"""What a metric is called on every screen."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One line of a table: what it is, its value in every run, and how each differs from the first."""

    name: str
    values: tuple[str, ...]
    deltas: tuple[str, ...] = ()


def recipe_differences(runs: Sequence[Run]) -> list[Difference]:
    """The settings that are not the same in all plans, in the order of the stages."""
    settings = [dict(_settings(run)) for run in runs]
    names = dict.fromkeys(name for each in settings for name in each)
    return [
        Difference(name, tuple(each.get(name, "–") for each in settings))
        for name in names
        if len({each.get(name) for each in settings}) > 1
    ]


def _settings(run: Run) -> Iterator[tuple[str, str]]:
    try:
        stages = run.plan().get("stages", [])
    except Exception:  # a plan that cannot be read has no settings
        return
    for stage in stages if isinstance(stages, list) else ():
        if not isinstance(stage, dict):
            continue
        for table, found in ((str(stage.get("name")), stage.get("settings")), ("model", stage.get("model"))):
            for key, setting in found.items() if isinstance(found, dict) else ():
                if isinstance(setting, dict) and "value" in setting:
                    yield one_line(f"{table}.{key}", 60), _written(setting["value"])


def _written(value: Any) -> str:
    """As a recipe may have it: large counts as 240k and 1.5M, where no digit is lost by that."""
    if isinstance(value, int) and value >= 10_000:
        size, unit = next((size, unit) for size, unit in _UNITS if value >= size)
        if value % (size // 10) == 0:
            return f"{value / size:g}{unit}"
    return one_line(
        value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), _LONGEST_VALUE
    )


def stage_to_compare(seen: Sequence[RunSeen]) -> str:
    """The stage in which most of the runs have curves, the last of those."""
    names = [stage.name for run in seen for stage in run.stages if stage.name in run.curves]
    return max(dict.fromkeys(reversed(names)), key=names.count, default="")


def figures_of(seen: Sequence[RunSeen], stage: str) -> list[Difference]:
    """The figures of a stage, beside each other: as they are now, and where all had seen as many tokens."""
    return list(_figures(seen, stage)) if seen else []


def _figures(seen: Sequence[RunSeen], stage: str) -> Iterator[Difference]:
    curves = [run.curves.get(stage) for run in seen]
    tokens = [each.training.tokens[-1] if each and each.training.tokens else 0.0 for each in curves]
    yield Difference("state", tuple(str(words.run_sign(run.state)) for run in seen))
    yield Difference("tokens", tuple(human_count(value) if value else "–" for value in tokens))
    told: list[Mapping[str, Any]] = [run.figures.get(stage, {}) for run in seen]
    for name in ("loss", "val_loss", "val_bpb", "rewards/margins", "rewards/accuracies"):
        values = [_number(figures.get(name)) for figures in told]
        if any(value == value for value in values):
            yield _line(NAMES.get(name, name), values)
    least = min((value for value in tokens if value), default=0.0)
    if least and len({value for value in tokens if value}) > 1:
        for name in ("loss", "val_loss"):
            values = [_at_tokens(each, name, least) for each in curves]
            if sum(value == value for value in values) > 1:
                yield _line(f"{NAMES.get(name, name)} at {human_count(least)} tokens", values)
    speeds = [_mean(each, "tokens_per_second") for each in curves]
    if any(value == value for value in speeds):
        yield _line("tokens/s", speeds, share=True)
    spent = [each.training.seconds[-1] if each and each.training.seconds else NAN for each in curves]
    yield Difference("time", tuple(words.span(value) if value == value else "–" for value in spent))


def _line(name: str, values: Sequence[float], *, share: bool = False) -> Difference:
    first = values[0]
    deltas = [""]
    for value in values[1:]:
        if not (value == value and first == first) or value == first:
            deltas.append("")
        elif share:
            deltas.append(f"{(value - first) / first:+.1%}" if first else "")
        else:
            deltas.append(f"{value - first:+.3f}")
    return Difference(name, tuple(short(value) if value == value else "–" for value in values), tuple(deltas))


def _at_tokens(curves: StageCurves | None, name: str, tokens: float) -> float:
    """The value of a metric when that many tokens were seen: the mean of the last rows before for a noisy one."""
    if curves is None:
        return NAN
    track: Track = curves.measured if name.startswith("val_") else curves.training
    series = track.metrics.get(name)
    if series is None:
        return NAN
    row = bisect_left(track.tokens, tokens * (1 + 1e-9))
    part = series.part(max(row - (1 if track is curves.measured else 20), 0), row, level=0) if row else None
    return part.mean if part is not None else NAN


def _mean(curves: StageCurves | None, name: str) -> float:
    series = curves.training.metrics.get(name) if curves is not None else None
    part = series.part(0, len(series)) if series is not None else None
    return part.mean if part is not None else NAN


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else NAN


def as_text(runs: Sequence[str], differences: Sequence[Difference]) -> str:
    """A table in Markdown, for a note or a report."""
    rows = [("", *runs), ("---",) * (len(runs) + 1)]
    for each in differences:
        deltas = each.deltas or ("",) * len(each.values)
        told = zip(each.values, deltas, strict=True)
        rows.append((each.name, *(f"{value} ({delta})" if delta else value for value, delta in told)))
    return "\n".join("|" + "|".join(f" {_in_cell(cell)} " for cell in row) + "|" for row in rows)


def _in_cell(text: str) -> str:
    """Text that does not end its cell of a Markdown table."""
    return text.replace("|", r"\|")
