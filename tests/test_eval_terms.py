"""Every task and every figure that a scorecard can hold is explained, once, with a source."""

from __future__ import annotations

import inspect
import re

import pytest

from workbench.eval_terms import BASELINES, METRICS, QUESTIONS, TASKS, explain_metric, explain_task
from workbench.evals import baselines, measures
from workbench.evals.tasks import list_tasks

_MEASURED = re.compile(r'"([\w-]+)"(?:\]?: (?:Metric|\(share|\(mean|share)|\] = \(share)')


def test_every_task_is_explained_in_the_order_of_the_list() -> None:
    assert [task.name for task in list_tasks()] == [each.name for each in TASKS]
    assert explain_task("quiz.jsonl") is QUESTIONS


@pytest.mark.parametrize("module", [measures, baselines])
def test_every_figure_that_is_measured_is_explained(module: object) -> None:
    found = _MEASURED.findall(inspect.getsource(module))  # type: ignore[arg-type]
    assert len(found) >= 4
    for name in found:
        assert explain_metric(name) is not None, name
        assert explain_metric(f"{name}_clean") is not None
    assert explain_metric("what_is_this") is None


def test_each_says_who_says_so_and_none_twice() -> None:
    everything = [*TASKS, QUESTIONS, *METRICS, *BASELINES]
    assert all(each.source for each in everything)
    assert (
        len({each.name for each in everything}) == len({each.text for each in everything}) == len(everything)
    )
