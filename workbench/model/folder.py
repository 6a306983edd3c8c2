"""A model as a folder in Hugging Face's format: `config.json`, `generation_config.json`, `model.safetensors`.

    save_model(model, folder, stop_ids=[...])      ->  loadable by transformers, vLLM, llama.cpp
    load_model(folder)                             ->  a Decoder, from our folder or anybody's Llama, Qwen3, GPT-2…

The tokenizer's files lie in the same folder and are the tokenizer's business.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from workbench.errors import BadInput, NotFound
from workbench.files import disk_errors_named
from workbench.hf_config import config_json, generation_config_json, read_config
from workbench.model.hf_names import from_hf, is_redundant, to_hf, with_prefix
from workbench.model.transformer import Decoder
from workbench.model.weights import StoredTensor, read_tensors, stored_tensors, write_weights
from workbench.model_config import ModelConfig
from workbench.tensor_files import MODEL

HEAD = "lm_head.weight"
_FLOATS = ("F64", "F32", "F16", "BF16")


def save_model(
    model: Decoder,
    folder: Path,
    *,
    bos_id: int | None = None,
    stop_ids: Sequence[int] = (),
    pad_id: int | None = None,
) -> None:
    """Write the model's three files into the existing `folder`, which is being built (see `publish_folder`).

    Weights keep their dtype. A tied head is not written: it *is* the embedding. Raises NoSpace.
    """
    weights = to_hf(model.config, model.state_dict())
    write_model(folder, model.config, weights, bos_id=bos_id, stop_ids=stop_ids, pad_id=pad_id)


def write_model(
    folder: Path,
    shape: ModelConfig,
    weights: Mapping[str, Tensor],
    *,
    bos_id: int | None = None,
    stop_ids: Sequence[int] = (),
    pad_id: int | None = None,
) -> None:
    """`save_model` of a model of that shape with these weights, which are named and laid out as in the file."""
    write_weights(folder / MODEL, weights)
    dtype = next(iter(weights.values())).dtype
    write_config(folder, shape, dtype=dtype, bos_id=bos_id, stop_ids=stop_ids, pad_id=pad_id)


def write_config(
    folder: Path,
    shape: ModelConfig,
    *,
    dtype: torch.dtype,
    bos_id: int | None = None,
    stop_ids: Sequence[int] = (),
    pad_id: int | None = None,
) -> None:
    """The files of `save_model` that say what its weights, of that dtype, mean. Raises NoSpace."""
    kind = str(dtype).removeprefix("torch.")
    config = config_json(shape, dtype=kind, bos_id=bos_id, stop_ids=stop_ids, pad_id=pad_id)
    generation_config = generation_config_json(bos_id=bos_id, stop_ids=stop_ids, pad_id=pad_id)
    with disk_errors_named(folder):
        for name, content in (("config.json", config), ("generation_config.json", generation_config)):
            (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def load_model(
    folder: str | Path, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> Decoder:
    """The model in `folder`, in eval mode.

    Nothing is allocated before the header of the weights was compared with the model that config.json
    describes: the same names, the same shapes. Raises NotFound, BadInput or Damaged, one line each; BadInput too for a
    head of its own in the file of a model that is said to be tied.
    """
    model, useful = check_model(folder)
    found = read_tensors(useful, device=device, dtype=dtype)
    named = {with_prefix(model.config, name): tensor for name, tensor in found.items()}
    state = from_hf(model.config, named, list(model.state_dict()))
    if model.lm_head is None and HEAD in named and not torch.equal(named[HEAD], state["embed_tokens.weight"]):
        raise BadInput(
            f"{HEAD} is not the embedding, and config.json says tie_word_embeddings = true",
            file=useful[HEAD].file,
            fix="write false there to keep this head, or take it out of the file",
        )
    model.load_state_dict(state, assign=True)
    return model.eval()


def check_model(folder: str | Path) -> tuple[Decoder, dict[str, StoredTensor]]:
    """The model that config.json describes, without memory for its weights, and the tensors of the files that fill it:
    with them the head of a tied model where a file has one, to be held against the embedding.

    Raises NotFound, BadInput or Damaged, one line each, when they do not fit; no tensor is read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise NotFound(
            "is no folder", file=folder, fix="name one with config.json and model.safetensors in it"
        )
    with torch.device("meta"):  # shapes without memory
        model = Decoder(read_config(folder).model)
    config, state = model.config, model.state_dict()
    wanted = {name: tuple(tensor.shape) for name, tensor in to_hf(config, state).items()}
    wanted_head = tuple(state["embed_tokens.weight"].shape)
    there = stored_tensors(folder)
    stored = _matching(
        folder,
        {with_prefix(config, name): tensor for name, tensor in there.items()},
        wanted,
        may_be={HEAD: wanted_head} if model.lm_head is None else {},
    )
    return model, {name: tensor for name, tensor in there.items() if with_prefix(config, name) in stored}


def _matching(
    folder: Path,
    stored: dict[str, StoredTensor],
    wanted: dict[str, tuple[int, ...]],
    *,
    may_be: dict[str, tuple[int, ...]],
) -> dict[str, StoredTensor]:
    """Exactly the wanted tensors, and those that `may_be` there; BadInput if one is missing, too many, or of another
    shape or kind."""
    useful = {name: tensor for name, tensor in stored.items() if not is_redundant(name)}
    wanted = wanted | {name: shape for name, shape in may_be.items() if name in useful}
    a_file = next((tensor.file for tensor in stored.values()), folder / MODEL)
    for name in sorted(wanted.keys() | useful.keys()):
        if name not in useful:
            raise BadInput(f"{name} is missing", file=a_file, fix="config.json describes another model")
        file = useful[name].file
        if name not in wanted:
            raise BadInput(f"{_printable(name)} is not part of the model in config.json", file=file)
        if useful[name].shape != wanted[name]:
            raise BadInput(
                f"{name} has shape {list(useful[name].shape)}, config.json says {list(wanted[name])}",
                file=file,
            )
        if useful[name].dtype not in _FLOATS:
            raise BadInput(
                f"{name} is {useful[name].dtype}",
                file=file,
                fix=f"supported: {' '.join(_FLOATS)} (not quantised)",
            )
    return useful


def _printable(name: str) -> str:
    """A tensor name from a foreign file, short and without control characters."""
    return ascii(name[:80])
