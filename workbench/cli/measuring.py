"""Score one model on tasks: what `workbench eval` does. Finds what tasks draw on; the measuring is `workbench.evals`'.

A model of a run is measured on that run's own held-out documents, and one that preference training made is
compared with the model it started from. A folder from elsewhere has neither.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from workbench.cli.origins import Origin, origin_of
from workbench.data.corpus_folder import read_artifact_documents
from workbench.errors import BadInput
from workbench.evals.measures import Material, Metrics, measure_baseline
from workbench.evals.scorecard import Scorecard, metrics_to_json, score
from workbench.evals.subject import Subject, load_subject
from workbench.evals.tasks import Task, find_task
from workbench.references import open_checkpoint

COMPARED = "python-preferences"
"""The task that measures a model against the one it started from."""


def score_reference(
    reference: str,
    names: Sequence[str],
    *,
    home: Path | None,
    limit: int | None,
    batch_size: int | None,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """{"model", "tasks": {NAME: {METRIC: {"value", "stderr", "n"}}}, "baselines"} of the model `reference` means.

    `baselines` has the same form: what can be had on a task's items without a model, where that is worth telling.
    Raises NotFound, Damaged, and BadInput for a task that does not exist or needs what the model has not.
    """
    tasks = [find_task(name, base=Path()) for name in dict.fromkeys(names)]
    if not tasks:
        raise BadInput("--tasks names no task", fix="`workbench tasks` lists them")

    def read(folder: Path) -> tuple[Origin | None, Subject]:
        origin = origin_of(reference, folder, home=home)
        return origin, _subject(folder, origin, batch_size=batch_size)

    origin, subject = open_checkpoint(reference, read, home=home)
    material = _material(origin, tasks, limit=limit, batch_size=batch_size)
    measured: dict[str, Metrics] = {}
    for found in score(subject, tasks, material):
        measured[found.task] = found.metrics
        say(f"{found.task}: done")
    baselines = {task.name: metrics for task in tasks if (metrics := measure_baseline(task, material))}
    return {**Scorecard(reference, measured).to_json(), "baselines": metrics_to_json(baselines)}


def _subject(folder: Path, origin: Origin | None, *, batch_size: int | None) -> Subject:
    return load_subject(
        folder,
        context_length=origin.longest_context() if origin is not None else None,
        chats=origin is None or origin.chats(),
        batch_size=batch_size,
    )


def _material(
    origin: Origin | None, tasks: Sequence[Task], *, limit: int | None, batch_size: int | None
) -> Material:
    material = Material(limit=limit)
    if origin is None:
        return material
    needs = set[str]().union(*(task.needs for task in tasks))
    documents = origin.artifact("documents")
    if "documents" in needs and documents is not None:
        texts = [document.text for document in read_artifact_documents(documents, "heldout")]
        material = dataclasses.replace(material, heldout_texts=texts)
    before = origin.started_from() if origin.stage.name == "dpo" else None
    if before is not None and any(task.name == COMPARED for task in tasks):
        material = dataclasses.replace(material, reference=_subject(before, origin, batch_size=batch_size))
    return material
