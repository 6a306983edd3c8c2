"""The verb that gives disk back: clean."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.output import Home, Json, print_json, print_table, result

if TYPE_CHECKING:
    from workbench.leftovers import Leftover


def add_to(app: typer.Typer) -> None:
    """Register the verb."""
    app.command()(clean)


def clean(
    yes: Annotated[bool, typer.Option("--yes", help="Remove it; without, it is only listed.")] = False,
    keep_caches: Annotated[bool, typer.Option("--keep-caches", help="Leave the caches alone.")] = False,
    home: Home = None,
    json: Json = False,
) -> None:
    """List what no run refers to, and remove it with --yes.

    Artifacts that no run's plan or recipe names, directly or as what another was made of; what was begun and
    no run goes on with; remains of killed processes; caches, while no run is at work. What a run names stays,
    whatever became of it. What only a recipe of another home names by its folder does not count.

    Example: workbench clean --yes
    """
    from workbench.files import human_bytes
    from workbench.leftovers import leftovers, remove, working
    from workbench.runs import find_home

    place = find_home(home)
    found = leftovers(place, caches=not keep_caches)
    busy = [run.name for run in working(place)]
    gone = [each for each in found if yes and remove(place, each)]
    done = gone if yes else found
    num_bytes = sum(each.num_bytes for each in done)
    if json:
        print_json(
            {
                "home": place,
                "removed": yes,
                "bytes": num_bytes,
                "items": [_as_json(each, place, is_gone=each in gone) for each in found],
                "at_work": busy,
            }
        )
        return
    if found:
        rows = [
            [
                each.kind,
                _shown(each, place),
                human_bytes(each.num_bytes),
                _why(each, yes and each not in gone),
            ]
            for each in found
        ]
        print_table(["what", "where", "size", "why"], rows, right=[2])
    spared = f"; caches stay while {busy[0]} is at work" if busy and not keep_caches else ""
    if not found:
        result(f"nothing can go{spared}")
    elif yes:
        result(f"removed {_count(done)}, {human_bytes(num_bytes)}{spared}")
    else:
        result(f"{_count(done)} can go, {human_bytes(num_bytes)}: add --yes to remove{spared}")


def _count(items: list[Leftover]) -> str:
    return f"{len(items):,} thing{'' if len(items) == 1 else 's'}"


def _shown(item: Leftover, home: Path) -> str:
    return item.path.relative_to(home).as_posix()


def _why(item: Leftover, stayed: bool) -> str:
    return "stayed: somebody needs it now, or it cannot be deleted" if stayed else item.why


def _as_json(item: Leftover, home: Path, *, is_gone: bool) -> dict[str, Any]:
    return {
        "kind": item.kind,
        "path": _shown(item, home),
        "bytes": item.num_bytes,
        "why": item.why,
        "removed": is_gone,
    }
