"""Verbs that measure and hand out: eval, tasks, inspect, export."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.cli.output import Home, Json, Reference, error_of, figure, print_json, print_table, result, say
from workbench.errors import BadInput, NotFound


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    app.command(name="eval")(evaluate)
    for verb in (tasks, inspect, export):
        app.command()(verb)


def tasks(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="A task or a figure of a scorecard, to be explained."),
    ] = None,
    json: Json = False,
) -> None:
    """List what a model can be measured by, or explain one of them.

    Example: workbench tasks

    Example: workbench tasks word_f1
    """
    from workbench.eval_terms import explain_task
    from workbench.evals.tasks import list_tasks

    if name is not None:
        _explain(name, json=json)
    elif json:
        print_json(
            [
                {
                    "name": task.name,
                    "description": task.description,
                    "needs": sorted(task.needs),
                    "about": explain_task(task.name).text,
                    "source": explain_task(task.name).source,
                }
                for task in list_tasks()
            ]
        )
    else:
        print_table(("task", "what it measures"), [(task.name, task.description) for task in list_tasks()])


def _explain(name: str, *, json: bool) -> None:
    """What the task or figure `name` is, in two sentences and with a source."""
    import difflib

    from workbench.eval_terms import BASELINES, METRICS, TASKS, explain_metric

    told = explain_metric(name)
    if told is None:
        known = [each.name for each in (*TASKS, *METRICS, *BASELINES)]
        near = difflib.get_close_matches(name, known, n=1)
        fix = f"did you mean {near[0]}?" if near else "`workbench tasks` lists the tasks"
        raise NotFound(f"{name!r} is no task and no figure of a scorecard", fix=fix)
    if json:
        print_json({"name": name, "about": told.text, "source": told.source})
    else:
        result(told.text)
        result(told.source)


def evaluate(
    reference: Reference,
    names: Annotated[
        str, typer.Option("--tasks", metavar="A,B", help="Task names or .jsonl files, comma-separated.")
    ],
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many items per task.")] = None,
    batch_size: Annotated[
        str, typer.Option(help="Items at once, or auto; the score does not depend on it.")
    ] = "auto",
    home: Home = None,
    json: Json = False,
) -> None:
    """Measure a model on tasks.

    Prints a scorecard with standard errors; `workbench tasks` lists the tasks, `workbench tasks NAME` explains a task
    or a figure.

    Example: workbench eval quickstart/sft --tasks heldout,python-names
    """
    from workbench.cli.measuring import score_reference

    if batch_size != "auto" and not (batch_size.isdecimal() and int(batch_size) > 0):
        raise BadInput(f"--batch-size {batch_size!r} is neither a number nor auto")
    scorecard = score_reference(
        reference,
        [name.strip() for name in names.split(",") if name.strip()],
        home=home,
        limit=limit,
        batch_size=None if batch_size == "auto" else int(batch_size),
        say=say if not json else (lambda _: None),
    )
    if json:
        print_json(scorecard)
        return
    rows = [
        (task, metric, figure(facts["value"]), error_of(facts["stderr"]), figure(facts["n"] or ""), who)
        for who, card in (("", scorecard["tasks"]), ("without a model", scorecard["baselines"]))
        for task, metrics in card.items()
        for metric, facts in metrics.items()
    ]
    print_table(("task", "metric", "value", "", "n", ""), rows, right=(2, 4))


def inspect(
    what: Annotated[
        str,
        typer.Argument(
            metavar="PATH|REF", help="An example file, a run, a checkpoint or a tokenizer folder."
        ),
    ],
    samples: Annotated[
        int | None,
        typer.Option(min=0, max=1000, help="How many documents to show per reason, or clusters of copies."),
    ] = None,
    step: Annotated[
        str | None, typer.Option(metavar="STEP", help="Only this step of a corpus: its reasons and figures.")
    ] = None,
    reason: Annotated[
        str | None, typer.Option(metavar="REASON", help="Only what a corpus left out for this reason.")
    ] = None,
    clusters: Annotated[
        bool,
        typer.Option("--clusters", help="Only the copies that a corpus left out, and for which document."),
    ] = False,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            "--with", metavar="REF", help="Show an example file's tokens as this model's tokenizer cuts it."
        ),
    ] = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Look inside a corpus, a data file or a model.

    A run or its corpus: a funnel of its steps, what was rejected and why, how figures are spread; --step, --reason
    and --clusters look closer. A file of examples: its format, and what a model
    learns of it, in «». A checkpoint, a tokenizer, token shards.

    Example: workbench inspect quickstart --reason too_short

    Example: workbench inspect chats.jsonl --with quickstart
    """
    from workbench.cli.inspect_corpus import CorpusLook
    from workbench.cli.inspecting import inspected

    look = CorpusLook(samples, step, reason, clusters)
    report = inspected(what, home=home, look=look, tokenizer=tokenizer)
    if json:
        print_json(report.facts)
    else:
        for line in report.lines:
            result(line)


def export(
    reference: Reference,
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="A new folder.")],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            help="hf: a Hugging Face folder (safetensors, tokenizer, chat template). gguf: one file for llama.cpp.",
        ),
    ] = "hf",
    home: Home = None,
    json: Json = False,
) -> None:
    """Write a model as a folder that others load.

    Its logits are compared with the checkpoint's before the folder appears: by loading it again, and with
    transformers (hf) or llama.cpp (gguf, by the package xllamacpp) where that is installed.

    Example: workbench export quickstart --to hf --output my-model
    """
    from workbench.files import human_bytes
    from workbench.model import export_gguf, export_hf
    from workbench.references import open_checkpoint

    if to not in ("hf", "gguf"):
        raise BadInput(f"--to {to!r} is not known", fix="write --to hf or --to gguf")
    os.environ.setdefault(
        "HF_HUB_DISABLE_PROGRESS_BARS", "1"
    )  # transformers, where it is installed, draws bars
    write = export_hf if to == "hf" else export_gguf
    done = open_checkpoint(reference, lambda folder: write(folder, output), home=home)
    facts: dict[str, Any] = {
        "folder": str(done.folder),
        "files": list(done.files),
        "bytes": done.num_bytes,
        "checked_with": list(done.checked_with),
        "max_difference": done.max_difference if done.checked_with else None,
        "notes": list(done.notes),
    }
    if json:
        print_json(facts)
    else:
        checked = f"checked with {', '.join(done.checked_with)}, largest difference {done.max_difference:.1e}"
        unchecked = "not checked: xllamacpp is not installed"
        say(f"{human_bytes(done.num_bytes)}; logits {checked if done.checked_with else unchecked}")
        for note in done.notes:
            say(note)
        result(str(done.folder))
