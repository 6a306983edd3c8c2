"""Verbs that make: new, recipes, check, plan, run."""

from __future__ import annotations

import dataclasses
import json as json_module
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.output import Home, Json, print_json, print_table, result, say
from workbench.errors import BadInput, ExitCode
from workbench.safe_text import one_line

if TYPE_CHECKING:
    from workbench.budget import Budget
    from workbench.plan import Plan, Setting
    from workbench.recipe_file import LoadedRecipe

Recipe = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A .toml file, or the name of a shipped recipe.")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="TABLE.KEY=VALUE", help="Replace one value of the recipe. Repeatable."),
]
Name = Annotated[str | None, typer.Option("--name", help="Name the run yourself.")]
Nproc = Annotated[
    int,
    typer.Option(
        "--nproc", metavar="N", help="Train on N devices, with a process each (no GPU: on N processes)."
    ),
]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="REF",
        help="Start from this model instead of [model] and [tokenizer]: a folder, or RUN/STAGE@STEP. From a checkpoint "
        "of pretraining it is a branch: optimizer, step and place in the data are taken along.",
    ),
]


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    for verb in (run, new, recipes, check, plan):
        app.command()(verb)


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Writes NAME.toml here.")],
    source: Annotated[
        str, typer.Option("--from", metavar="RECIPE", help="The recipe to start from.")
    ] = "quickstart",
) -> None:
    """Write NAME.toml from a shipped recipe.

    Comments are kept: they say what each value does.

    Example: workbench new mymodel --from quickstart
    """
    import re

    from workbench.files import write_atomic
    from workbench.recipe_file import NAME, NAME_RULE, find_recipe

    stem = name.removesuffix(".toml")
    if not NAME.fullmatch(stem):
        raise BadInput(f"{name!r} is not a recipe name", fix=NAME_RULE)
    target = Path(f"{stem}.toml")
    if target.exists():
        raise BadInput("is there already", file=target, fix="choose another name or delete it first")
    text = find_recipe(source).read_text(encoding="utf-8")
    named, count = re.subn(r'(?m)^name\s*=\s*".*"', f'name = "{stem}"', text, count=1)
    write_atomic(target, named if count else f'name = "{stem}"\n{text}')
    say(f"next: edit {target}, then `workbench check {target}` and `workbench run {target}`")
    result(str(target))


def recipes(json: Json = False) -> None:
    """List the shipped recipes.

    Example: workbench recipes
    """
    from workbench.recipe_file import shipped_recipes

    found = shipped_recipes()
    if json:
        print_json([{"name": name, "description": description} for name, description in found])
    else:
        print_table(("recipe", "what it makes"), found)


def check(
    recipe: Recipe, assignments: Set = None, start: From = None, home: Home = None, json: Json = False
) -> None:
    """Validate a recipe without running it.

    Every problem is told at once, each as FILE:LINE: message.

    Example: workbench check mymodel.toml
    """
    from workbench.plan import make_plan
    from workbench.prechecks import precheck

    loaded = _load(recipe, assignments, start, home=home)
    planned = make_plan(loaded, home=home)
    precheck(planned, loaded)
    if json:
        print_json(
            {"recipe": str(loaded.path), "ok": True, "stages": [stage.name for stage in planned.stages]}
        )
    else:
        say(f"{loaded.path}: fine; stages: {', '.join(stage.name for stage in planned.stages)}")


def plan(
    recipe: Recipe,
    assignments: Set = None,
    start: From = None,
    name: Name = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="Take 20 real steps first, and tell time and memory from those.")
    ] = False,
    nproc: Annotated[
        int,
        typer.Option(
            "--nproc", metavar="N", help="Plan for N devices like this machine's (no GPU: for N processes)."
        ),
    ] = 1,
    home: Home = None,
    json: Json = False,
) -> None:
    """Say what a run will do and cost.

    Its stages, what is there already and why, parameters, FLOPs, memory, disk and time; whether it fits; how often each
    source is read, and what packing wastes and cuts; which share of near duplicates is found at which similarity.

    With --probe a child process takes 20 real steps of pretraining, an evaluation, samples and a checkpoint, on the
    packed tokens where they exist; what these take is remembered for this shape on this machine, and every part of the
    time is told from it. A run does the same by itself, for the plans after it.

    With --nproc it tells what each of N devices holds, laid out as `run --nproc N` and the keys replicate and
    tensor_parallel have it, and what they hold besides while they save. There need not be so many here.

    Example: workbench plan quickstart --set pretrain.tokens=4M

    Example: workbench plan quickstart --set model.size=7b --nproc 8
    """
    from workbench.budget import estimate
    from workbench.cli.copies import curve_facts, curve_lines, planned_near_duplicates
    from workbench.cli.corpus_plan import corpus_facts, corpus_lines
    from workbench.cli.costs import cost_lines
    from workbench.cli.reading import reading_lines
    from workbench.files import human_count
    from workbench.plan import make_plan
    from workbench.prechecks import check_machine, check_start
    from workbench.reading_plan import planned_reading

    loaded = _load(recipe, assignments, start, home=home)
    planned = make_plan(loaded, home=home, name=name)
    check_machine(planned, loaded, nproc=nproc)
    check_start(planned, loaded)
    if probe:
        if nproc > 1:
            raise BadInput("--probe takes its steps in one process", fix="leave --nproc or --probe out")
        from workbench.cli.costs import probe_line
        from workbench.probe import probe_plan

        say("probing: 20 steps of pretraining in a process of their own")
        say(probe_line(probe_plan(planned)))
    near = planned_near_duplicates(planned)
    budget, reading = estimate(planned, nproc=nproc), planned_reading(planned)
    if json:
        print_json(
            {
                **planned.to_dict(),
                "home": str(planned.home),
                "budget": budget.to_dict(),
                "reading": None if reading is None else dataclasses.asdict(reading),
                "near_duplicates": curve_facts(near),
                "corpus": corpus_facts(planned),
                "reuse": _reuse(planned),
            }
        )
        return
    _print_stages(planned, budget)
    result("")
    result(f"run      {planned.name}   in {planned.home}")
    _print_start(planned)
    if budget.parameters:
        result(
            f"model    {human_count(budget.parameters)} parameters, {human_count(budget.tokens)} tokens, "
            f"{budget.flops:.2g} FLOPs{_known_as(budget)}"
        )
    for line in (
        *corpus_lines(planned),
        *(curve_lines(near) if near is not None else ()),
        *(reading_lines(reading) if reading is not None else ()),
        *cost_lines(budget),
    ):
        result(line)
    for refusal in budget.refusals:
        say(refusal)
    _print_changed(planned)
    if budget.problems:
        raise typer.Exit(int(ExitCode.BAD_INPUT))


def _load(
    recipe: str, assignments: list[str] | None, start: str | None, *, home: Path | None
) -> LoadedRecipe:
    """The recipe as the options change it."""
    from workbench.recipe_file import load_recipe, parse_assignments
    from workbench.starting_point import start_from

    given = None if start is None else start_from(start, home=home)
    return load_recipe(recipe, parse_assignments(assignments or []), start=given)


def _known_as(budget: Budget) -> str:
    if budget.architecture == "workbench" and budget.exported_as:
        return f"; exported as {budget.exported_as}, its multipliers folded into the weights"
    if budget.architecture == "workbench":
        why = f" ({', '.join(budget.own_parts)})" if budget.own_parts else ""
        return f"; of no architecture that other programs know{why}: it cannot be exported"
    return f"; saved as {budget.architecture}" if budget.architecture else ""


def _print_start(planned: Plan) -> None:
    """Where it begins, when that is not random weights."""
    for stage in planned.stages:
        if stage.shape is not None:
            what = (
                "a branch of that training" if stage.settings["state"].value == "training" else "its weights"
            )
            shape = f"{stage.shape.num_hidden_layers} layers of {stage.shape.hidden_size}"
            length = f"context {stage.shape.max_position_embeddings:,}"
            result(
                f"start    {one_line(stage.settings['model'].value, 60)}: {what}, {shape}, {length}, and its tokenizer"
            )


def _print_stages(planned: Plan, budget: Budget) -> None:
    from workbench.files import human_duration

    rows = []
    for stage in planned.stages:
        done, why = planned.reuse(stage)
        cost = budget.stages[stage.name]
        time = "" if done else f"~{human_duration(cost.seconds)}"
        what = one_line(cost.summary, 18) if cost.summary else ""
        rows.append((stage.name, "reuse" if done else "run", time, what, str(stage.makes) if done else why))
    print_table(("stage", "", "time", "size", "why"), rows, right=(2,))


def _print_changed(planned: Plan) -> None:
    """Every value that is not the default, and where it comes from."""
    tables: dict[str, dict[str, Setting]] = {}
    for stage in planned.stages:
        for table, settings in ((stage.name, stage.settings), ("model", stage.model or {})):
            for key, setting in settings.items():
                for name, each in setting.flat(f"{table}.{key}"):
                    whole, _, last = name.rpartition(".")
                    tables.setdefault(whole, {})[last] = each
    result("\nnot the defaults, from the recipe unless another origin is named:")
    for table, settings in tables.items():
        changed = [
            f"{key} = {one_line(json_module.dumps(setting.value, ensure_ascii=False), 60)}"
            + (f" ({setting.origin})" if setting.origin != "recipe" else "")
            for key, setting in settings.items()
            if setting.origin != "default"
        ]
        if changed:
            whole = "  ".join(item.replace(" ", "\N{NO-BREAK SPACE}") for item in changed)
            lines = textwrap.wrap(
                whole, 78, initial_indent=f"  {f'[{table}]':<11} ", subsequent_indent=" " * 14
            )
            result("\n".join(lines).replace("\N{NO-BREAK SPACE}", " "))


def _reuse(planned: Plan) -> dict[str, Any]:
    return {
        stage.name: dict(zip(("reuse", "why"), planned.reuse(stage), strict=True)) for stage in planned.stages
    }


def run(
    recipe: Recipe,
    assignments: Set = None,
    start: From = None,
    name: Name = None,
    until: Annotated[str | None, typer.Option(help="Stop after this stage.")] = None,
    only: Annotated[str | None, typer.Option(help="Run this stage alone.")] = None,
    force: Annotated[
        list[str] | None,
        typer.Option(
            help="Make this stage again, even if it is there; not what follows from it. Repeatable."
        ),
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Start it and return at once.")] = False,
    nproc: Nproc = 1,
    home: Home = None,
    json: Json = False,
) -> None:
    """Do what a recipe says, from where it is.

    The last line on stdout is the run's name. The same recipe with the same settings is the same run: run it
    again and it goes on where it was cut off, follows it while it lives, or returns at once when it is
    finished. Ctrl-C asks whether to stop or detach; closing the terminal never stops a run. In a script,
    SIGTERM or SIGINT sent to a watching `run` stops the run with everything saved.

    With --nproc, or under torchrun on several machines, the same recipe is the same run: it can go on with
    another number of devices.

    Example: workbench run quickstart --set pretrain.tokens=4M

    Example: torchrun --nproc-per-node 8 -m workbench run quickstart

    Example: workbench run quickstart --from quickstart/pretrain@600 --set pretrain.learning_rate=0.01
    """
    from workbench.cli.foreground import watch_run
    from workbench.launcher import launch, prepare
    from workbench.layout import Seat, lay_out
    from workbench.plan import make_plan
    from workbench.prechecks import precheck, require_inputs
    from workbench.runs import Run

    seat = Seat.here()
    if seat.rank > 0:  # torchrun's: the first one reads the recipe and says what to do
        from workbench.follower import main as follow

        raise typer.Exit(follow())
    lay_out(nproc)
    loaded = _load(recipe, assignments, start, home=home)
    planned = make_plan(loaded, home=home, name=name)
    if until is not None and only is not None:
        raise BadInput("--until and --only exclude each other", fix="leave one of them out")
    if not Run(planned.home / "runs" / planned.name).is_alive():  # a live run is only followed
        if only is not None:
            require_inputs(planned, only, again=only in (force or ()))
        precheck(planned, loaded, nproc=max(nproc, seat.ranks))
    if seat.ranks > 1:
        from workbench.worker import work_here

        prepared = prepare(planned, until=until, only=only, force=force or [], nproc=seat.ranks)
        result(prepared.name)
        raise typer.Exit(work_here(prepared, until=until, only=only, force=force or []))
    started = launch(planned, until=until, only=only, force=force or [], nproc=nproc)
    if detach:
        say(f"started; `workbench follow {started.name}` shows it, `workbench stop {started.name}` ends it")
        code = 0
    else:
        code = watch_run(started, json=json)
    if json:
        print_json({"run": started.name, "home": str(started.home), "state": started.state()})
    else:
        result(started.name)
    if code:
        raise typer.Exit(code)
