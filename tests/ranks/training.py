"""A small recipe with all stages, trained by one process or by several.

The worker runs in this process, as rank 0; the other ranks are children, as in a real run.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench import worker
from workbench.audit import problems_of_run
from workbench.plan import Plan, make_plan
from workbench.recipe_file import load_recipe
from workbench.runs import Run, create_run
from workbench.stages.meter import Meter

Train = Callable[..., Run]

# 5 rows a step, in micro-batches of 2 a process: with two processes one of 4 rows and one of a single row, of
# which there is none for the second process.
RECIPE = """name = "tiny"
[corpus]
sources = ["texts.jsonl"]
heldout_fraction = 0.1
[tokenizer]
vocab_size = 300
[pack]
[model]
hidden_size = 32
num_hidden_layers = 2
num_attention_heads = 4
num_key_value_heads = 2
max_position_embeddings = 64
[pretrain]
tokens = 640
batch_tokens = 80
context_length = 16
micro_batch_tokens = 16
warmup_steps = 2
weight_decay = 0.05
eval_every_steps = 4
eval_documents = 3
sample_every_steps = 8
dtype = "float32"
[sft]
sources = ["chats.jsonl"]
context_length = 64
batch_tokens = 256
eval_every_steps = 4
dtype = "float32"
[dpo]
sources = ["pairs.jsonl"]
context_length = 64
batch_pairs = 3
eval_every_steps = 4
dtype = "float32"
"""


# What no other program's models have: every table of its own, gates, and an untied, capped head.
OWN_PARTS = {
    "model.value_embeddings": True,
    "model.num_hidden_layers": 3,
    "model.bigram_embedding_rows": 61,
    "model.initializer": "bigrams",
    "model.tie_word_embeddings": False,
    "model.feed_forward": "relu2",
    "model.final_logit_softcapping": 15.0,
}


WORDS = "the a old new red river stone bird house sings falls opens under over by night day and then it"


def plan_in(project: Path, home: str, *, name: str = "x", **settings: Any) -> Plan:
    return make_plan(load_recipe(project / "tiny.toml", settings), home=project / home, name=name)


def new_run(plan: Plan) -> Run:
    return create_run(plan.home, plan.name, recipe_text=plan.recipe_text, plan=plan.to_dict())


def trainer(project: Path, monkeypatch: pytest.MonkeyPatch, *, of: str = "") -> Train:
    """Trains in a home by name, with `nproc` processes; after pretraining step `at` something is done to the run.

    of: the test whose homes they are; another one's of the same name are others.
    """
    show = Meter.show
    prefix = f"{hashlib.blake2s(of.encode()).hexdigest()[:8]}-" if of else ""

    def train(
        home: str,
        *,
        nproc: int,
        until: str | None = "pretrain",
        at: int | None = None,
        do: Callable[[Run], object] = lambda run: run.request("stop"),
        name: str = "x",
        **settings: Any,
    ) -> Run:
        home = prefix + home
        if not (project / home).exists():
            shutil.copytree(project / "home" / "store", project / home / "store")
        run = new_run(plan_in(project, home, name=name, **settings))

        def then_do(meter: Any, report: Any, state: Any) -> None:
            show(meter, report, state)
            if report.step == at:
                do(run)

        monkeypatch.setattr(Meter, "show", then_do)
        worker.work_on(run, until=until, nproc=nproc)
        assert list(problems_of_run(run)) == []
        return run

    return train
