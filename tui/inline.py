"""One run in four lines, in the scrollback of the shell: no alternate screen, no mouse, nothing to steer.

    quickstart-7f3a12  ● running  4m 10s  saved 3s ago  heard just now
    ✓ corpus  ✓ tokenizer  ✓ pack  ● pretrain 38 %  ○ sft  ○ dpo  ○ eval
    step 320  loss 2.913  held-out 2.951  12.3k tok/s  left ~4m
    · held-out part: 312 documents

Lines are cut to the terminal, never broken; the last picture stays. Without Textual: it opens in no time.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from types import FrameType

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from tui import words
from tui.feed import RunFeed
from tui.leaving import SIGNALS
from tui.run_seen import RunSeen
from workbench.errors import ExitCode
from workbench.files import human_duration
from workbench.runs import Run
from workbench.safe_text import one_line

LOOK_SECONDS = 1.0
_ANSI = {
    "$dim": "dim", "$primary": "cyan", "$warning": "yellow", "$success": "green", "$error": "red",
}  # fmt: skip
_FIGURES = (("step", "step"), ("loss", "loss"), ("val_loss", "held-out"), ("val_bpb", "bits/byte"))


def watch_inline(run: Run) -> int:
    """Show `run` until it is over or the person leaves by q or ctrl-c. Returns the status to exit with."""
    feed = RunFeed(run)
    console = Console(highlight=False, markup=False, emoji=False)
    with _Hangup() as hangup, _QuietKeys() as keys, Live(console=console, auto_refresh=False) as live:
        shown: list[str] = []
        while not hangup.number:
            seen = feed.look()
            lines = picture(seen, now=time.time(), width=console.width)
            if [line.markup for line in lines] != shown:
                shown = [line.markup for line in lines]
                live.update(Group(*lines), refresh=True)
            if not seen.is_live and not seen.behind:
                break
            if keys.left_within(0.0 if seen.behind else LOOK_SECONDS, or_woken_by=hangup.told):
                break
    return 128 + hangup.number if hangup.number else ExitCode.FINE


class _Hangup:
    """What would end it (ctrl-c too) becomes a number and a byte in a pipe, while this lasts.

    An exception out of the handler could come in the middle of a line, and leave the cursor hidden.
    """

    def __enter__(self) -> _Hangup:
        self.number = 0
        self.told, self._tell = os.pipe()
        self._before = {number: signal.signal(number, self._hear) for number in SIGNALS}
        return self

    def _hear(self, number: int, _: FrameType | None) -> None:
        self.number = number
        os.write(self._tell, b"!")

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self.told)
        os.close(self._tell)


class _QuietKeys:
    """Keys arrive at once and are not echoed, while this lasts."""

    def __enter__(self) -> _QuietKeys:
        import termios
        import tty

        self._terminal = sys.stdin.fileno()
        self._before = termios.tcgetattr(self._terminal)
        tty.setcbreak(self._terminal)
        return self

    def __exit__(self, *_: object) -> None:
        import contextlib
        import termios

        with contextlib.suppress(termios.error):  # the terminal is gone
            termios.tcsetattr(self._terminal, termios.TCSADRAIN, self._before)

    def left_within(self, seconds: float, *, or_woken_by: int) -> bool:
        """Wait so long for a key, or for that file; whether the key was q, or the input has ended."""
        ready = select.select([self._terminal, or_woken_by], [], [], seconds)[0]
        if self._terminal not in ready:
            return False
        typed = os.read(self._terminal, 1024)
        return not typed or b"q" in typed.lower()


def picture(seen: RunSeen, *, now: float, width: int) -> list[Text]:
    """The four lines, each at most `width` cells."""
    sign = words.run_sign(seen.state)
    head = Text(one_line(seen.name, 120), style="bold")
    head.append(f"  {sign}", style=f"not bold {_ANSI.get(sign.color, 'default')}")
    if seen.told_at is not None:
        running = now - seen.told_at if seen.is_live and seen.ended_at is None else 0.0
        head.append(f"  {words.span(seen.seconds + running)}", style="not bold dim")
    if seen.checkpoint_at is not None and seen.is_live:
        head.append(f"  saved {words.age(now - seen.checkpoint_at)}", style="not bold dim")
    if seen.is_live:
        head.append(
            f"  heard {words.age(None if seen.heard_at is None else now - seen.heard_at)}",
            style="not bold dim",
        )
    note = seen.notes[-1] if seen.notes else None
    said = Text(f"· {note.text}" if note is not None else "", style="dim")
    lines = [head, _rail(seen), _figures(seen), said]
    for line in lines:
        line.no_wrap, line.overflow = True, "ellipsis"
        line.truncate(width, overflow="ellipsis")
    return lines


def _rail(seen: RunSeen) -> Text:
    rail = Text()
    for stage in seen.stages:
        sign = words.stage_sign(stage.state)
        share = words.share(stage.done, stage.total) if stage.state == "running" else ""
        rail.append(
            f"{sign.glyph} {stage.name}{' ' + share if share else ''}  ",
            style=_ANSI.get(sign.color, "default"),
        )
    return rail


def _figures(seen: RunSeen) -> Text:
    stage = seen.stage_seen(seen.stage)
    figures = seen.figures.get(seen.stage, {})
    parts = [f"{name} {words.figure(figures[key])}" for key, name in _FIGURES if key in figures]
    if "tokens_per_second" in figures:
        parts.append(words.rate(figures["tokens_per_second"]))
    if stage is not None and stage.seconds_left is not None:
        parts.append(f"left ~{human_duration(stage.seconds_left)}")
    if not parts and stage is not None and stage.done is not None:
        parts.append(f"{words.figure(int(stage.done))} {stage.unit}")
    return Text(one_line("  ".join(parts) or "–", 400))
