"""This machine as a place to train on: what it is, what is wrong with it and what to do, and what it can do, measured.

What can be told without arithmetic stands at once (workbench.doctor); `m` measures in a process of its own, as
`workbench doctor` does.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.worker import get_current_worker

from tui import commands
from tui.keys import bind
from tui.messages import ActionFailed
from tui.widgets.key_bar import KeyBar
from tui.widgets.still import StillText
from workbench.doctor import Finding, examine
from workbench.safe_text import one_line

LOOKING = "looking at the machine…"
POLL_SECONDS = 0.2


@dataclass
class Examined(Message):
    """The machine was looked at."""

    findings: tuple[Finding, ...]


@dataclass
class Measured(Message):
    """The machine was measured."""

    facts: Mapping[str, Any]


class DoctorScreen(Screen[None]):
    """One page: problems first, then every fact, then speeds."""

    DEFAULT_CSS = """
    DoctorScreen #page { padding: 0 2; scrollbar-size-vertical: 1; }
    DoctorScreen #findings { width: 1fr; height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind(
            "metric", "measure", description="measure", tooltip="Measure arithmetic and memory: a few seconds"
        ),
        bind("random", "recheck", description="look again", tooltip="Look at the machine again"),
        bind("back", "app.pop_screen"),
    ]
    AUTO_FOCUS = "#page"

    def __init__(self, home: Path) -> None:
        super().__init__()
        self._home = home
        self._findings: tuple[Finding, ...] = ()
        self._speed: Mapping[str, Any] = {}
        self._measures = False

    def compose(self) -> ComposeResult:
        """Title, page, keys."""
        yield StillText(id="title")
        with VerticalScroll(id="page"):
            yield StillText(id="findings")
        yield KeyBar()

    def on_mount(self) -> None:
        """Look."""
        self._show()
        self._look()

    def command(self) -> str:
        """The same in a shell."""
        return commands.workbench(self._home, "doctor", *([] if self._speed else ["--quick"]))

    def command_for(self, action: str, _: tuple[object, ...]) -> str:
        """The command of a key."""
        options: dict[str, list[str]] = {"measure": [], "recheck": ["--quick"]}
        return commands.workbench(self._home, "doctor", *options[action]) if action in options else ""

    @work(thread=True, exclusive=True, group="look", exit_on_error=False)
    def _look(self) -> None:
        try:
            self.post_message(Examined(tuple(examine(self._home))))
        except OSError as error:
            self.post_message(ActionFailed(f"the machine cannot be looked at: {error}"))

    @on(Examined)
    def _take(self, message: Examined) -> None:
        # This process draws to a terminal that is not its stdout: what it says of it is the app's business.
        self._findings = tuple(each for each in message.findings if each.name != "terminal")
        self._show()

    def _show(self) -> None:
        problems = sum(bool(each.problem) for each in self._findings)
        refused = any(each.refusal for each in self._findings)
        state: tuple[str, str] = (LOOKING, "$dim")
        if self._findings:
            state = (
                ("✗ no run can start here", "$error")
                if refused
                else (f"! {problems} to look at", "$warning")
                if problems
                else ("✓ nothing is wrong", "$success")
            )
        measuring = ("  measuring…", "$dim") if self._measures else ("", "")
        self.query_one("#title", StillText).put(
            Content.assemble(("doctor", "bold $primary"), "  this machine  ", state, measuring)
        )
        lines = [*finding_lines(self._findings), *speed_lines(self._speed)]
        self.query_one("#findings", StillText).put(Content("\n").join(lines), layout=True)

    def action_recheck(self) -> None:
        """Look again."""
        self._findings = ()
        self._show()
        self._look()

    def action_measure(self) -> None:
        """Measure, once at a time."""
        if not self._measures:
            self._measures = True
            self._show()
            self._measure()

    @work(thread=True, group="measure", exit_on_error=False)
    def _measure(self) -> None:
        worker = get_current_worker()
        command = [sys.executable, "-m", "workbench", "doctor", "--json", "--home", str(self._home)]
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as child:
            answer = b""
            while not worker.is_cancelled:
                try:
                    answer, _ = child.communicate(timeout=POLL_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    continue
            else:
                child.kill()
                return
        try:
            facts = json.loads(answer)
            self.post_message(Measured(dict(facts)))
        except (ValueError, TypeError):
            self.post_message(ActionFailed("the machine could not be measured; `workbench doctor` says why"))
            self.post_message(Measured({}))

    @on(Measured)
    def _take_speed(self, message: Measured) -> None:
        self._measures = False
        self._speed = message.facts
        self._show()


def finding_lines(findings: Sequence[Finding]) -> Iterator[Content]:
    """Problems with their fixes, then all that is known."""
    for each in findings:
        if each.problem:
            yield Content.assemble(_sign(each), (each.name, "bold"), f": {one_line(each.problem, 300)}")
            yield Content.assemble(("  → ", "$primary"), one_line(each.fix, 300))
            yield Content("")
    for each in findings:
        yield Content.assemble(_sign(each), (f"{each.name:<14} ", "$dim"), one_line(each.value, 300))


def _sign(finding: Finding) -> tuple[str, str]:
    if finding.refusal:
        return "✗ ", "$error"
    return ("! ", "$warning") if finding.problem else ("✓ ", "$success")


def speed_lines(facts: Mapping[str, Any]) -> Iterator[Content]:
    """What was measured; nothing before."""
    peaks, uses = facts.get("peaks"), facts.get("uses")
    if not isinstance(peaks, dict) or not isinstance(uses, list):
        return
    yield Content("")
    yield Content.styled("measured now", "bold")
    for kind in ("float32", "bfloat16"):
        if isinstance(flops := peaks.get(f"{kind}_flops"), int | float):
            yield Content.assemble(
                (f"  {kind:<14} ", "$dim"), f"{flops / 1e9:,.0f} GFLOP/s in a large product"
            )
    if isinstance(speed := peaks.get("memory_bytes_per_second"), int | float):
        yield Content.assemble(
            (f"  {'memory speed':<14} ", "$dim"), f"{speed / 1e9:.1f} GB/s in a large copy"
        )
    yield Content("")
    threads = facts.get("threads")
    arithmetic = one_line(
        f"the training step, in {facts.get('arithmetic')} on {threads} thread{'s' if threads != 1 else ''}",
        80,
    )
    yield Content.styled(arithmetic, "bold")
    for use in uses:
        if isinstance(use, dict):
            times = use.get("times")
            worth = (
                f"{times:.2g} times as quick as {use.get('instead_of')}"
                if isinstance(times, float)
                else use.get("why_not") or "not measured"
            )
            sign, color = ("✓", "$success") if use.get("active") else ("·", "$dim")
            yield Content.assemble((f"{sign} ", color), one_line(f"{use.get('name')}: {worth}", 200))
