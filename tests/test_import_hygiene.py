"""Floors at run time: a static graph cannot see what a deferred import really pulls in."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "numpy", "tokenizers", "datasets", "pandas", "textual", "plotext", "transformers")
PAPER = (
    "recipe",
    "recipe_corpus",
    "depth",
    "recipe_derived",
    "recipe_fields",
    "recipe_file",
    "recipe_model",
    "accelerators",
    "budget",
    "doctor",
    "measured_cost",
    "probe",
    "source_sizes",
    "training_cost",
    "training_step",
    "artifacts",
    "source_check",
    "source_identity",
    "source_watch",
    "plan",
    "events",
    "runs",
    "leftovers",
    "stage_run",
    "launcher",
    "gpu_reading",
    "heartbeat",
    "references",
    "audit",
    "chat_client",
    "text_client",
    "choices",
    "corpus_report",
    "stored_documents",
    "scorecard_report",
    "failure_report",
    "recipe_draft",
)


def modules_after(code: str) -> set[str]:
    """What `sys.modules` holds after `code` in a fresh interpreter."""
    script = f"import sys\n{code}\nprint('\\n'.join(sys.modules), file=sys.__stdout__)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_front_desk_is_free() -> None:
    loaded = modules_after("import workbench")
    assert not loaded & {*HEAVY, "pydantic", "typer", "rich"}


def test_ground_needs_the_standard_library_only() -> None:
    loaded = modules_after(
        "import workbench.errors, workbench.files, workbench.model_config, workbench.safe_text, workbench.source_files"
    )
    assert not loaded & {*HEAVY, "pydantic", "typer", "rich"}


@pytest.mark.parametrize("module", PAPER)
def test_paper_never_loads_tensors(module: str) -> None:
    assert not modules_after(f"import workbench.{module}") & set(HEAVY)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["runs"],
        ["plan", "quickstart"],
        ["recipes"],
        ["check", "quickstart"],
        ["run", "--help"],
        ["bench", "train", "--help"],
    ],
)
def test_paper_verbs_never_load_tensors(arguments: list[str], tmp_path: object) -> None:
    code = f"""
import contextlib, io, os
os.environ["WORKBENCH_HOME"] = {str(tmp_path)!r}
sys.argv = ["workbench", *{arguments!r}]
from workbench.cli import main
sys.stdout = sys.stderr = io.StringIO()
with contextlib.suppress(SystemExit):
    main()
"""
    assert not modules_after(code) & set(HEAVY)


def test_the_screen_never_loads_tensors() -> None:
    # Recipes are read when one is looked at, not before the first paint.
    assert "pydantic" not in modules_after("import tui.app")
    assert not modules_after("import tui.app, tui.screens, tui.widgets") & {
        "torch",
        "tokenizers",
        "datasets",
        "transformers",
        "pandas",
    }


def test_the_first_screen_loads_no_other() -> None:
    """What a key opens is imported when the key is pressed: a tenth of the time to the first picture."""
    loaded = modules_after("import tui.app, tui.screens.home, tui.screens.run")
    others = {
        "chat",
        "compare",
        "start",
        "log",
        "steer",
        "stop",
        "tune",
        "recipe",
        "corpus",
        "tokens",
        "scores",
    }
    assert not loaded & {f"tui.screens.{name}" for name in others}
    assert not loaded & {"workbench.chat_client", "workbench.plan", "tomllib", "tui.markdown"}


def test_the_library_never_loads_the_screen() -> None:
    assert not any(
        name.startswith(("tui", "textual"))
        for name in modules_after("import workbench.worker, workbench.cli")
    )


def test_a_training_without_compiled_layers_loads_no_compiler() -> None:
    """It costs 1.4 s and 120 MB; torch's optimizer classes bring it in at their first use."""
    loaded = modules_after(
        """
import torch
from workbench.data.loader import Batch
from workbench.model.initialise import initialise
from workbench.model.transformer import Decoder
from workbench.model_config import ModelConfig
from workbench.train.loop import train
from workbench.train.losses import next_token_loss
from workbench.train.optimizers import Optimizers
from workbench.train.parameter_groups import OptimizerSettings
heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 8}
sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "max_position_embeddings": 8}
model = initialise(Decoder(ModelConfig(vocab_size=32, **heads, **sizes)), 0)
ids_BT = torch.zeros(2, 8, dtype=torch.int64)
steps = train(
    model,
    [[Batch(ids_BT, ids_BT)]] * 2,
    Optimizers(model, OptimizerSettings(optimizer="muon", learning_rate=0.01)),
    loss_fn=next_token_loss,
    learning_rate_at=lambda step: 1.0,
    num_steps=2,
)
assert len(list(steps)) == 2
"""
    )
    assert "torch" in loaded
    assert not {"torch._dynamo", "torch._inductor", "sympy"} & loaded
