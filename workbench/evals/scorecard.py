"""The results of one model on some tasks, as one record that prints as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.errors import BadInput
from workbench.evals.measures import Material, Metrics, measure
from workbench.evals.subject import Subject
from workbench.evals.tasks import Task


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What one task found."""

    task: str
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class Scorecard:
    """`tasks` maps a task's name to its metrics by name."""

    model: str
    tasks: Mapping[str, Metrics]

    def to_json(self) -> dict[str, Any]:
        """{"model", "tasks": {NAME: {METRIC: {"value", "stderr", "n"}}}}, six significant digits."""
        return {"model": self.model, "tasks": metrics_to_json(self.tasks)}


def score(subject: Subject, tasks: Sequence[Task], material: Material) -> Iterator[TaskResult]:
    """Run the tasks one after the other; whoever stops consuming stops the work.

    Raises BadInput, before any work, when a task needs what is not there.
    """
    for task in tasks:
        if "documents" in task.needs and not material.heldout_texts:
            raise BadInput(
                f"task {task.name} needs held-out documents",
                fix="leave it out, or measure a run that has a corpus",
            )
        if "chat" in task.needs and not subject.chats:
            raise BadInput(
                f"task {task.name} needs a model that learned to chat",
                fix="leave it out, or measure one after sft",
            )
    return (TaskResult(task.name, measure(subject, task, material)) for task in tasks)


def metrics_to_json(tasks: Mapping[str, Metrics]) -> dict[str, Any]:
    """Plain data of metrics by task and name."""
    return {
        task: {name: metric.to_json() for name, metric in metrics.items()} for task, metrics in tasks.items()
    }
