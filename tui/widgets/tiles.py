"""A row of figures, each with its name above: step, loss, speed, tokens, time left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content

from tui import words
from tui.feed import RunSeen, StageSeen
from tui.widgets.still import StillText
from workbench.files import human_count
from workbench.safe_text import one_line

MOST = 5
SUMMED_UP = {
    "documents": "documents",
    "tokens": "tokens",
    "vocab_size": "entries",
    "bytes_per_token": "bytes/token",
    "bytes": "bytes",
}
"""What a finished stage that drew no curve is summed up by, the first two of these, and how it is called."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure: what it is, its value, and what it is to be seen against."""

    name: str
    value: str
    beside: str = ""


class Tiles(Horizontal):
    """Five places of equal width; a place without a figure is empty."""

    DEFAULT_CSS = """
    Tiles { height: 2; }
    Tiles > StillText { width: 1fr; height: 2; padding-right: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    Tiles > #tile-1 { width: 1.4fr; }
    """

    def compose(self) -> ComposeResult:
        """The empty places."""
        for index in range(MOST):
            yield StillText(id=f"tile-{index}")

    def show(self, tiles: Sequence[Tile]) -> None:
        """Show at most five tiles; places without one are empty."""
        for index, place in enumerate(self.query(StillText)):
            place.put(_content(tiles[index]) if index < len(tiles) else Content(""))


def _content(tile: Tile) -> Content:
    beside = (f" {tile.beside}", "$dim") if tile.beside else ""
    return Content.assemble((tile.name, "$dim"), "\n", (tile.value, "bold"), beside)


def tiles_of(seen: RunSeen, stage: StageSeen | None) -> list[Tile]:
    """The five figures of a stage: training shows steps and loss, other stages what they count."""
    if stage is None:
        return []
    figures = seen.figures.get(stage.name, {})
    return list(_training(stage, figures) if "loss" in figures else _counting(stage))


def _training(stage: StageSeen, figures: Mapping[str, Any]) -> Iterator[Tile]:
    step, steps = figures.get("step"), figures.get("steps")
    if steps is None and stage.unit == "steps":
        steps = stage.total
    yield Tile("step", _count(step), f"of {_count(steps)}" if steps else "")
    if "val_bpb" in figures:
        yield Tile("loss · bits/byte", _figure(figures["loss"]), f"· {_figure(figures['val_bpb'])}")
    elif "val_loss" in figures:
        yield Tile("loss · held-out", _figure(figures["loss"]), f"· {_figure(figures['val_loss'])}")
    else:
        yield Tile("loss", _figure(figures["loss"]))
    yield Tile("speed", words.rate(figures.get("tokens_per_second")))
    total = stage.total if stage.unit == "tokens" else None
    tokens = figures.get("tokens")
    shown = human_count(tokens) if isinstance(tokens, int | float) else "–"
    yield Tile("tokens", shown, f"of {human_count(total)}" if total else words.share(stage.done, stage.total))
    yield _time(stage)


def _counting(stage: StageSeen) -> Iterator[Tile]:
    yield Tile(str(words.stage_sign(stage.state)), stage.name)
    made = [
        Tile(said, _count(value) if isinstance(value, int) else words.figure(value, 2))
        for key, said in SUMMED_UP.items()
        if isinstance(value := stage.summary.get(key), int | float)
    ]
    if made:
        yield from made[:2]
    else:
        done = "–" if stage.done is None else _count(stage.done)
        yield Tile(stage.unit or "done", done, f"of {_count(stage.total)}" if stage.total else "")
        yield Tile("progress", words.share(stage.done, stage.total) or "–")
    yield _time(stage)


def _time(stage: StageSeen) -> Tile:
    if stage.seconds is not None:
        return Tile("took", words.span(stage.seconds))
    if stage.state == "running":
        about = "~" if stage.seconds_left is not None else ""
        return Tile("left", f"{about}{words.span(stage.seconds_left)}")
    return Tile("left", "–")


def _count(value: object) -> str:
    if isinstance(value, int | float):
        return f"{value:,.0f}" if abs(value) < 1e6 else human_count(value)
    return "–"


def _figure(value: object) -> str:
    return one_line(words.figure(float(value) if isinstance(value, int) else value), 12)
