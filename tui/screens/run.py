"""One run, live: its stages, the figures and the loss of one of them, what it wrote and said last."""

from __future__ import annotations

import time
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from tui.feed import RunFeed, RunSeen
from tui.messages import ActionFailed, RunLaunched, RunRead
from tui.screens.chat import ChatScreen
from tui.screens.log import LogScreen
from tui.screens.stop import StopScreen
from tui.widgets.key_bar import KeyBar
from tui.widgets.loss_chart import LossChart
from tui.widgets.run_header import RunHeader
from tui.widgets.stage_rail import StageRail
from tui.widgets.story import Story
from tui.widgets.tiles import Tiles, tiles_of
from workbench.errors import WorkbenchError
from workbench.runs import open_run

POLL_SECONDS = 1.0


class RunScreen(Screen[None]):
    """A view of one run folder. Leaving it leaves the run as it is."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,1", "app.pop_screen", "runs", key_display="esc", tooltip="Back to the runs"),
        Binding("C", "ask('save')", "checkpoint", tooltip="Save a checkpoint now"),
        Binding("P", "pause", "pause", tooltip="Pause, or go on"),
        Binding("S", "stop", "stop…", tooltip="Save a checkpoint, then stop (asks first)"),
        Binding("R", "resume", "resume", tooltip="Go on with a run that was stopped, failed or crashed"),
        Binding("s", "smooth", "smooth", tooltip="Smooth the loss more, then not at all"),
        Binding("t,7", "chat", "talk", key_display="t", tooltip="Chat with the newest model of this run"),
        Binding("left", "stage(-1)", "stage", show=False, tooltip="Show the stage before"),
        Binding(
            "right",
            "stage(1)",
            "stage",
            show=False,
            tooltip="Show the stage after; past the last, follow the run",
        ),
        Binding(
            "a",
            "full",
            "all",
            show=False,
            tooltip="All of the curve, or the range that shows its later half best",
        ),
        Binding("l", "log_scale", "log y", show=False, tooltip="Logarithmic or linear scale"),
        Binding("8", "log", "log", show=False, tooltip="What the worker printed"),
    ]

    def __init__(self, home: Path, name: str) -> None:
        super().__init__()
        self._home, self._run_name = home, name
        self._feed: RunFeed | None = None
        self._seen: RunSeen | None = None
        self._chosen: str | None = None  # a stage chosen by hand; None follows the run
        self._asked = ""
        self._looking = False

    def compose(self) -> ComposeResult:
        """Top to bottom."""
        yield RunHeader(id="headline")
        yield StageRail(id="rail")
        yield Tiles()
        yield LossChart()
        yield Story()
        yield KeyBar()

    def on_mount(self) -> None:
        """Look at once, then every second."""
        self._look()
        self.set_interval(POLL_SECONDS, self._look)

    def on_screen_resume(self) -> None:
        """Fresh when seen again."""
        self._look()

    def _look(self) -> None:
        if self.is_active and not self._looking:
            self._looking = True
            self._read()

    @work(thread=True, group="feed", exit_on_error=False)
    def _read(self) -> None:
        try:
            if self._feed is None:
                self._feed = RunFeed(open_run(self._home, self._run_name))
            self.post_message(RunRead(self._feed.look()))
        except (WorkbenchError, OSError) as error:
            self.post_message(ActionFailed(str(error)))
        finally:
            self._looking = False

    @on(RunRead)
    def _take(self, message: RunRead) -> None:
        was, self._seen = self._seen, message.seen
        if self._asked and not _is_pending(self._asked, message.seen, was):
            self._asked = ""
        self._show()
        if was is None or was.state != message.seen.state:
            self.refresh_bindings()
        if message.seen.behind:
            self._look()

    def _show(self) -> None:
        seen = self._seen
        if seen is None:
            return
        now = time.time()
        shown = self._chosen or _stage_to_follow(seen)
        stage = seen.stage_seen(shown)
        self.query_one(RunHeader).show(seen, now=now, asked=self._asked)
        self.query_one(StageRail).show(seen.stages, shown=self._chosen or "")
        self.query_one(Tiles).show(tiles_of(seen, stage))
        curve = seen.curves.get(shown)
        self.query_one(LossChart).show(shown, curve, empty=_why_no_curve(shown, seen))
        self.query_one(Story).show(seen.samples.get(shown), seen.notes, now=now)

    def action_stage(self, direction: int) -> None:
        """Show the neighbouring stage; past the last one, follow the run again."""
        if self._seen is None or not self._seen.stages:
            return
        names = [stage.name for stage in self._seen.stages]
        shown = self._chosen or _stage_to_follow(self._seen)
        index = (names.index(shown) if shown in names else 0) + direction
        self._chosen = names[max(index, 0)] if index < len(names) else None
        self._show()

    def action_smooth(self) -> None:
        """Cycle the smoothing."""
        self.query_one(LossChart).next_smoothing()

    def action_full(self) -> None:
        """Full or focused range."""
        self.query_one(LossChart).toggle_full()

    def action_log_scale(self) -> None:
        """Log or linear y."""
        self.query_one(LossChart).toggle_log()

    def action_chat(self) -> None:
        """Talk to this run's model."""
        self.app.push_screen(ChatScreen(self._home, self._run_name))

    def action_log(self) -> None:
        """The worker's log."""
        self.app.push_screen(LogScreen(self._home, self._run_name))

    def action_pause(self) -> None:
        """Pause a running run, let a paused one go on."""
        self.action_ask("resume" if self._seen is not None and self._seen.state == "paused" else "pause")

    @work
    async def action_stop(self) -> None:
        """Ask the person, then the run."""
        if self._seen is not None and await self.app.push_screen_wait(StopScreen(self._seen)):
            self.action_ask("stop")

    @work(thread=True, group="ask", exit_on_error=False)
    def action_ask(self, request: str) -> None:
        """Put a request into the run folder; the header shows it until the run has done it."""
        try:
            open_run(self._home, self._run_name).request(request)
            self._asked = request
        except (WorkbenchError, OSError) as error:
            self.post_message(ActionFailed(str(error)))

    @work(thread=True, group="ask", exit_on_error=False)
    def action_resume(self) -> None:
        """Put a worker on the run again."""
        from workbench.launcher import relaunch

        try:
            self.post_message(RunLaunched(relaunch(open_run(self._home, self._run_name)).name))
        except (WorkbenchError, OSError) as error:
            self.post_message(ActionFailed(str(error)))

    @on(RunLaunched)
    def _resumed(self) -> None:
        self._chosen = None
        self._look()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A live run takes requests, any other but a finished one can be resumed."""
        state = self._seen.state if self._seen is not None else ""
        live = self._seen is not None and self._seen.is_live
        if action in ("ask", "pause", "stop"):
            return live
        if action == "resume":
            return state in ("stopped", "failed", "crashed")
        return True

    def live_runs(self) -> list[str]:
        """The run, if it goes on when this window closes."""
        return [self._seen.name] if self._seen is not None and self._seen.is_live else []


def _stage_to_follow(seen: RunSeen) -> str:
    """The running stage; once the run is over, the last one that has a curve."""
    if not seen.is_live and seen.curves.keys() and seen.stage not in seen.curves:
        return next(stage.name for stage in reversed(seen.stages) if stage.name in seen.curves)
    return seen.stage


def _why_no_curve(stage: str, seen: RunSeen) -> str:
    if not stage:
        return "The worker is starting." if seen.is_live else "This run never came to a stage."
    state = next((one.state for one in seen.stages if one.name == stage), "waiting")
    if state == "reused":
        return f"{stage} was made by an earlier run and is reused."
    if stage in ("start", "corpus", "tokenizer", "pack", "eval"):
        return f"{stage} has no loss; pretrain, sft and dpo draw one."
    return f"{stage} has no loss yet."


def _is_pending(asked: str, seen: RunSeen, was: RunSeen | None) -> bool:
    """Whether the request still waits: the run answers by its state, a save by a new checkpoint."""
    if not seen.is_live:
        return False
    if asked == "save":
        return was is None or seen.checkpoint_at == was.checkpoint_at
    return seen.state != {"pause": "paused", "resume": "running"}.get(asked, "stopped")
