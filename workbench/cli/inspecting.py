"""Look inside what a person names: a run, one of its stages, a folder or a file of examples.

Decides what it is; what is said of each kind is in inspect_corpus.py, inspect_folders.py and inspect_file.py. Every
answer is plain facts for `--json` and lines for a person.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from workbench.cli.inspect_corpus import CorpusLook
from workbench.cli.inspected import Inspected, joined
from workbench.errors import BadInput, NotFound
from workbench.launcher import frozen_plan
from workbench.plan import Plan, StagePlan
from workbench.references import open_checkpoint
from workbench.runs import find_home, open_run

# A missing file is told as one, not as an unknown run.
DATA_SUFFIXES = (
    ".json",
    ".jsonl",
    ".parquet",
    ".gz",
    ".zst",
    ".txt",
    ".md",
    ".toml",
    ".csv",
    ".html",
    ".warc",
)


def inspected(what: str, *, home: Path | None, look: CorpusLook, tokenizer: str | None = None) -> Inspected:
    """What `what` holds: a path if there is one, else RUN, RUN/STAGE or RUN/STAGE@STEP.

    `look`: which part of a corpus is asked for. `tokenizer`: a reference to the one that cuts the example of a
    file. Raises NotFound, BadInput or Damaged, one line each.
    """
    path = Path(what)
    if path.is_dir():
        return _folder(path, look)
    if path.exists() or path.suffix in DATA_SUFFIXES:
        _refuse_part(look, what)
        from workbench.cli.inspect_file import data_file
        from workbench.cli.tokenizers import find_tokenizer

        return data_file(path, find_tokenizer(tokenizer, home=home) if tokenizer is not None else None)
    name, _, stage = what.partition("/")
    if "@" in name:
        return _model(what, look, home=home)
    plan = frozen_plan(open_run(find_home(home), name))
    return _stage_of(plan, what, stage, home, look) if stage else _run(plan, look)


def _run(plan: Plan, look: CorpusLook) -> Inspected:
    """All a run has made that can be looked into, the newest model last."""
    parts = []
    if look.is_of_a_part:
        made = next((stage for stage in plan.stages if stage.makes.kind == "documents"), None)
        return _stage_of(
            plan, f"{plan.name}/corpus", "corpus" if made is None else made.name, plan.home, look
        )
    models = [stage for stage in plan.stages if stage.makes.kind == "checkpoint"]
    for stage in plan.stages:
        if plan.store.exists(stage.makes) and stage not in models:
            parts.append(_folder(plan.store.folder(stage.makes), look))
    if any(plan.store.exists(stage.makes) for stage in models):
        parts.append(_model(plan.name, look, home=plan.home))
    if not parts:
        raise NotFound(
            f"run {plan.name} has made nothing yet", fix=f"`workbench follow {plan.name}` shows how far it is"
        )
    return joined("run", parts, name=plan.name)


def _stage_of(plan: Plan, reference: str, stage: str, home: Path | None, look: CorpusLook) -> Inspected:
    planned: StagePlan = plan.stage(stage.partition("@")[0])
    if planned.makes.kind == "checkpoint":
        return _model(reference, look, home=home)
    if "@" in stage:
        raise BadInput(f"{planned.name} has no steps", fix=f"write {plan.name}/{planned.name}")
    if not plan.store.exists(planned.makes):
        raise NotFound(
            f"{plan.name}/{planned.name} is not finished",
            fix=f"`workbench follow {plan.name}` shows how far it is",
        )
    return _folder(plan.store.folder(planned.makes), look)


def _model(reference: str, look: CorpusLook, *, home: Path | None) -> Inspected:
    return open_checkpoint(reference, lambda folder: _folder(folder, look), home=home)


def _folder(folder: Path, look: CorpusLook) -> Inspected:
    from workbench.cli import inspect_corpus, inspect_folders

    answers: Mapping[str, Callable[[], Inspected]] = {
        "config.json": lambda: inspect_folders.checkpoint(folder),
        "rejected.jsonl.zst": lambda: inspect_corpus.corpus(folder, look),
        "tokenizer.json": lambda: inspect_folders.tokenizer(folder),
        "index.json": lambda: inspect_folders.tokens(folder),
        "scorecard.json": lambda: inspect_folders.scorecard(folder),
    }
    for file, answer in answers.items():
        if (folder / file).is_file():
            if file != "rejected.jsonl.zst":
                _refuse_part(look, str(folder))
            return answer()
    steps = sorted(entry for entry in folder.glob("step-*") if (entry / "config.json").is_file())
    if steps:
        return _folder(steps[-1], look)
    raise BadInput(
        "is no model, tokenizer, corpus or token folder",
        file=folder,
        fix="give one of those, an example file, or RUN/STAGE",
    )


def _refuse_part(look: CorpusLook, what: str) -> None:
    if look.is_of_a_part:
        raise BadInput(
            "--step, --reason and --clusters look into a corpus, and this is none",
            file=what,
            fix="name a run, RUN/corpus or the folder of a corpus",
        )
