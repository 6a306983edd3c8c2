"""Looks into what late stages will read before the first one starts: an hour of training should not end in a typo.

The command line and the app ask here before they start anything. Loads no weights and, in this process, no tensors:
the folder that [start] names is looked into by a child. The stages check again when they read.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from workbench.accelerators import accelerators
from workbench.budget import require_fit
from workbench.errors import BadInput, NotFound, RecipeError, WorkbenchError
from workbench.hardware import require_float8_of
from workbench.layout import (
    IN_WHOLE_MATRICES,
    check_devices,
    check_engine,
    check_moment_blocks,
    check_rows,
    check_slices,
    check_value,
    lay_out,
    local_processes,
    no_graphs,
    why_no_graphs,
)
from workbench.model_config import ModelConfig
from workbench.plan import Plan, StagePlan
from workbench.recipe import Dpo, Eval, Pretrain, Sft, Training
from workbench.recipe_file import LoadedRecipe
from workbench.recipe_start import Start
from workbench.source_files import EXAMPLE_SUFFIXES, files_of, is_file_source
from workbench.training_cost import model_shape

# A second's reading. Larger files are checked when their stage starts.
LARGEST_FILE_BYTES = 50_000_000
NEEDS_TORCHAO = {"optimizer": "adamw8bit", "dtype": "float8"}
HOW_TO_GET_TORCHAO = "pip install 'torchao>=0.18,<0.19'"
# What an editor asks at every key stays known; two that ask at once read once.
_REMEMBERED = 64
_READING = threading.Lock()


def precheck(plan: Plan, loaded: LoadedRecipe, *, nproc: int = 1) -> None:
    """Raise RecipeError, each problem pointing at its line, for what would fail only after the work before it.

    That is what `late_problems` finds, and a model or a corpus that will not fit this machine. Also BadInput when
    `nproc` processes are none, or more than there are devices.
    """
    check_devices(local_processes(nproc))
    lay_out(nproc)
    if problems := late_problems(plan, loaded, nproc=nproc):
        raise RecipeError(problems)
    require_fit(plan, loaded, nproc=nproc)


def late_problems(plan: Plan, loaded: LoadedRecipe, *, nproc: int = 1) -> list[BadInput]:
    """What a recipe wishes that cannot be, in the order of its stages, each pointing at its line.

    An example file of unknown shape or with too many bad records, an unknown task, a bad file of questions, a
    missing package, a batch that `nproc` processes cannot share, products that the device does not have, a model to
    begin from that is none. Finished stages are not looked at.
    """
    return [
        problem
        for stage in plan.stages
        if not plan.store.exists(stage.makes)
        for problem in _problems_of(stage, plan, loaded, nproc)
    ]


def _problems_of(stage: StagePlan, plan: Plan, loaded: LoadedRecipe, nproc: int) -> Iterator[BadInput]:
    for look in (partial(_check_layout, model_shape(plan)), _check_device, _check_packages, _check_inputs):
        try:
            look(stage, loaded, nproc)
        except BadInput as error:
            yield error
    try:
        _check_start(stage, plan, loaded)
    except BadInput as error:
        yield error


def check_machine(plan: Plan, loaded: LoadedRecipe, *, nproc: int) -> None:
    """Raise BadInput, pointing at the recipe's line, for a training still to come that `nproc` devices cannot share, or
    whose arithmetic they do not have."""
    lay_out(nproc)
    shape = model_shape(plan)
    for stage in plan.stages:
        if not plan.store.exists(stage.makes):
            _check_layout(shape, stage, loaded, nproc)
            _check_device(stage, loaded, nproc)


def check_start(plan: Plan, loaded: LoadedRecipe) -> None:
    """Raise BadInput, pointing at the recipe's line, when the model that a plan still has to take over is none."""
    for stage in plan.stages:
        if not plan.store.exists(stage.makes):
            _check_start(stage, plan, loaded)


def require_inputs(plan: Plan, only: str, *, again: bool = False) -> None:
    """Raise BadInput when the stage `only` cannot run alone because an earlier one has made nothing yet."""
    stage = plan.stage(only)
    if plan.store.exists(stage.makes) and not again:
        return
    wanted = {*stage.inputs.values(), *stage.checkpoints.values()}
    missing = [
        each.name for each in plan.stages if each.makes in wanted and not plan.store.exists(each.makes)
    ]
    if missing:
        raise BadInput(
            f"--only {only} needs what {' and '.join(missing)} make{'s' if len(missing) == 1 else ''}, "
            "and that is not made yet",
            fix=f"run it with --until {missing[-1]} first, or leave --only out",
        )


def _check_inputs(stage: StagePlan, loaded: LoadedRecipe, _: int) -> None:
    """Raise BadInput when a stage names examples or tasks that it could not read."""
    table = stage.table()
    try:
        if isinstance(table, Sft | Dpo):
            _check_examples(table, loaded)
        elif isinstance(table, Eval):
            _check_tasks(table, loaded)
    except BadInput as error:
        raise loaded.blame(stage.name, "tasks" if isinstance(table, Eval) else "sources", error) from None


def _check_device(stage: StagePlan, loaded: LoadedRecipe, nproc: int) -> None:
    """Raise BadInput, as the training would, when it asks for what the device is known not to have."""
    table = stage.table()
    if isinstance(table, Pretrain) and table.compile == "graphs":
        on_gpu = bool(accelerators())
        if why_not := why_no_graphs(on_gpu=on_gpu, devices=nproc, checkpointed=False):
            raise loaded.blame(stage.name, "compile", no_graphs(why_not))
    if not isinstance(table, Training) or table.dtype != "float8":
        return
    gpu = next(iter(accelerators()), None)
    name, capability = ("the CPU", (0, 0)) if gpu is None else (gpu.name, gpu.capability)
    if capability is None:  # nothing here can ask the GPU without torch: the training will
        return
    try:
        require_float8_of(name, capability)
    except BadInput as error:
        raise loaded.blame(stage.name, "dtype", error) from None


def _check_packages(stage: StagePlan, loaded: LoadedRecipe, _: int) -> None:
    """Raise BadInput when a training wishes for a package that is not there."""
    table = stage.table()
    if not isinstance(table, Training):
        return
    for key, value in NEEDS_TORCHAO.items():
        if getattr(table, key, None) == value and find_spec("torchao") is None:
            problem = BadInput(f'"{value}" needs torchao, which is not installed', fix=HOW_TO_GET_TORCHAO)
            raise loaded.blame(stage.name, key, problem)


def _check_layout(shape: ModelConfig | None, stage: StagePlan, loaded: LoadedRecipe, nproc: int) -> None:
    """Raise BadInput when `nproc` processes cannot share the training that `stage` is of a model of that shape."""
    table = stage.table()
    if not isinstance(table, Pretrain | Sft | Dpo):
        return
    key = "replicate" if table.tensor_parallel == 1 else "tensor_parallel"
    try:
        layout = lay_out(nproc, tensor_parallel=table.tensor_parallel, replicate=table.replicate)
        if shape is not None:
            check_slices(shape, layout)
        for key in IN_WHOLE_MATRICES:
            check_value(key, getattr(table, key, None), layout)
        key = "optimizer"
        if shape is not None and table.optimizer == "adamw8bit":
            for each in (*shape.table_shapes, *shape.block_matrix_shapes, (shape.hidden_size,)):
                check_moment_blocks(each, layout.shard)
        key = "engine"
        check_engine(table, layout)
        if layout.ranks > 1 and table.engine == "deepspeed" and find_spec("deepspeed") is None:
            raise BadInput('"deepspeed" needs DeepSpeed, which is not installed', fix="pip install deepspeed")
        if isinstance(table, Pretrain):
            key, first = "batch_tokens", table.sizes().at(0)
            check_rows(first.batch_tokens // first.context_length, layout, what="rows")
        elif isinstance(table, Dpo):
            key = "batch_pairs"
            check_rows(table.batch_pairs, layout, what="pairs")
    except BadInput as error:
        raise loaded.blame(stage.name, key, error) from None


def _check_examples(table: Sft | Dpo, loaded: LoadedRecipe) -> None:
    kind: Literal["sft", "dpo"] = "sft" if isinstance(table, Sft) else "dpo"
    for source in filter(is_file_source, table.sources):
        for path in files_of(source, base=loaded.folder, suffixes=EXAMPLE_SUFFIXES):
            facts = path.stat()
            if facts.st_size > LARGEST_FILE_BYTES:
                continue
            with _READING:
                problem = _examples_problem(
                    kind, path, facts.st_size, facts.st_mtime_ns, table.max_bad_records
                )
            if problem:
                raise BadInput(**problem)


@lru_cache(maxsize=_REMEMBERED)
def _examples_problem(
    kind: Literal["sft", "dpo"], path: Path, size: int, modified: int, max_bad_records: float
) -> dict[str, Any]:
    """What is wrong with a file of examples, if anything; `size` and `modified` say of which state of it."""
    from workbench.data.conversations import read_conversations
    from workbench.data.preferences import read_preferences

    try:
        (read_conversations if kind == "sft" else read_preferences)(path, max_bad_records=max_bad_records)
    except BadInput as error:
        return _facts(error)
    return {}


def _check_tasks(table: Eval, loaded: LoadedRecipe) -> None:
    from workbench.evals.tasks import find_task

    for task in table.tasks:
        find_task(task, base=loaded.folder)


def _check_start(stage: StagePlan, plan: Plan, loaded: LoadedRecipe) -> None:
    """Raise BadInput when a start's folder holds no model, or none with a tokenizer of its own that can chat."""
    table, folder = stage.table(), plan.start_folder()
    if not isinstance(table, Start) or folder is None:
        return
    stamps = tuple(sorted((each.name, each.stat().st_mtime_ns) for each in folder.iterdir()))
    with _READING:
        problem = _folder_problem(folder, table.state, stamps)
    if problem:
        raise loaded.blame(stage.name, "model", BadInput(**problem))


@lru_cache(maxsize=_REMEMBERED)
def _folder_problem(folder: Path, state: str, stamps: tuple[tuple[str, int], ...]) -> dict[str, Any]:
    """What is wrong with that state of a model folder, if anything, for a start with that `state`.

    A child looks: whoever asks would hold torch and half a gigabyte afterwards.
    """
    child = subprocess.run(
        [sys.executable, "-m", "workbench.prechecks", str(folder), state],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        return dict(json.loads(child.stdout))
    except ValueError:
        said = child.stderr.strip().splitlines() or [f"exit code {child.returncode}"]
        return _facts(BadInput(f"could not be looked into: {said[-1][:300]}", file=folder))


def _facts(error: WorkbenchError) -> dict[str, Any]:
    """A problem as plain data: an exception that is kept would keep all that was being read."""
    return {"message": error.message, "file": error.file, "line": error.line, "fix": error.fix}


def main(folder: Path, state: str) -> None:
    """In the child: one JSON object on stdout, empty when the start stage would take `folder` over with that `state`.

    Of the weights it reads what the headers of their files say.
    """
    from workbench.model.folder import check_model
    from workbench.stages.start import check_vocabulary
    from workbench.tokenizer import adopt_tokenizer

    problem: dict[str, Any] = {}
    try:
        check_model(folder)
        check_vocabulary(folder, adopt_tokenizer(folder), keeps_training=state == "training")
    except (BadInput, NotFound) as error:
        problem = _facts(error)
    sys.stdout.write(json.dumps(problem))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
