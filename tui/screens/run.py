"""One run, live: its stages, figures and curves of one of them, what it wrote and said, and how it is steered."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.screen import Screen

from tui import commands, steering
from tui.chart.track import StageCurves
from tui.diagnosis import Finding, diagnose
from tui.feed import RunFeed
from tui.keys import bind
from tui.messages import ActionFailed, Asked, RoomsLooked, RunLaunched, RunRead
from tui.plots import plots_of
from tui.rooms import room, room_bindings, room_command
from tui.run_seen import RunSeen
from tui.waiting import MADE_BY, room_waits
from tui.widgets.charts import Charts
from tui.widgets.key_bar import KeyBar
from tui.widgets.run_glance import told_stage
from tui.widgets.run_header import RunHeader
from tui.widgets.stage_board import stage_board
from tui.widgets.stage_rail import StageRail
from tui.widgets.still import StillText
from tui.widgets.story import ROOMY, Story, why_it_ended
from tui.widgets.tiles import Tiles, tiles_of
from workbench.errors import WorkbenchError, in_one_line
from workbench.runs import open_run

if TYPE_CHECKING:
    from tui.screens.stop import AskScreen

POLL_SECONDS = 1.0
CATCHING_UP_SECONDS = 1.0
"""While a long history is read, the picture is drawn so often: reading comes first."""

REQUEST_COLORS = {"asked": "$warning", "taken": "$warning", "done": "$success", "refused": "$error"}
REQUEST_SIGNS = {"asked": "asked for…", "taken": "taken…", "done": "✓", "refused": "✗ refused:"}


def _room_of(action: str, parameters: tuple[object, ...]) -> str:
    """The room that a key opens when it can wait for a stage; empty for any other key."""
    name = str(parameters[0]) if action == "room" and parameters else action
    return name if name in MADE_BY else ""


def _rooms_hang_on(seen: RunSeen) -> tuple[object, ...]:
    """What must change before a room can have something to show that it had not."""
    return seen.state, seen.checkpoint_at is None, tuple(stage.state for stage in seen.stages)


class RunScreen(Screen[None]):
    """A view of one run folder. Leaving it leaves the run as it is."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("back", description="runs", tooltip="Back to the runs"),
        bind("runs", "back", show=False),
        bind("save", "ask('save')"),
        bind("pause"),
        bind("pause", "go_on", description="go on", tooltip="Let the run go on"),
        bind("stop"),
        bind("resume"),
        bind("steer"),
        bind("chat"),
        *room_bindings("scores", "corpus", "tokens", show=True),
        bind("tune", show=False),
        bind("decay", show=False),
        bind("branch", show=False),
        bind("stage_before", "stage(-1)", show=False),
        bind("stage_after", "stage(1)", show=False),
        bind("earlier", "sample(-1)", show=False, tooltip="An earlier sample"),
        bind("later", "sample(1)", show=False, tooltip="A later sample"),
        bind("prompt", show=False),
        bind("freeze", show=False),
        bind("log", show=False),
        *room_bindings("recipe", "doctor", show=False),
    ]
    DEFAULT_CSS = """
    RunScreen #asked { margin: 0 1; height: 1; display: none; text-wrap: nowrap; text-overflow: ellipsis; }
    RunScreen.-asking #asked { display: block; }
    RunScreen #board { margin: 0 1 1 1; height: auto; display: none; }
    """

    def __init__(self, home: Path, name: str) -> None:
        super().__init__()
        self._home, self._run_name = home, name
        self._feed: RunFeed | None = None
        self._seen: RunSeen | None = None
        self._chosen: str | None = None  # a stage chosen by hand; None follows the run
        self._asked: steering.Asked | None = None
        self._findings: tuple[object, list[Finding]] = (None, [])
        self._wait: frozenset[str] = frozenset()  # rooms with nothing to show yet
        self._rooms_of: object = None  # what they were looked at for
        self._frozen = self._looking = False
        self._drawn_at = 0.0

    def compose(self) -> ComposeResult:
        """Top to bottom."""
        yield RunHeader(id="headline")
        yield StageRail(id="rail")
        yield Tiles()
        yield StillText(id="asked")
        yield StillText(id="board")
        yield Charts()
        yield Story()
        yield KeyBar()

    def on_mount(self) -> None:
        """Look at once, then every second."""
        self._look()
        self.set_interval(POLL_SECONDS, self._look)

    def on_screen_resume(self) -> None:
        """Fresh when seen again."""
        self._look()

    def command(self) -> str:
        """The same in a shell."""
        return commands.workbench(self._home, "follow", self._run_name)

    def command_for(self, action: str, parameters: tuple[object, ...]) -> str:
        """The command of a key: what is asked of the run, or what shows the same."""
        told = str(parameters[0]) if parameters else ""
        asked = {"ask": told, "go_on": "pause"}.get(action, action)
        actions = steering.actions_for(self._seen, self._home) if self._seen is not None else []
        for each in actions:
            if each.name == asked:
                return each.command
        if action == "back":
            return commands.workbench(self._home, "runs")
        shown = told if action == "room" else action
        return room_command(shown, self._home, self._run_name) if action in ("room", "chat", "log") else ""

    def _look(self) -> None:
        if self.is_active and not self._looking and not self._frozen:
            self._looking = True
            self._read()

    @work(thread=True, group="feed", exit_on_error=False)
    def _read(self) -> None:
        try:
            if self._feed is None:
                self._feed = RunFeed(open_run(self._home, self._run_name))
            seen = self._feed.look()
            self.post_message(RunRead(seen))
            if self._rooms_of != _rooms_hang_on(seen):
                self._rooms_of = _rooms_hang_on(seen)
                waiting = [name for name in MADE_BY if room_waits(name, self._home, self._run_name)]
                self.post_message(RoomsLooked(frozenset(waiting)))
        except (WorkbenchError, OSError) as error:
            self.post_message(ActionFailed(in_one_line(error)))
        finally:
            self._looking = False

    @on(RunRead)
    def _take(self, message: RunRead) -> None:
        was, self._seen = self._seen, message.seen
        now = time.monotonic()
        if not (message.seen.behind and now - self._drawn_at < CATCHING_UP_SECONDS):
            self._drawn_at = now
            self._show()
        if was is None or (was.state, was.stage) != (message.seen.state, message.seen.stage):
            self.refresh_bindings()
        if message.seen.behind:
            self._look()

    @on(RoomsLooked)
    def _rooms(self, message: RoomsLooked) -> None:
        self._wait = message.waiting
        self.refresh_bindings()

    def _show(self) -> None:
        seen = self._seen
        if seen is None:
            return
        now = time.time()
        shown = self._chosen or seen.stage
        curves = seen.curves.get(shown)
        if (
            curves is not None
            and not curves.axes()[1:]
            and not len(curves.training)
            and not len(curves.measured)
        ):
            curves = None
        key = (seen.version, shown, seen.state)
        if self._findings[0] != key:
            self._findings = key, diagnose(seen, curves)
        self.query_one(RunHeader).show(seen, now=now, frozen=self._frozen)
        self.query_one(StageRail).show(seen.stages, shown=self._chosen or "")
        self.query_one(Tiles).show(tiles_of(seen, seen.stage_seen(shown)))
        self._show_asked(seen)
        self._show_curves(seen, shown, curves)
        self.query_one(Story).show(
            seen.samples.get(shown, ()),
            self._findings[1],
            seen.notes,
            now=now,
            ended=why_it_ended(seen.state, seen.notes),
        )

    def _show_curves(self, seen: RunSeen, shown: str, curves: StageCurves | None) -> None:
        """The curves of the stage. Of one without any the board of stages, and below it what was learned, with room."""
        charts, board = self.query_one(Charts), self.query_one("#board", StillText)
        plots, room = plots_of(shown, curves), charts.size
        told = stage_board(seen, shown, width=self.size.width - 2, height=room.height)
        learned = plots_of(told_stage(seen), seen.curves.get(told_stage(seen)))
        board.display = not plots and bool(learned) and self.size.height >= ROOMY
        if board.display:
            plots = learned
            board.put(told, layout=True)
        charts.show(plots, empty=told, version=(seen.version, shown, seen.state, room))

    def _show_asked(self, seen: RunSeen) -> None:
        self.set_class(self._asked is not None, "-asking")
        if self._asked is None:
            return
        state, said = steering.progress_of(self._asked, seen)
        color = REQUEST_COLORS[state]
        self.query_one("#asked", StillText).put(
            Content.assemble(
                (f"{self._asked.label} {REQUEST_SIGNS[state]} ", f"{color} bold"), (said, "$dim")
            )
        )

    def action_back(self) -> None:
        """Leave the run as it is."""
        if len(self.app.screen_stack) > 1:
            self.app.pop_screen()
        else:
            from tui.screens.home import HomeScreen

            self.app.switch_screen(HomeScreen(self._home))

    def action_stage(self, direction: int) -> None:
        """Show the neighbouring stage; past the last one, follow the run again."""
        if self._seen is None or not self._seen.stages:
            return
        names = [stage.name for stage in self._seen.stages]
        shown = self._chosen or self._seen.stage
        index = (names.index(shown) if shown in names else 0) + direction
        self._chosen = names[max(index, 0)] if index < len(names) else None
        self._show()

    def action_sample(self, direction: int) -> None:
        """An earlier or later sample of the same prompt."""
        self.query_one(Story).turn(direction)

    def action_prompt(self) -> None:
        """The samples of the next prompt."""
        self.query_one(Story).turn_prompt()

    def action_freeze(self) -> None:
        """Stand still, or go on."""
        self._frozen = not self._frozen
        self._show()
        self._look()

    def action_chat(self) -> None:
        """Talk to this run's model."""
        from tui.screens.chat import ChatScreen

        self.app.push_screen(ChatScreen(self._home, self._run_name))

    def action_room(self, name: str) -> None:
        """A room about this run."""
        self.app.push_screen(room(name, self._home, self._run_name))

    def action_log(self) -> None:
        """The worker's log."""
        from tui.screens.log import LogScreen

        self.app.push_screen(LogScreen(self._home, self._run_name))

    def action_pause(self) -> None:
        """Pause a running run, let a paused one go on."""
        self.action_ask("resume" if self._is_paused else "pause")

    def action_go_on(self) -> None:
        """Let a paused run go on."""
        self.action_ask("resume")

    @property
    def _is_paused(self) -> bool:
        return self._seen is not None and self._seen.state == "paused"

    @work
    async def action_steer(self) -> None:
        """All that can be asked for."""
        from tui.screens.steer import SteerScreen

        if self._seen is None:
            return
        actions = steering.actions_for(self._seen, self._home)
        chosen = await self.app.push_screen_wait(SteerScreen(self._seen.name, actions))
        if chosen == "save":
            self.action_ask("save")
        elif chosen:
            getattr(self, f"action_{chosen}")()

    @work
    async def action_stop(self) -> None:
        """Ask the person, then the run."""
        from tui.screens.stop import StopScreen

        if self._seen is not None:
            await self._ask_first(StopScreen(self._seen, self._home))

    @work
    async def action_decay(self) -> None:
        """Ask the person, then the run."""
        from tui.screens.stop import DecayScreen

        if self._seen is not None:
            await self._ask_first(DecayScreen(self._seen, self._home))

    async def _ask_first(self, question: AskScreen) -> None:
        """Ask the run for what the person answers, unless that is to leave it alone."""
        if request := await self.app.push_screen_wait(question):
            self.action_ask(request)

    @work
    async def action_tune(self) -> None:
        """Let the person write what is to change, then ask the run."""
        from tui.screens.tune import TuneScreen

        if request := await self.app.push_screen_wait(TuneScreen(self._home, self._run_name)):
            self.action_ask(request)

    @work
    async def action_branch(self) -> None:
        """A new run; the screen goes over to it."""
        from tui.screens.tune import BranchScreen

        if name := await self.app.push_screen_wait(BranchScreen(self._home, self._run_name)):
            self.app.push_screen(RunScreen(self._home, name))

    @work(thread=True, group="ask", exit_on_error=False)
    def action_ask(self, request: str) -> None:
        """Put a request into the run folder; a line shows what becomes of it."""
        try:
            name = open_run(self._home, self._run_name).request(request)
            self.post_message(Asked(request, name))
        except (WorkbenchError, OSError) as error:
            asked = steering.Asked(request, "", 0.0).label
            self.post_message(ActionFailed(f"{asked} could not be asked for: {in_one_line(error)}"))

    @on(Asked)
    def _request_lies_there(self, message: Asked) -> None:
        self._asked = steering.Asked(message.request, message.name, time.time())
        self._show()
        self._look()

    @work(thread=True, group="ask", exit_on_error=False)
    def action_resume(self) -> None:
        """Put a worker on the run again."""
        from workbench.launcher import relaunch

        try:
            self.post_message(RunLaunched(relaunch(open_run(self._home, self._run_name)).name))
        except (WorkbenchError, OSError) as error:
            self.post_message(ActionFailed(in_one_line(error)))

    @on(RunLaunched)
    def _resumed(self) -> None:
        self._chosen = self._asked = None
        self._look()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A live run takes requests, any other but a finished one can be resumed."""
        seen = self._seen
        if action == "go_on":
            return self._is_paused
        if action in ("pause", "stop"):
            return seen is not None and seen.is_live and not (action == "pause" and self._is_paused)
        if action == "ask" or action in ("tune", "decay"):
            return seen is not None and seen.is_live and seen.stage in steering.TRAINING
        if action == "prompt":
            return seen is not None and len(seen.samples.get(self._chosen or seen.stage, ())) > 1
        if action == "branch":
            return seen is not None and "pretrain" in seen.curves
        if action == "resume":
            return seen is not None and seen.state in steering.STOPPED
        return None if _room_of(action, parameters) in self._wait else True

    def why_not(self, action: str, parameters: tuple[object, ...]) -> str:
        """What a dim key waits for."""
        wanted, seen = _room_of(action, parameters), self._seen
        at_work = seen.stage_seen(seen.stage) if seen is not None else None
        left = at_work.seconds_left if at_work is not None else None
        return (wanted and room_waits(wanted, self._home, self._run_name, seconds_left=left)) or "not now"

    @property
    def run_name(self) -> str:
        """The folder's name of the run."""
        return self._run_name

    def live_runs(self) -> list[str]:
        """The run, if it goes on when this window closes."""
        return [self._seen.name] if self._seen is not None and self._seen.is_live else []
