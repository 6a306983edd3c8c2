"""A live run on a terminal: one line per stage, a bar for the one at work, the latest notes. Fits 80 columns.

Ctrl-C asks whether to detach or to stop. Draws on stderr; holds no truth: all of it is read from events.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from workbench.cli.plain import plain_line
from workbench.cli.watching import Interrupts, new_events, request_stop
from workbench.events import Event
from workbench.files import human_count, human_duration
from workbench.launcher import frozen_plan
from workbench.runs import LIVE, Run
from workbench.safe_text import one_line

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

REPAINT_SECONDS = 0.5
HINT = "ctrl-c: stop or detach; closing this window stops nothing"
QUESTION = "[d] detach   [s] stop with everything saved   [any other key] go on watching"
MOST_NOTES = 6
NOTED = ("note", "warning", "error", "sample")
GLYPHS = {
    "pending": ("○", "dim"),
    "running": ("●", "cyan"),
    "paused": ("◐", "yellow"),
    "finished": ("✓", "green"),
    "failed": ("✗", "red"),
    "stopped": ("◌", "yellow"),
    "crashed": ("?", "red"),
}
WAIT_SHOWN = 0.05  # share of the time spent waiting for data from which on it is shown
FIGURES = (("loss", "loss"), ("val_bpb", "bpb"), ("rewards/accuracies", "acc"), ("rewards/margins", "margin"))


def watch_live(run: Run, asked: Interrupts) -> bool:
    """Draw until the run is over. True when the person left it to itself: by a key, or by a second Ctrl-C."""
    from rich.console import Console
    from rich.live import Live

    picture = Picture(run, Console(stderr=True, highlight=False, markup=False))
    painted = 0.0
    with _single_keys(), Live(picture.draw(), console=picture.console, auto_refresh=False) as live:
        for event in new_events(run):
            if event is not None:
                picture.take(event)
                continue
            # Under nohup no signal tells that the terminal is gone; Rich would draw on nothing for ever.
            asked.hung_up = asked.hung_up or not sys.stderr.isatty()
            if asked.hung_up or asked.interrupts > 1:
                return True
            if asked.terminated:
                asked.terminated = False
                request_stop(run)
            if asked.interrupts and not picture.asks:
                _forget_keys()
                picture.asks, painted = True, 0.0
            if picture.asks and (key := _key()) is not None:
                if key in ("d", ""):
                    return True
                if key == "s":
                    request_stop(run)
                    picture.stopping = True
                picture.asks, asked.interrupts, painted = False, 0, 0.0
            if time.monotonic() - painted >= REPAINT_SECONDS:
                painted = time.monotonic()
                live.update(picture.draw(), refresh=True)
        live.update(picture.draw(), refresh=True)
    return False


def _key() -> str | None:
    """The key that was pressed; None if there was none, "" at the end of input."""
    ready, _, _ = select.select([sys.stdin], [], [], 0)
    return os.read(sys.stdin.fileno(), 64)[:1].lower().decode(errors="replace") if ready else None


def _forget_keys() -> None:
    """What was typed before a question is no answer to it."""
    with contextlib.suppress(termios.error):
        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)


@contextlib.contextmanager
def _single_keys() -> Iterator[None]:
    """Keys arrive without Enter and are not shown."""
    terminal = sys.stdin.fileno()
    try:
        before = termios.tcgetattr(terminal)
    except termios.error:
        yield
        return
    try:
        tty.setcbreak(terminal)
        yield
    finally:
        with contextlib.suppress(termios.error):
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)


@dataclasses.dataclass
class StageView:
    """What the screen knows of one stage."""

    name: str
    state: str = "pending"
    reused: bool = False
    started_at: float | None = None
    seconds: float = 0.0
    done: float = 0.0
    first_done: float | None = None
    first_at: float = 0.0
    total: float | None = None
    unit: str = ""
    figures: dict[str, Any] = dataclasses.field(default_factory=dict)

    def take(self, event: Event) -> None:
        """Learn from one event of this stage."""
        kind = event["kind"]
        if kind == "stage_started":
            self.state, self.started_at, self.reused = "running", event["time"], bool(event.get("reused"))
            self.first_done = None
        elif kind == "stage_finished":
            self.state, self.seconds = "finished", float(event.get("seconds", 0.0))
        elif kind == "stage_progress":
            unit = str(event.get("unit"))
            if unit != self.unit:  # another part of the work, another rate
                self.unit, self.first_done = unit, None
            self.done, self.total = event.get("done") or 0, event.get("total")
            if self.first_done is None:
                self.first_done, self.first_at = self.done, event["time"]
        elif kind == "metric":
            self.figures.update(event)

    def elapsed(self) -> float:
        """Seconds since it was taken up."""
        return max(0.0, time.time() - (self.started_at or time.time()))

    def seconds_left(self) -> float | None:
        """Time left at the rate since this worker took the work up; None when that cannot be told."""
        spent = time.time() - self.first_at
        if not self.total or self.first_done is None or self.done <= self.first_done or spent < 1:
            return None
        return (self.total - self.done) * spent / (self.done - self.first_done)

    def figures_text(self) -> str:
        """`step 320/683  loss 2.913  bpb 1.512  12.3k tok/s`, or how far it is where nothing is measured."""
        figures, steps = self.figures, f"/{self.total:,.0f}" if self.total else ""
        if "task" in figures:
            return one_line(f"{figures.get('model')} {figures['task']}", 50)
        if "step" not in figures:
            whole = f" of {human_count(self.total)}" if self.total else ""
            return f"{human_count(self.done)}{whole} {one_line(self.unit, 20)}" if self.unit else ""
        parts = [f"step {figures['step']:,}{steps if self.unit == 'steps' else ''}"]
        parts += [
            f"{label} {figures[key]:.3f}"
            for key, label in FIGURES
            if isinstance(figures.get(key), int | float)
        ]
        if speed := figures.get("tokens_per_second"):
            parts.append(f"{human_count(speed)} tok/s")
        if (share := figures.get("data_wait_share", 0.0)) >= WAIT_SHOWN:
            parts.append(f"waits for data {share:.0%}")
        return "  ".join(parts)


class Picture:
    """The whole view, drawn from events."""

    def __init__(self, run: Run, console: Console) -> None:
        self.console = console
        self._run = run
        self._stages = {stage.name: StageView(stage.name) for stage in frozen_plan(run).stages}
        self._notes: list[str] = []
        self.asks = False
        self.stopping = False

    def take(self, event: Event) -> None:
        """Learn from one event."""
        stage = self._stages.get(str(event.get("stage")))
        if stage is not None:
            stage.take(event)
        if event["kind"] in NOTED:
            self._notes = [*self._notes, plain_line(event) or ""][-MOST_NOTES:]

    def draw(self) -> RenderableType:
        """The picture as it is now; no line is wider, and all of it not higher, than the terminal."""
        from rich.console import Group

        state = self._run.state()
        working = next((stage for stage in self._stages.values() if stage.state == "running"), None)
        lines = [self._head(state), *(_stage_line(stage, state) for stage in self._stages.values())]
        if working is not None and state in LIVE:
            lines.append(_bar(working, width=min(self.console.width, 100)))
        room = max(0, self.console.height - len(lines) - 2)
        lines += [_text(one_line(note, 400), "dim") for note in self._notes[-room:] if room]
        if self.asks:
            lines.append(_text(QUESTION, "bold"))
        elif state in LIVE:
            lines.append(_text("stopping with everything saved…" if self.stopping else HINT, "dim"))
        return Group(*lines)

    def _head(self, state: str) -> Text:
        glyph, style = GLYPHS[state]
        head = _text(self._run.name, "bold")
        return head.append(f"  {glyph} {state}", style=f"not bold {style}")


def _stage_line(stage: StageView, run_state: str) -> Text:
    over = run_state in ("failed", "stopped", "crashed")
    state = run_state if stage.state == "running" and (over or run_state == "paused") else stage.state
    glyph, style = GLYPHS[state]
    if stage.state == "finished":
        spent = "reused" if stage.reused else human_duration(stage.seconds)
    else:
        spent = human_duration(stage.elapsed()) if stage.state == "running" else "waiting"
    line = _text(f"{glyph} {stage.name:<10}", style).append(f" {spent:>8}  ", style="dim")
    return line.append("" if stage.state == "pending" else stage.figures_text(), style="default")


def _bar(stage: StageView, *, width: int) -> Text:
    left = stage.seconds_left()
    told = f" about {human_duration(left)} left" if left is not None else ""
    if not stage.total:
        return _text(f"  {'·' * 10}{told}", "dim")
    share = min(1.0, stage.done / stage.total)
    room = max(10, width - 28)
    full = int(share * room)
    return (
        _text("  " + "━" * full, "cyan")
        .append("╌" * (room - full), style="dim")
        .append(f" {share:>4.0%}{told}")
    )


def _text(text: str, style: str) -> Text:
    """One line that is cut, never wrapped. Text of data is plain text here, never markup."""
    from rich.text import Text

    return Text(text, style=style, no_wrap=True, overflow="ellipsis")
