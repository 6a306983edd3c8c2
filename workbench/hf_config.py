"""`config.json` and `generation_config.json`: our numbers in Hugging Face's words, and theirs in ours.

A file from elsewhere is data, not instructions: only the keys named here are read, each with its type and a
range; `auto_map`, `trust_remote_code` and the like are never looked at. A feature that our decoder does not
compute (biases of some matrices, windows of some layers, quantised weights) is an error, never silently dropped.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench.errors import BadInput
from workbench.hf_positions import POSITION_KEYS, position_words, read_positions, scaling_words
from workbench.hf_values import count, number, read_json_object, refuse, short
from workbench.model_config import ModelConfig

# The largest value of each count: far above any real model, low enough that a hostile file costs nothing.
COUNTS = {
    "vocab_size": 2**22,
    "hidden_size": 2**17,
    "num_hidden_layers": 2**10,
    "num_attention_heads": 2**11,
    "num_key_value_heads": 2**11,
    "intermediate_size": 2**19,
    "max_position_embeddings": 2**25,
    "head_dim": 2**12,
}
# GPT-2 calls them otherwise. Its feed-forward is 4 times as wide unless it says so.
GPT2_COUNTS = {
    "vocab_size": "vocab_size",
    "n_embd": "hidden_size",
    "n_layer": "num_hidden_layers",
    "n_head": "num_attention_heads",
    "n_inner": "intermediate_size",
    "n_positions": "max_position_embeddings",
}
# Numbers of a model that no other program knows, under `workbench`, the model_type of its folder.
OWN_CHOICES: dict[str, tuple[Any, ...]] = {
    "norm": ("rms", "layer"),
    "positions": ("rotary", "learned"),
    "feed_forward": ("swiglu", "gelu", "relu2"),
    "bias": (False, True),
    "qkv_bias": (False, True),
    "qk_norm": (False, True),
    "value_embeddings": (False, True),
}
# Granite's, of which every other model has 1 and 1 / sqrt(head_dim).
MULTIPLIERS = ("embedding_multiplier", "attention_multiplier", "residual_multiplier", "logits_scaling")
# What every kind but GPT-2 says in the words of ModelConfig, besides COUNTS.
COMMON = ("rms_norm_eps", "tie_word_embeddings", "initializer_range")
# Of models that no other program knows; None or a positive number.
CAPS = ("attn_logit_softcapping", "final_logit_softcapping")
BIGRAM_ROWS = "bigram_embedding_rows"
"""Of such models too; 0, or not there in folders older than it: none."""
MOST_BIGRAM_ROWS = 2**28
# Kept in the file of any kind: it changes nothing that the model computes, but how it is trained further.
OF_TRAINING = "mup_base_width"
CLASSES = {
    "llama": ["LlamaForCausalLM"],
    "mistral": ["MistralForCausalLM"],
    "qwen2": ["Qwen2ForCausalLM"],
    "granite": ["GraniteForCausalLM"],
    "qwen3": ["Qwen3ForCausalLM"],
    "gpt2": ["GPT2LMHeadModel"],
    "workbench": ["WorkbenchForCausalLM"],
}
# Keys whose other values mean a computation we do not do -> the values that mean what we do.
ONLY: dict[str, tuple[Any, ...]] = {
    "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "add_cross_attention": (False,),
    "hidden_act": ("silu",),
    "attention_bias": (False, None),
    "mlp_bias": (False, None),
    "quantization_config": (None,),
    "pretraining_tp": (1, None),
    "partial_rotary_factor": (1.0, 1, None),
}
# Read and understood, or known to change nothing that we compute.
HARMLESS = {
    *("architectures", "model_type", "dtype", "torch_dtype", "transformers_version", "use_cache"),
    *("bos_token_id", "eos_token_id", "pad_token_id", "rms_norm_eps", "tie_word_embeddings"),
    *("initializer_range", "attention_dropout", "_name_or_path", OF_TRAINING, *POSITION_KEYS),
    *("n_ctx", "layer_norm_epsilon", "attn_pdrop", "embd_pdrop", "resid_pdrop", "reorder_and_upcast_attn"),
    *("summary_activation", "summary_first_dropout", "summary_proj_to_labels", "summary_type"),
    *("summary_use_proj", "task_specific_params", "is_decoder", "is_encoder_decoder"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class FolderConfig:
    """What a model folder says about its model."""

    model: ModelConfig
    bos_id: int | None
    stop_ids: tuple[int, ...]
    pad_id: int | None
    ignored: tuple[str, ...]
    """Keys of config.json that were not read, so that a view can say so."""


def config_json(
    config: ModelConfig, *, dtype: str, bos_id: int | None, stop_ids: Sequence[int], pad_id: int | None
) -> dict[str, Any]:
    """The content of `config.json`, of the architecture that other loaders know the model by.

    One that none of them knows says so: its type is `workbench`, and only we read it.
    The rotary base and the dtype are said twice, under the names of transformers 5 and of older readers.
    """
    kind = config.known_as or "workbench"
    numbers = config.to_dict() | {"rope_scaling": scaling_words(config.rope_scaling) or None}
    if kind == "gpt2":
        numbers = {theirs: numbers[ours] for theirs, ours in GPT2_COUNTS.items()} | {
            "activation_function": "gelu_new",
            "layer_norm_epsilon": config.rms_norm_eps,
            "initializer_range": config.initializer_range,
            "tie_word_embeddings": config.tie_word_embeddings,
            "n_ctx": config.max_position_embeddings,  # the older name; llama.cpp's converter asks for it
            "scale_attn_weights": True,
            **dict.fromkeys(("attn_pdrop", "embd_pdrop", "resid_pdrop"), 0.0),
        }
    elif kind != "workbench":
        numbers = {key: numbers[key] for key in (*COUNTS, *COMMON)} | {
            "hidden_act": "silu",
            "attention_dropout": 0.0,
            **position_words(config, kind),
        }
    no_biases = {"attention_bias": False, "mlp_bias": False}
    specific: dict[str, dict[str, Any]] = {
        "qwen3": {"attention_bias": False},
        "llama": no_biases,
        "granite": no_biases
        | {key: getattr(config, key) for key in MULTIPLIERS}
        | {"attention_multiplier": config.attention_multiplier or config.head_dim**-0.5},
    }
    if config.mup_base_width is not None:
        numbers[OF_TRAINING] = config.mup_base_width
    return {
        "architectures": CLASSES[kind],
        "model_type": kind,
        **numbers,
        **specific.get(kind, {}),
        "use_cache": True,
        "dtype": dtype,
        "torch_dtype": dtype,
        "bos_token_id": bos_id,
        "eos_token_id": stop_ids[0] if stop_ids else None,
        "pad_token_id": pad_id,
    }


def generation_config_json(
    *, bos_id: int | None, stop_ids: Sequence[int], pad_id: int | None
) -> dict[str, Any]:
    """The content of `generation_config.json`: every id that ends a reply."""
    return {"bos_token_id": bos_id, "eos_token_id": list(stop_ids) or None, "pad_token_id": pad_id}


def read_config(folder: Path) -> FolderConfig:
    """The model that `folder/config.json` describes.

    Raises NotFound without the file, Damaged when it is no JSON object, BadInput for anything but
    an architecture of CLASSES with sane numbers.
    """
    file = folder / "config.json"
    raw = read_json_object(file)
    kind = _architecture(raw, file)
    for key, allowed in ONLY.items():
        if key in raw and raw[key] not in allowed:
            refuse(file, f"{key} = {short(raw[key])} is not supported", f"supported: {short(allowed[0])}")
    words = {ours: theirs for theirs, ours in GPT2_COUNTS.items()} if kind == "gpt2" else {}
    numbers: dict[str, Any] = {}
    for key, most in COUNTS.items():
        word = words.get(key, key)
        value = raw.get(word)
        if value is None:  # what transformers takes when the key is not there
            value = _default(key, numbers, kind, word, file)
        numbers[key] = count({word: value}, word, most, file)
    epsilon = ("layer_norm_epsilon", 1e-5) if kind == "gpt2" else ("rms_norm_eps", 1e-6)
    numbers["rms_norm_eps"] = number(raw, *epsilon, 1e-12, 1e-2, file)
    numbers |= read_positions(raw, kind, file)
    numbers["initializer_range"] = number(raw, "initializer_range", 0.02, 0.0, 10.0, file)
    if kind in ("granite", "workbench"):
        for key in MULTIPLIERS:  # transformers takes 1 for one that is missing
            if raw.get(key) is not None or kind == "granite":
                numbers[key] = number(raw, key, 1.0, 1e-6, 1e6, file)
    if kind == "workbench":
        for key in CAPS:
            if raw.get(key) is not None:
                numbers[key] = number(raw, key, 1.0, 1e-3, 1e6, file)
        if raw.get(BIGRAM_ROWS, 0) != 0:
            numbers[BIGRAM_ROWS] = count(raw, BIGRAM_ROWS, MOST_BIGRAM_ROWS, file)
    if raw.get(OF_TRAINING) is not None:
        numbers[OF_TRAINING] = count(raw, OF_TRAINING, COUNTS["hidden_size"], file)
    tied = raw.get("tie_word_embeddings", kind == "gpt2")
    if not isinstance(tied, bool):
        refuse(file, f"tie_word_embeddings = {short(tied)} is not true or false", "correct it")
    try:
        model = ModelConfig(**numbers, tie_word_embeddings=tied, **_choices(raw, kind, file))
    except BadInput as error:
        raise BadInput(error.message, file=file, fix=error.fix) from None
    return FolderConfig(
        model=model,
        bos_id=next(iter(_ids(raw, "bos_token_id", file)), None),
        stop_ids=_stop_ids(folder, raw, file),
        pad_id=next(iter(_ids(raw, "pad_token_id", file)), None),
        ignored=tuple(
            sorted(
                raw.keys()
                - COUNTS.keys()
                - ONLY.keys()
                - HARMLESS
                - (GPT2_COUNTS.keys() if kind == "gpt2" else set())
                - ({*OWN_CHOICES, *CAPS, BIGRAM_ROWS} if kind == "workbench" else set())
                - (set(MULTIPLIERS) if kind in ("granite", "workbench") else set())
            )
        ),
    )


def _architecture(raw: dict[str, Any], file: Path) -> str:
    """One of CLASSES; `architectures` and `model_type` must not contradict each other."""
    kind = raw.get("model_type")
    classes = raw.get("architectures")
    if not isinstance(kind, str) or kind not in CLASSES:
        refuse(file, f"model_type = {short(kind)} is not supported", f"supported: {', '.join(CLASSES)}")
    if classes is not None and classes != CLASSES[kind]:
        refuse(
            file, f"architectures = {short(classes)} is not supported", f"supported: {short(CLASSES[kind])}"
        )
    return kind


def _choices(raw: dict[str, Any], kind: str, file: Path) -> dict[str, Any]:
    """Which parts the blocks are made of."""
    if kind == "gpt2":
        return {
            "norm": "layer",
            "positions": "learned",
            "feed_forward": "gelu",
            "bias": True,
            "qk_norm": False,
        }
    if kind != "workbench":
        return {"qk_norm": kind == "qwen3", "qkv_bias": kind == "qwen2"}
    raw = {"qkv_bias": False, "value_embeddings": False, **raw}  # younger than the first folders
    for key, allowed in OWN_CHOICES.items():
        if raw.get(key) not in allowed:
            refuse(file, f"{key} = {short(raw.get(key))} is not supported", f"supported: {short(allowed)}")
    return {key: raw[key] for key in OWN_CHOICES}


def _default(key: str, numbers: dict[str, Any], kind: str, word: str, file: Path) -> Any:
    if key == "num_key_value_heads":
        return numbers["num_attention_heads"]
    if key == "head_dim":
        return 128 if kind == "qwen3" else numbers["hidden_size"] // numbers["num_attention_heads"]
    if word == "n_inner":
        return 4 * numbers["hidden_size"]
    refuse(file, f"{word} is missing", "get the folder again")


def _stop_ids(folder: Path, raw: dict[str, Any], file: Path) -> tuple[int, ...]:
    """Every id that ends a reply: those of generation_config.json if it says, else of config.json."""
    generation_file = folder / "generation_config.json"
    if generation_file.is_file():
        found = _ids(read_json_object(generation_file), "eos_token_id", generation_file)
        if found:
            return found
    return _ids(raw, "eos_token_id", file)


def _ids(raw: dict[str, Any], key: str, file: Path) -> tuple[int, ...]:
    value = raw.get(key)
    values = value if isinstance(value, list) else [] if value is None else [value]
    if len(values) > 1000 or not all(type(item) is int and item >= 0 for item in values):
        refuse(file, f"{key} = {short(value)} is not a token id", "correct it")
    return tuple(values)
