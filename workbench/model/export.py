"""A checkpoint as a folder to give away: what transformers and vLLM need, and nothing else (GGUF: gguf_export.py).

Optimizer moments, data positions and manifests stay at home. The folder appears under its name only after the
copy was loaded again and gave the source's logits. A model that nobody knows for its multipliers alone goes out with
them multiplied into its weights.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from workbench.errors import BadInput, Damaged
from workbench.files import TEMPORARY_PREFIX, disk_error, disk_errors_named, publish_folder
from workbench.hf_config import read_config
from workbench.model.fold import fold_multipliers
from workbench.model.folder import load_model, save_model
from workbench.model.transformer import Decoder
from workbench.tensor_files import MODEL, tensor_files

CONFIG_FILES = ("config.json", "generation_config.json")
TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer_config.json"),
    *("special_tokens_map.json", "chat_template.jinja"),
)
TOLERANCE = 1e-4
"""Largest difference of a float32 logit that counts as the same model, as a share of the largest logit."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What went out."""

    folder: Path
    files: tuple[str, ...]
    num_bytes: int
    checked_with: tuple[str, ...]
    """Who loaded the copy and gave the same logits: "workbench", and where they are installed "transformers", or for a
    GGUF file "llama.cpp"."""
    max_difference: float
    """The largest difference of any logit, over all checks."""
    notes: tuple[str, ...] = ()
    """What is not quite the same there, in words."""


def export_hf(
    source: str | Path, output: str | Path, *, check_with_transformers: bool | None = None
) -> Exported:
    """Copy the model in `source` to the new folder `output`; it appears whole or not at all.

    `check_with_transformers`: None does so if transformers is installed (takes seconds to import).
    Raises BadInput if `output` exists or `source` is no model, Damaged if the copy computes something else,
    NoSpace if the disk refuses.
    """
    source, output = Path(source), Path(output)
    refuse_existing(output)
    original = exportable(source)
    with new_folder(output) as building:
        is_folded = original.config.known_as is None
        weights = [MODEL] if is_folded else tensor_files(source, MODEL)
        configs = [name for name in CONFIG_FILES if (source / name).is_file()]
        files = [*configs, *weights, *(name for name in TOKENIZER_FILES if (source / name).is_file())]
        for name in files:
            if name != MODEL or not is_folded:
                shutil.copyfile(source / name, building / name)
        _say_longest(building, original.config.max_position_embeddings)
        if is_folded:
            said = read_config(source)
            folded = fold_multipliers(original)
            save_model(folded, building, bos_id=said.bos_id, stop_ids=said.stop_ids, pad_id=said.pad_id)
        ids_BT = some_ids(original)
        wanted_BTV = logits(original, ids_BT)
        checks = {"workbench": difference(logits(load_model(building), ids_BT), wanted_BTV, building)}
        if check_with_transformers or (
            check_with_transformers is None and importlib.util.find_spec("transformers")
        ):
            checks["transformers"] = difference(_transformers_logits(building, ids_BT), wanted_BTV, building)
    return Exported(
        folder=output,
        files=tuple(files),
        num_bytes=sum((output / name).stat().st_size for name in files),
        checked_with=tuple(checks),
        max_difference=max(checks.values()),
    )


def refuse_existing(output: Path) -> None:
    """Raise BadInput if `output` is there already: nothing is ever exported over something else."""
    if output.exists():
        raise BadInput("is already there", file=output, fix="name a new folder, or remove this one first")


def exportable(source: Path) -> Decoder:
    """The model in `source`, one that other programs know, if need be without its multipliers. Else BadInput."""
    original = load_model(source)
    if original.config.exported_as is None:
        raise BadInput(
            "no other program knows a model of these parts",
            file=source,
            fix="[model] architecture = llama or gpt2, without single parts replaced, can be exported",
        )
    return original


@contextlib.contextmanager
def new_folder(output: Path) -> Iterator[Path]:
    """A folder to fill; it gets the name `output` when the block ends, and goes when the block fails."""
    building = output.with_name(f"{TEMPORARY_PREFIX}{output.name}-{secrets.token_hex(4)}")
    try:
        with disk_errors_named(output):
            _make_folder(building, output)
            yield building
        publish_folder(building, output)
    except FileExistsError:
        raise BadInput("has appeared meanwhile", file=output, fix="name a new folder") from None
    finally:
        shutil.rmtree(building, ignore_errors=True)  # gone already when it was published


def _make_folder(building: Path, output: Path) -> None:
    try:
        building.mkdir(parents=True)
    except OSError as error:
        if disk_error(error, output):
            raise
        fix = "name a new folder where you may write"
        raise BadInput(f"cannot be made: {error.strerror}", file=output, fix=fix) from None


def _say_longest(folder: Path, tokens: int) -> None:
    """Tell a reader of the tokenizer alone how much the model reads; ours does not ask."""
    path = folder / "tokenizer_config.json"
    if not path.is_file():
        return
    try:
        told = {**json.loads(path.read_bytes()), "model_max_length": tokens}
    except (ValueError, TypeError, RecursionError):
        raise BadInput("is not a JSON object", file=path.name, fix="copy the tokenizer again") from None
    path.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def some_ids(model: Decoder) -> Tensor:
    """ids_BT: two rows of 32 ids, always the same ones."""
    length = min(32, model.config.max_position_embeddings)
    generator = torch.Generator().manual_seed(0)
    return torch.randint(model.config.vocab_size, (2, length), generator=generator)


@torch.inference_mode()
def logits(model: Decoder, ids_BT: Tensor) -> Tensor:
    """logits_BTV of the model."""
    logits_BTV: Tensor = model(ids_BT)
    return logits_BTV


@torch.inference_mode()
def _transformers_logits(folder: Path, ids_BT: Tensor) -> Tensor:
    """The logits of an independent implementation."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    logits_BTV: Tensor = model(ids_BT).logits
    return logits_BTV


def difference(logits_BTV: Tensor, wanted_BTV: Tensor, folder: Path) -> float:
    """The largest difference of two sets of logits; Damaged when they are not the same model's."""
    largest = float((logits_BTV - wanted_BTV).abs().max())
    if not largest <= TOLERANCE * max(1.0, float(wanted_BTV.abs().max())):
        raise Damaged(
            f"the copy gives other logits than the checkpoint (largest difference {largest:.2g})",
            file=folder,
            fix="nothing was exported; check the disk and try again",
        )
    return largest
