"""The `eval` stage: what the finished models can do, beside what needs no model, as one scorecard.

Read it top to bottom: the models one after the other on the tasks that suit them, the baselines, the file.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.artifacts import read_manifest
from workbench.corpus.contamination_report import SeenItems, read_contamination, seen_items
from workbench.corpus.eval_items import eval_items
from workbench.data.corpus_folder import read_artifact_documents
from workbench.data.sample import spread_sample
from workbench.data.shards import TokenShards
from workbench.errors import NotFound
from workbench.evals.baselines import KNESER_NEY_TOKENS, XZ_TRAINING_BYTES, heldout_baselines
from workbench.evals.measures import Material, Metrics, measure_baseline
from workbench.evals.scorecard import Scorecard, metrics_to_json, score
from workbench.evals.subject import Subject, load_subject
from workbench.evals.tasks import Task, find_task
from workbench.failure_report import write_failures
from workbench.files import human_bytes, human_count, write_atomic
from workbench.recipe import Eval as Settings
from workbench.stage_run import StageInputs, StageRun
from workbench.tokenizer import Tokenizer
from workbench.train.checkpoint_folder import finished_checkpoint

SCORECARD_FILE = "scorecard.json"
PYTHON_DOCS = "python-docs"
_BEFORE_CHAT, _DPO = ("start", "pretrain"), "dpo"


def run(settings: Settings, inputs: StageInputs, run: StageRun) -> dict[str, Any]:
    """Measure the last checkpoint of every training stage, write scorecard.json, return its figures by path.

    A task that does not suit a model is left out of its card; see `plan_exams`. Raises BadInput for a task that
    does not exist or a file of questions that is none.
    """
    run.start_over()
    tasks = [find_task(name, base=inputs.recipe_folder) for name in dict.fromkeys(settings.tasks)]
    heldout = heldout_texts(inputs)
    exams = plan_exams(tasks, inputs, has_heldout=bool(heldout))
    announce_omissions(tasks, exams, run)
    contamination = read_seen(tasks, inputs)
    seen = {task: each.seen for task, each in contamination.items()}

    # One step of progress per task and model, and one for the baselines.
    total = sum(len(exam.tasks) for exam in exams) + settings.baselines
    done = 0
    cards = []
    failures: list[dict[str, Any]] = []
    for exam in exams:
        reference = None if exam.reference is None else exam.reference.subject(settings.batch_size)
        material = Material(heldout, reference=reference, limit=settings.limit, seen=seen)
        results: dict[str, Metrics] = {}
        for result in score(exam.subject(settings.batch_size), exam.tasks, material):
            results[result.task] = result.metrics
            failures += [
                {
                    "model": exam.stage,
                    "task": result.task,
                    **each.to_json(),
                    "seen": each.id in seen.get(result.task, ()),
                }
                for each in material.wrong
            ]
            done += 1
            run.progress(done, total, "tasks")
            run.emit("metric", model=exam.stage, task=result.task, **_values(result.metrics))
            run.check_stop()
        cards.append(Scorecard(exam.stage, results))

    taken = [task for task in tasks if any(task in exam.tasks for exam in exams)]
    baselines = measure_baselines(taken, heldout, inputs, settings.limit, run) if settings.baselines else {}
    figures = {
        "models": {card.model: card.to_json() for card in cards},
        "baselines": metrics_to_json(baselines),
    }
    if contamination:
        figures["contamination"] = {task: each.to_json() for task, each in contamination.items()}
    write_failures(run.folder, failures)
    write_atomic(run.folder / SCORECARD_FILE, json.dumps(figures, indent=1) + "\n")
    run.progress(total, total, "tasks")
    return by_path(cards, baselines)


def read_seen(tasks: Sequence[Task], inputs: StageInputs) -> dict[str, SeenItems]:
    """By task, which of its items the corpus says stand in training text; tasks it did not look for are left out."""
    known = read_contamination(inputs.documents) if inputs.has("documents") else {}
    found = {}
    for task in tasks if known else ():
        if "documents" not in task.needs and (
            seen := seen_items(known, eval_items(task.name, base=inputs.recipe_folder))
        ):
            found[task.name] = seen
    return found


def heldout_texts(inputs: StageInputs) -> list[str]:
    """The held-out documents of the corpus; none when the recipe has no corpus."""
    if not inputs.has("documents"):
        return []
    return [document.text for document in read_artifact_documents(inputs.documents, "heldout")]


@dataclasses.dataclass(frozen=True, slots=True)
class Exam:
    """One model and the tasks it is measured by.

    context_length: the longest window any training so far used; None where nobody wrote it down. reference:
    the model that preference training started from.
    """

    stage: str
    folder: Path
    context_length: int | None
    tasks: tuple[Task, ...]
    reference: Exam | None = None

    def subject(self, batch_size: int) -> Subject:
        """The model, loaded."""
        return load_subject(
            self.folder,
            context_length=self.context_length,
            chats=self.stage not in _BEFORE_CHAT,
            batch_size=batch_size,
        )


def plan_exams(tasks: Sequence[Task], inputs: StageInputs, *, has_heldout: bool) -> list[Exam]:
    """The models in order of training, each with the tasks that suit it.

    Held-out documents are for the first and the last model: what fine-tuning cost shows between those. Chat
    is for models after sft. The Python tasks are for models taught, at any stage, from `python-docs`.
    """
    exams: list[Exam] = []
    lengths: list[int] = []
    later = [_recorded(folder).get("context_length", 0) for folder in inputs.checkpoints.values()]
    corpus = _recorded(inputs.documents).get("sources", [PYTHON_DOCS]) if inputs.has("documents") else []
    knows_python = PYTHON_DOCS in corpus
    names = list(inputs.checkpoints)
    for stage, folder in inputs.checkpoints.items():
        recorded = _recorded(folder)
        lengths += [recorded["context_length"]] if "context_length" in recorded else []
        knows_python = knows_python or PYTHON_DOCS in recorded.get("sources", [])
        met = {
            "documents": has_heldout and stage in (names[0], names[-1]),
            "chat": stage not in _BEFORE_CHAT,
            "python-docs": knows_python,
        }
        exams.append(
            Exam(
                stage,
                finished_checkpoint(folder, "last"),
                # A model that was started from may read far more than anything here was trained on.
                context_length=max(lengths or later, default=None) or None,
                tasks=tuple(task for task in tasks if all(met[need] for need in task.needs)),
                reference=exams[-1] if stage == _DPO and exams else None,
            )
        )
    return exams


def announce_omissions(tasks: Sequence[Task], exams: Sequence[Exam], run: StageRun) -> None:
    """Warn, by name, of tasks that suit no model: the recipe asked for them."""
    for task in tasks:
        if not any(task in exam.tasks for exam in exams):
            needs = ", ".join(sorted(task.needs))
            run.warning(f"task {task.name} is left out: no model here has all it needs ({needs})")


def measure_baselines(
    tasks: Sequence[Task], heldout: Sequence[str], inputs: StageInputs, limit: int | None, run: StageRun
) -> dict[str, Metrics]:
    """What needs no model, by task and name: compressors and counts on documents, spelling on names."""
    found: dict[str, Metrics] = {}
    for task in tasks:
        run.check_stop()
        metrics = measure_baseline(task, Material(heldout, limit=limit))
        if "documents" in task.needs and heldout:
            metrics = _document_baselines(heldout[:limit], inputs, run)
        if metrics:
            found[task.name] = metrics
    return found


def _document_baselines(heldout: Sequence[str], inputs: StageInputs, run: StageRun) -> Metrics:
    shards = TokenShards.open(inputs.tokens)
    num_tokens = min(shards.num_tokens, KNESER_NEY_TOKENS)
    if num_tokens < shards.num_tokens:
        run.note(
            f"of the training text xz has seen {human_bytes(XZ_TRAINING_BYTES)}, the 5-gram "
            f"{human_count(num_tokens)} tokens of {human_count(shards.num_tokens)}"
        )
    training = (document.text for document in read_artifact_documents(inputs.documents, "train"))
    return heldout_baselines(
        Tokenizer.load(inputs.tokenizer),
        heldout,
        training_texts=spread_sample(training, max_bytes=XZ_TRAINING_BYTES),
        training_ids=shards.read(0, num_tokens),
    )


def by_path(cards: Sequence[Scorecard], baselines: Mapping[str, Metrics]) -> dict[str, float]:
    """Every figure under `MODEL/TASK/METRIC`; what needs no model under `baseline/TASK/NAME`."""
    tables = {card.model: card.tasks for card in cards} | {"baseline": baselines}
    return {
        f"{model}/{task}/{name}": value
        for model, tasks in tables.items()
        for task, metrics in tasks.items()
        for name, value in _values(metrics).items()
    }


def _values(metrics: Metrics) -> dict[str, float]:
    return {name: metric.to_json()["value"] for name, metric in metrics.items()}


def _recorded(folder: Path) -> Mapping[str, Any]:
    """The recipe table an artifact was made with; empty where no manifest says."""
    try:
        settings = read_manifest(folder).get("settings", {})
    except NotFound:
        return {}
    return settings if isinstance(settings, dict) else {}
