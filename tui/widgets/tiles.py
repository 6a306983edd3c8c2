"""Figures, each with its name above: step, loss, speed, tokens, time left, and more of them where there is room."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from textual import events
from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content

from tui import words
from tui.chart.scale import short
from tui.gpus import GpusSeen
from tui.plots import TITLES
from tui.run_seen import RunSeen, StageSeen
from tui.widgets.still import StillText
from workbench.files import human_bytes, human_count
from workbench.safe_text import one_line

MOST = 16
WIDTH = 15
"""Cells that a tile needs."""
TALL = 32
"""Rows of a terminal from which on a second line of tiles is worth its place."""
SUMMED_UP = {
    "documents": "documents",
    "tokens": "tokens",
    "vocab_size": "entries",
    "bytes_per_token": "bytes/token",
    "bytes": "bytes",
}
"""What a finished stage that drew no curve is summed up by, the first two of these, and how it is called."""
GPU_PLACE = 4
"""Where a GPU stands among the figures of a training: 80 columns show five tiles, and it is the last of them."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure: what it is, its value, and what it is to be seen against."""

    name: str
    value: str
    beside: str = ""


class Tiles(Container):
    """As many tiles as fit into one line, or two where the terminal is tall; those left over are left out."""

    DEFAULT_CSS = """
    Tiles { height: 2; layout: grid; grid-rows: 2; grid-gutter: 1 0; }
    Tiles > StillText { width: 1fr; height: 2; padding-right: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._tiles: Sequence[Tile] = ()
        self._shape = (0, 0)

    def compose(self) -> ComposeResult:
        """The empty places."""
        for index in range(MOST):
            yield StillText(id=f"tile-{index}")

    def on_resize(self, _: events.Resize) -> None:
        """Other tiles may fit."""
        self._put()

    def show(self, tiles: Sequence[Tile]) -> None:
        """Show as many of `tiles` as there is room for, the first ones first."""
        self._tiles = tiles
        self._put()

    def _put(self) -> None:
        columns = max(2, min(self.size.width // WIDTH, MOST))
        lines = 2 if self.screen.size.height >= TALL and len(self._tiles) > columns else 1
        if lines == 2:  # two even lines rather than a full one and a remnant
            columns = min(columns, -(-min(len(self._tiles), 2 * columns, MOST) // 2))
        if (columns, lines) != self._shape:
            self._shape = columns, lines
            self.styles.grid_size_columns, self.styles.height = columns, 3 * lines - 1
        for index, place in enumerate(self.query(StillText)):
            place.display = index < columns * lines
            if place.display:
                place.put(_content(self._tiles[index]) if index < len(self._tiles) else Content(""))


def _content(tile: Tile) -> Content:
    beside = (f" {tile.beside}", "$dim") if tile.beside else ""
    return Content.assemble((tile.name, "$dim"), "\n", (tile.value, "bold"), beside)


def tiles_of(seen: RunSeen, stage: StageSeen | None) -> list[Tile]:
    """The figures of a stage, the telling ones first: training shows steps and loss, other stages what they count."""
    if stage is None:
        return []
    figures = seen.figures.get(stage.name, {})
    if "loss" not in figures:
        gpus = [] if seen.gpus is None else [_gpu(seen.gpus), *_gpu_further(seen.gpus)]
        return [*_counting(stage), *gpus]
    told = list(_training(seen, stage, figures))
    if seen.gpus is not None:
        told[GPU_PLACE:GPU_PLACE] = [_gpu(seen.gpus), *_mfu(figures)]
    return told


def _training(seen: RunSeen, stage: StageSeen, figures: Mapping[str, Any]) -> Iterator[Tile]:
    step, steps = figures.get("step"), figures.get("steps")
    if steps is None and stage.unit == "steps":
        steps = stage.total
    yield Tile("step", _count(step), f"of {_count(steps)}" if steps else "")
    measured = (
        f"◆ {_figure(figures['val_loss'])}" if "val_loss" in figures else ""
    )  # the mark that it has in the chart
    yield Tile("loss", _figure(figures["loss"]), measured)
    if "reward" in figures:
        yield Tile("reward", _short(figures["reward"]))
    if "rewards/margins" in figures:
        yield Tile("reward margin", _figure(figures["rewards/margins"]))
    yield _time(stage)
    if "rewards/margins" in figures:
        yield Tile("accuracy", _share(figures.get("rewards/accuracies")))
    yield Tile("speed", words.rate(figures.get("tokens_per_second")))
    if "val_bpb" in figures:
        yield Tile("bits/byte", _figure(figures["val_bpb"]))
    total = stage.total if stage.unit == "tokens" else None
    tokens = figures.get("tokens")
    shown = human_count(tokens) if isinstance(tokens, int | float) else "–"
    if "rewards/margins" not in figures:
        yield Tile(
            "tokens", shown, f"of {human_count(total)}" if total else words.share(stage.done, stage.total)
        )
    if seen.left is not None and seen.told_at is not None:
        yield Tile("done at", time.strftime("%a %H:%M", time.localtime(seen.told_at + seen.left[0])))
    if "grad_norm" in figures:
        yield Tile("gradient norm", _short(figures["grad_norm"]))
    if "learning_rate" in figures:
        yield Tile("learning rate", _short(figures["learning_rate"]))
    if seen.gpus is None:
        yield from _mfu(figures)
    if "data_wait_share" in figures:
        yield Tile("data wait", _share(figures["data_wait_share"]))
    if "core_wait_share" in figures:
        yield Tile("core wait", _share(figures["core_wait_share"]))
    if seen.is_live and seen.resident_bytes:
        yield Tile("memory", human_bytes(seen.resident_bytes))
    if seen.gpus is not None:
        yield from _gpu_further(seen.gpus)
    for name in ("rewards/chosen", "rewards/rejected", "kl", "entropy"):
        if name in figures:
            yield Tile(TITLES.get(name, name).removeprefix("reward of "), _short(figures[name]))


def _mfu(figures: Mapping[str, Any]) -> Iterator[Tile]:
    if "mfu" in figures:
        yield Tile("MFU", _share(figures["mfu"]))


def _gpu(gpus: GpusSeen) -> Tile:
    heat = f"{gpus.celsius:.0f} °C" if gpus.celsius is not None else ""
    name = "GPU" if gpus.count == 1 else f"{gpus.count} GPUs"
    return Tile(name, "–" if gpus.busy is None else f"{gpus.busy:.0%}", heat)


def _gpu_further(gpus: GpusSeen) -> Iterator[Tile]:
    if gpus.memory_bytes is not None:
        of = f"of {human_bytes(gpus.memory_total_bytes)}" if gpus.memory_total_bytes else ""
        yield Tile("GPU memory", human_bytes(gpus.memory_bytes), of)
    if gpus.watts is not None:
        of = f"of {gpus.limit_watts:.0f}" if gpus.limit_watts else ""
        yield Tile("GPU power", f"{gpus.watts:.0f} W", of)
    if gpus.clock_mhz is not None:
        yield Tile("GPU clock", f"{gpus.clock_mhz:.0f} MHz", "held" if gpus.throttle else "")


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
        return Tile("left", f"{about}{words.span(stage.seconds_left)}", words.give_or_take(stage.left_within))
    return Tile("left", "–")


def _count(value: object) -> str:
    if isinstance(value, int | float):
        return f"{value:,.0f}" if abs(value) < 1e6 else human_count(value)
    return "–"


def _figure(value: object) -> str:
    return one_line(words.figure(float(value) if isinstance(value, int) else value), 12)


def _short(value: object) -> str:
    return short(float(value)) if isinstance(value, int | float) else one_line(str(value), 12)


def _share(value: object) -> str:
    return f"{value:.1%}" if isinstance(value, int | float) else "–"
