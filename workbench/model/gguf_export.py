"""A checkpoint as a GGUF file for llama.cpp, Ollama, LM Studio and their kin: weights, tokenizer and template in one.

Weights keep their type; `llama-quantize` makes smaller files of this one. Where xllamacpp is installed, llama.cpp's
probabilities and ids are compared with ours before the file appears (llama_cpp_child.py).
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from workbench.errors import Damaged
from workbench.hf_config import read_config
from workbench.model.export import (
    Exported,
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
from workbench.safe_text import one_line
from workbench.tokenizer import Tokenizer
from workbench.tokenizer.gguf import tokenizer_pairs

FILE = "model.gguf"
TOLERANCES = {torch.float32: 5e-3, torch.float16: 0.05, torch.bfloat16: 0.2}
"""Of a log-probability, by the type of the weights. llama.cpp rounds what it multiplies with halves to halves, and
looks GELU up in a table of halves even in float32; in float32 everything else agrees to 5e-6."""
_SAMPLE = "It's 12345 o'clock;\r\n\n  <|im_end|> naïve café, 東京 … \t\"don't\"  \n"
"""Text that is cut at every kind of place."""


def export_gguf(
    source: str | Path, output: str | Path, *, check_with_llama_cpp: bool | None = None
) -> Exported:
    """Write the model in `source` as `model.gguf` in the new folder `output`; it appears whole or not at all.

    `check_with_llama_cpp`: None does so if xllamacpp is installed. Raises BadInput if `output` exists, `source`
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
            check_with_llama_cpp is None and importlib.util.find_spec("xllamacpp") is not None
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


def _compared_with_llama_cpp(file: Path, model: Decoder, tokenizer: Tokenizer) -> float:
    """The largest difference of a log-probability. Raises Damaged where ids or probabilities are not ours."""
    longest = min(
        longest_exact_context(model.config) - 1, some_ids(model).shape[1]
    )  # it wants room to answer
    prompts = [row[:length].tolist() for row in some_ids(model) for length in {1, 2, longest // 2, longest}]
    [plain_id] = tokenizer.encode("a")
    theirs = _ask_llama_cpp(
        {
            "file": str(file.absolute()),
            "context": longest + 8,
            "text": _SAMPLE,
            "prompts": prompts,
            "plain_id": plain_id,
        },
        file,
    )
    if theirs["ids"] != tokenizer.encode(_SAMPLE):
        raise Damaged(
            "llama.cpp cuts text into other tokens than our tokenizer", file=file, fix="use --to hf"
        )
    largest = 0.0
    for prompt, told in zip(prompts, theirs["log_probabilities"], strict=True):
        ours_V = logits(model, torch.tensor([prompt]))[0, -1].float().log_softmax(dim=-1)
        ids_K, theirs_K = torch.tensor([int(token) for token in told]), torch.tensor(list(told.values()))
        largest = max(largest, float((ours_V[ids_K] - theirs_K).abs().max()))
    if not largest <= TOLERANCES[model.embed_tokens.weight.dtype]:
        raise Damaged(
            f"llama.cpp gives other probabilities than the checkpoint (their logarithms differ by {largest:.2g})",
            file=file,
            fix="use --to hf",
        )
    return largest


def _ask_llama_cpp(wanted: dict[str, object], file: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-P", str(Path(__file__).with_name("llama_cpp_child.py"))],  # by path: without torch
        input=json.dumps(wanted), capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    try:
        answer: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
    except ValueError:
        answer = {}
    if not answer:
        last = one_line((done.stderr.strip().splitlines() or ["it said nothing"])[-1], 200)
        raise Damaged(f"llama.cpp does not take the file: {last}", file=file, fix="use --to hf")
    return answer
