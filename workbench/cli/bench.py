"""`workbench bench …`: measured speed, beside limits and peers measured in the same run."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from workbench.cli.bench_tables import print_corpus, print_race, print_scaling, print_speed, print_tui
from workbench.cli.output import Json, print_json, say
from workbench.errors import BadInput

if TYPE_CHECKING:
    from workbench.bench.settings import OurSettings
    from workbench.bench.workload import Workload

bench = typer.Typer(
    help="Measure speed on this machine, beside its limits.",
    rich_markup_mode=None,
    no_args_is_help=True,
)


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    app.add_typer(bench, name="bench")


@bench.callback()
def _bench() -> None:
    """Measure speed on this machine, beside its limits."""


@bench.command()
def train(
    size: Annotated[str | None, typer.Option(help="A named size instead of --layers and --width.")] = None,
    layers: Annotated[int, typer.Option(min=1)] = 6,
    width: Annotated[int, typer.Option(min=64, help="Width of the model; heads are 64 wide.")] = 256,
    context: Annotated[int, typer.Option(min=2, help="Tokens of a row.")] = 256,
    batch_tokens: Annotated[int, typer.Option(min=2, help="Tokens of a step.")] = 4096,
    vocab: Annotated[int, typer.Option(min=300, help="Entries of the vocabulary.")] = 4096,
    dtype: Annotated[
        Literal["auto", "bfloat16", "float32"],
        typer.Option(help="Of matrix products; auto is what is fast here."),
    ] = "auto",
    optimizer: Annotated[
        Literal["muon", "adamw"], typer.Option(help="Ours, for the headline and the race.")
    ] = "muon",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads [default: one per core]")] = None,
    clock: Annotated[
        Literal["wall", "cpu"],
        typer.Option(help="What seconds mean; cpu (of the process) with --threads 1 suits a shared machine."),
    ] = "wall",
    steps: Annotated[int, typer.Option(min=1, help="Timed steps of each row and round.")] = 5,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds in which every row has its turn.")] = 3,
    scaling: Annotated[
        bool, typer.Option("--scaling", help="Also step time against width and against tokens.")
    ] = False,
    peer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:PATH]",
            help="Also nanogpt:CHECKOUT, nanochat:CHECKOUT, litgpt[:PYTHON], transformers[:PYTHON]; repeatable.",
        ),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="Text to race on, side by side: bits per byte over time; repeatable "
            "[default, with --seconds: the source of Python's library].",
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(min=1, help="Race, every system for so long on the clock [default, with --data: 180]"),
    ] = None,
    preset: Annotated[
        Literal["race", "plain"] | None,
        typer.Option(
            "--settings",
            help="Ours: race is what goes furthest in minutes on much text, plain has none of its wins "
            "[default: race in a race, else plain]",
        ),
    ] = None,
    wins: Annotated[
        bool,
        typer.Option("--wins", help="Race ours also without its wins, then with one more each time."),
    ] = False,
    our_seconds: Annotated[
        list[float] | None, typer.Option(min=1, help="Race ours also for so long; repeatable.")
    ] = None,
    every: Annotated[float, typer.Option(min=1, help="Seconds between points of a curve.")] = 20,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Of our model, optimizer or schedule; repeatable."),
    ] = None,
    tokens: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the race's tokens here, and use them again.")
    ] = None,
    compiled: Annotated[
        bool,
        typer.Option(
            "--compile/--no-compile", help="Peers, and a row of ours, under torch.compile, not timed."
        ),
    ] = True,
    json: Json = False,
) -> None:
    """Measure a training step: tokens/s, MFU, memory, its parts, what each win gave; or race peers.

    The limit is a large matrix product on the same clock in the same run; every row is a process of its own.
    With --seconds or --data every system trains on the same tokens for the same seconds, and ours with --settings race:
    an untied head, a table for bigrams, first weights fitted to them, half the tokens a step, compiled layers. They are
    for text that is read once at most; --settings plain leaves them out, --wins tells what each gave.

    Example: workbench bench train --threads 1 --clock cpu --peer nanogpt:~/nanoGPT
    Example: workbench bench train --peer nanochat:~/nanochat --seconds 360 --data books.jsonl
    """
    from workbench.bench.peers import parse_peer
    from workbench.bench.presets import settings_of
    from workbench.bench.workload import Workload
    from workbench.train.device import prepare_machine

    peers = [parse_peer(text) for text in peer or ()]
    racing = bool(data or our_seconds or wins or tokens) or seconds is not None
    if scaling and racing:
        raise BadInput("--scaling is no part of a race", fix="leave out --seconds and --data, or --scaling")
    if wins and preset == "plain":
        raise BadInput("--wins are those of --settings race", fix="leave out one of the two")
    preset = preset or ("race" if racing else "plain")
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    machine = prepare_machine(dtype)
    if clock == "cpu" and machine.device.type != "cpu":
        raise BadInput("--clock cpu says nothing about a GPU", fix="leave it out")
    fields: dict[str, int] = {}
    if size is not None:
        layers, width, fields = _of_size(size)
    workload = Workload(
        num_hidden_layers=layers,
        hidden_size=width,
        context_length=context,
        batch_tokens=batch_tokens,
        vocab_size=vocab,
        dtype="float32" if machine.autocast is None else "bfloat16",
        threads=machine.threads,
        clock=clock,
        compiled=compiled,
    )
    changes = [
        *(f"{key}={value}" for key, value in fields.items()),
        f"optimizer={optimizer}",
        *(change or ()),
    ]
    settings = settings_of(preset, workload, changes)
    workload.model_config(**settings.model)  # what cannot be is said now
    facts: dict[str, Any] = {"workload": workload.to_json(), "device": machine.device.type}
    with tempfile.TemporaryDirectory(prefix="workbench-bench-") as scratch:
        if racing:
            facts |= _race(
                data,
                tokens or Path(scratch),
                workload,
                settings,
                changes=changes if wins else None,
                peers=peers,
                seconds=180 if seconds is None else seconds,
                our_seconds=our_seconds or (),
                every=every,
            )
        else:
            facts |= _speed(Path(scratch), workload, settings, peers=peers, steps=steps, rounds=rounds)
            if scaling:
                from workbench.bench.scaling import measure_scaling

                facts["scaling"] = measure_scaling(workload, settings, steps=steps, rounds=rounds, say=say)
    if json:
        print_json(facts)
        return
    (print_race if racing else print_speed)(facts)
    if "scaling" in facts:
        print_scaling(facts["scaling"])


@bench.command()
def corpus(
    area: Annotated[
        list[str] | None, typer.Argument(metavar="[AREA]...", help="What is measured [default: all areas]")
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="SOURCE", help="Text to work on [default: python-docs]; repeatable."),
    ] = None,
    megabytes: Annotated[float, typer.Option(min=0.1, help="Of text from its beginning.")] = 10,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds in which every contender has its turn.")] = 3,
    peer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:PYTHON]",
            help="A library in another Python; what is installed here takes part anyway. Repeatable.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Measure what makes a corpus, in MB per CPU second of one thread, beside other libraries in the same run.

    Every contender gets the same text in a process of its own and its answer is judged: copies found of those that
    were planted, removals that nothing bears out.

    Example: workbench bench corpus dedup --data books.jsonl --peer rensa:~/peers/bin/python
    """
    from workbench.bench.corpus import AREAS, area_of, documents_of, measure_area, parse_peers

    areas = list(dict.fromkeys(area or AREAS))
    for name in areas:
        area_of(name)
    peers = parse_peers(peer or (), areas)
    texts = documents_of(data or ["python-docs"], megabytes=megabytes, base=Path())
    rows: list[dict[str, Any]] = []
    for name in areas:
        with tempfile.TemporaryDirectory(prefix="workbench-bench-") as scratch:
            rows += measure_area(name, Path(scratch), texts, peers=peers, rounds=rounds, say=say)
    if json:
        print_json({"documents": len(texts), "rows": rows})
        return
    print_corpus(rows)


@bench.command()
def tui(
    rounds: Annotated[int, typer.Option(min=2, help="Windows with the app open, and as many without.")] = 12,
    seconds: Annotated[float, typer.Option(min=2, help="Of a window.")] = 6,
    columns: Annotated[int, typer.Option(min=40, help="Of the terminal.")] = 140,
    lines: Annotated[int, typer.Option(min=10, help="Of the terminal.")] = 40,
    json: Json = False,
) -> None:
    """Measure what an open app costs the training it shows: on one live run, open and closed by turns.

    More rounds make the interval narrower. Example: workbench bench tui --rounds 20
    """
    from workbench.cli.bench_tui import ended_by_signals, measure_tui

    with ended_by_signals(), tempfile.TemporaryDirectory(prefix="workbench-bench-") as scratch:
        facts = measure_tui(Path(scratch), rounds=rounds, seconds=seconds, columns=columns, rows=lines)
    if json:
        print_json(facts)
        return
    print_tui(facts)


def _of_size(size: str) -> tuple[int, int, dict[str, int]]:
    """Layers, width, and what else of the model a named size says."""
    from workbench.model_config import SIZES

    if size not in SIZES:
        raise BadInput(f"--size {size!r} is not a named size", fix=f"choose of {', '.join(SIZES)}")
    fields = dict(SIZES[size])
    layers, width = fields.pop("num_hidden_layers"), fields.pop("hidden_size")
    heads = fields["num_attention_heads"]
    fields.setdefault("num_key_value_heads", heads)
    fields.setdefault("head_dim", width // heads)
    return layers, width, fields


def _speed(
    folder: Path, workload: Workload, settings: OurSettings, *, peers: Any, steps: int, rounds: int
) -> dict[str, Any]:
    from workbench.bench import speed

    tokens = speed.synthetic_tokens(folder, workload)
    jobs = [*speed.our_jobs(workload, settings), *speed.peer_jobs(peers, workload)]
    rows = speed.measure_speed(jobs, workload, tokens, steps=steps, rounds=rounds, say=say)
    headline = speed.headline(rows, settings)
    return {
        **{name: headline[name] for name in ("tokens_per_second", "mfu", "peak_mb", "limit", "step_seconds")},
        "muon_cost": speed.muon_cost(rows),
        "parts": speed.measure_parts(workload, settings, tokens),
        "rows": rows,
    }


def _race(
    data: list[str] | None,
    folder: Path,
    workload: Workload,
    settings: OurSettings,
    *,
    changes: list[str] | None,
    peers: Any,
    seconds: float,
    our_seconds: Any,
    every: float,
) -> dict[str, Any]:
    """The facts of a race. changes: on top of every win, where those are raced too."""
    import dataclasses

    from workbench.bench.presets import rungs
    from workbench.bench.race import compare, race, race_wins
    from workbench.bench.race_tokens import prepare_tokens

    if not data:
        say("text: the source of Python's library; name your own with --data")
    climbed = [] if changes is None else rungs(workload, changes)
    tokens = prepare_tokens(
        data or (),
        folder,
        vocab_size=workload.vocab_size,
        context_length=workload.context_length,
        say=say,
    )
    rows = race(
        peers, tokens, workload, settings, seconds=seconds, our_seconds=our_seconds, every=every, say=say
    )
    others, ours = rows[: len(peers)], rows[len(peers) :]
    ladder = (
        race_wins(climbed, ours[0], tokens, workload, seconds=seconds, every=every, say=say)
        if climbed
        else []
    )
    headline = ("tokens_per_second", "mfu", "peak_mb", "limit", "bits_per_byte")
    return {
        **{name: ours[0][name] for name in headline},
        "text": tokens.facts,
        "settings": settings.to_json(),
        "rows": rows,
        "wins": ladder,
        "comparisons": [dataclasses.asdict(compare(mine, other)) for other in others for mine in ours],
    }
