"""Looks into what late stages will read before the first one starts: an hour of training should not end in a typo.

Loads no weights. The stages check again when they read.
"""

from __future__ import annotations

from importlib.util import find_spec

from workbench.budget import require_fit
from workbench.errors import BadInput, NotFound
from workbench.layout import (
    ON_ONE_DEVICE,
    check_devices,
    check_engine,
    check_rows,
    check_slices,
    check_value,
    lay_out,
    local_processes,
)
from workbench.plan import Plan, StagePlan
from workbench.recipe import Dpo, Eval, Pretrain, Sft, Training
from workbench.recipe_fields import Table
from workbench.recipe_file import LoadedRecipe
from workbench.source_files import EXAMPLE_SUFFIXES, files_of, is_file_source

# A second's reading. Larger files are checked when their stage starts.
LARGEST_FILE_BYTES = 50_000_000
NEEDS_TORCHAO = {"optimizer": "adamw8bit", "dtype": "float8"}
HOW_TO_GET_TORCHAO = "pip install 'torchao>=0.18,<0.19'"


def precheck(plan: Plan, loaded: LoadedRecipe, *, nproc: int = 1) -> None:
    """Raise BadInput, pointing at the recipe's line, for what would fail only after the work before it.

    That is: a model or a corpus that will not fit this machine, an example file of unknown shape or with too
    many bad records, an unknown task, a bad file of questions, a missing package. Finished stages are not looked at.
    """
    check_devices(local_processes(nproc))
    check_layouts(plan, loaded, nproc=nproc)
    require_fit(plan, loaded, nproc=nproc)
    for stage in plan.stages:
        if not plan.store.exists(stage.makes):
            _check_stage(stage.table(), stage.name, loaded)
        if stage.name == "start" and not plan.store.exists(stage.makes):
            _check_start(plan, loaded)


def check_layouts(plan: Plan, loaded: LoadedRecipe, *, nproc: int) -> None:
    """Raise BadInput, pointing at the recipe's line, when `nproc` processes cannot share a training still to come."""
    lay_out(nproc)
    for stage in plan.stages:
        if not plan.store.exists(stage.makes):
            _check_layout(stage, loaded, nproc)


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


def _check_stage(table: Table, name: str, loaded: LoadedRecipe) -> None:
    if isinstance(table, Training):
        _check_packages(table, name, loaded)
    key = "tasks" if isinstance(table, Eval) else "sources"
    try:
        if isinstance(table, Sft | Dpo):
            _check_examples(table, loaded)
        elif isinstance(table, Eval):
            _check_tasks(table, loaded)
    except BadInput as error:
        raise loaded.blame(name, key, error) from None


def _check_packages(table: Training, name: str, loaded: LoadedRecipe) -> None:
    for key, value in NEEDS_TORCHAO.items():
        if getattr(table, key, None) == value and find_spec("torchao") is None:
            problem = BadInput(f'"{value}" needs torchao, which is not installed', fix=HOW_TO_GET_TORCHAO)
            raise loaded.blame(name, key, problem)


def _check_start(plan: Plan, loaded: LoadedRecipe) -> None:
    from workbench.model.folder import check_model
    from workbench.tokenizer import adopt_tokenizer

    folder = plan.start_folder()
    assert folder is not None
    try:
        check_model(folder)
        adopt_tokenizer(folder)
    except (BadInput, NotFound) as error:
        raise loaded.blame("start", "model", error) from None


def _check_layout(stage: StagePlan, loaded: LoadedRecipe, nproc: int) -> None:
    """Raise BadInput when `nproc` processes cannot share the training of `stage`."""
    table = stage.table()
    if not isinstance(table, Pretrain | Sft | Dpo):
        return
    key = "replicate" if table.tensor_parallel == 1 else "tensor_parallel"
    try:
        layout = lay_out(nproc, tensor_parallel=table.tensor_parallel, replicate=table.replicate)
        model = stage.model_table()
        if model is not None:
            check_slices(model.shape(vocab_size=256), layout)
        for key in ON_ONE_DEVICE:
            check_value(key, getattr(table, key, None), layout)
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
    from workbench.data.conversations import read_conversations
    from workbench.data.preferences import read_preferences

    read = read_conversations if isinstance(table, Sft) else read_preferences
    for source in filter(is_file_source, table.sources):
        for path in files_of(source, base=loaded.folder, suffixes=EXAMPLE_SUFFIXES):
            if path.stat().st_size <= LARGEST_FILE_BYTES:
                read(path, max_bad_records=table.max_bad_records)


def _check_tasks(table: Eval, loaded: LoadedRecipe) -> None:
    from workbench.evals.tasks import find_task

    for task in table.tasks:
        find_task(task, base=loaded.folder)
