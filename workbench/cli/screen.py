"""Opening the screen: `workbench` alone, and `workbench open`. The only place where the CLI meets the TUI."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.cli.output import Home
from workbench.cli.watch import follow
from workbench.errors import BadInput, ExitCode


def add_to(app: typer.Typer) -> None:
    """Register the verbs and what happens when there is none."""
    app.callback(invoke_without_command=True)(default)
    app.command(name="open")(open_screen)


def default(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Build a language model from scratch on this machine: raw text in, a model you can talk to out.

    Start here: workbench run quickstart
    """
    if version:
        import workbench

        print(workbench.__version__)
        raise typer.Exit()
    if context.invoked_subcommand is not None:
        return
    if _opening().why_not():
        print(context.get_help())
        raise typer.Exit(int(ExitCode.BAD_INPUT))
    _start(None, None)


def open_screen(
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="Open on this run.")] = None,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Only look: nothing can be steered or started.")
    ] = False,
    inline: Annotated[
        bool, typer.Option("--inline", help="RUN in four lines below the prompt, not a whole screen.")
    ] = False,
    plain: Annotated[
        bool, typer.Option("--plain", help="RUN as plain lines, as where there is no terminal.")
    ] = False,
    home: Home = None,
) -> None:
    """Open the terminal app, on a run or on the list of runs.

    Where there is no terminal, or one that can only print, RUN is followed in plain lines.

    Example: workbench open quickstart
    """
    from workbench.runs import find_home, open_run

    reason = _opening().why_not()
    if run is None and (inline or plain):
        raise BadInput(
            "--inline and --plain show one run",
            fix="name it: workbench open RUN; `workbench runs` lists them",
        )
    name = open_run(find_home(home), run).name if run is not None else None
    if name is not None and (plain or reason):
        follow(name, home)
    if reason:
        raise BadInput(reason)
    if name is not None and inline:
        raise typer.Exit(_opening().open_inline(find_home(home), name))
    _start(name, home, read_only=read_only)


def _start(run: str | None, home: Path | None, *, read_only: bool = False) -> None:
    from workbench.runs import find_home

    raise typer.Exit(_opening().open_app(find_home(home), run, read_only=read_only))


def _opening() -> Any:
    # By name: `workbench` does not import `tui`, the command that opens the screen starts it.
    return importlib.import_module("tui.opening")
