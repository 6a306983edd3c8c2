"""A checkpoint as a GGUF file for llama.cpp, Ollama, LM Studio and their kin: weights, tokenizer and template in one.

Weights keep their type; `llama-quantize` makes smaller files of this one. Where llama-cpp-python is installed its
logits and its ids are compared with ours before the file appears.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from torch import Tensor

from workbench.errors import Damaged
from workbench.hf_config import read_config
from workbench.model.export import (
    Exported,
    difference,
    exportable,
    logits,
    new_folder,
    refuse_existing,
    some_ids,
)
from workbench.model.fold import fold_multipliers
from workbench.model.gguf_file import FILE_TYPES, Value, write_gguf
from workbench.model.gguf_names import architecture_pairs, longest_exact_context, model_pairs, model_tensors
from workbench.model.transformer import Decoder
from workbench.tokenizer import Tokenizer
from workbench.tokenizer.gguf import tokenizer_pairs

FILE = "model.gguf"
_SAMPLE = "It's 12345 o'clock;\r\n\n  <|im_end|> naïve café, 東京 … \t\"don't\"  \n"
"""Text that is cut at every kind of place."""


def export_gguf(
    source: str | Path, output: str | Path, *, check_with_llama_cpp: bool | None = None
) -> Exported:
    """Write the model in `source` as `model.gguf` in the new folder `output`; it appears whole or not at all.

    `check_with_llama_cpp`: None does so if llama-cpp-python is installed. Raises BadInput if `output` exists, `source`
    is no model or one that llama.cpp does not compute, Damaged if llama.cpp gives something else, NoSpace.
    """
    source, output = Path(source), Path(output)
    refuse_existing(output)
    original = exportable(source)
    model = fold_multipliers(original) if original.config.known_as is None else original
    config, tokenizer = model.config, Tokenizer.load(source)
    pairs: dict[str, Value] = {
        **architecture_pairs(config),
        "general.name": output.name,
        "general.file_type": FILE_TYPES[model.embed_tokens.weight.dtype],
        **model_pairs(config),
        **tokenizer_pairs(tokenizer, rows=config.vocab_size),
    }
    if (stop_ids := read_config(source).stop_ids) and stop_ids[0] < config.vocab_size:
        pairs["tokenizer.ggml.eos_token_id"] = stop_ids[0]
    checks: dict[str, float] = {}
    with new_folder(output) as building:
        write_gguf(building / FILE, pairs, model_tensors(model))
        if check_with_llama_cpp or (
            check_with_llama_cpp is None and importlib.util.find_spec("llama_cpp") is not None
        ):
            checks["llama.cpp"] = _compared_with_llama_cpp(building / FILE, original, tokenizer)
    return Exported(
        folder=output,
        files=(FILE,),
        num_bytes=(output / FILE).stat().st_size,
        checked_with=tuple(checks),
        max_difference=max(checks.values(), default=0.0),
        notes=_notes(original),
    )


def _notes(model: Decoder) -> tuple[str, ...]:
    config = model.config
    if (longest := longest_exact_context(config)) < config.longest_context:
        why = (
            "looks back on all it has read" if config.sliding_window else "does not know the dynamic scaling"
        )
        return (f"llama.cpp {why}, so the file says a context of {longest} tokens",)
    return ()


@torch.inference_mode()
def _compared_with_llama_cpp(file: Path, model: Decoder, tokenizer: Tokenizer) -> float:
    """The largest difference of a logit, all in float32. Raises Damaged where ids or logits are not ours."""
    import llama_cpp

    ids_BT = some_ids(model)[:, : longest_exact_context(model.config)]
    theirs = llama_cpp.Llama(
        str(file),
        n_ctx=512,
        logits_all=True,
        verbose=False,
        type_k=llama_cpp.GGML_TYPE_F32,
        type_v=llama_cpp.GGML_TYPE_F32,
    )
    ids = theirs.tokenize(_SAMPLE.encode(), add_bos=False, special=False)
    if ids != tokenizer.encode(_SAMPLE):
        raise Damaged(
            "llama.cpp cuts text into other tokens than our tokenizer", file=file, fix="use --to hf"
        )
    rows: list[Tensor] = []
    for row in ids_BT.tolist():
        theirs.reset()
        theirs.eval(row)
        rows.append(torch.from_numpy(theirs.scores[: len(row)].copy()))
    return difference(torch.stack(rows), logits(model, ids_BT), file)
