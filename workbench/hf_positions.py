"""How far a model looks and how it tells places, in Hugging Face's words: rotary base, its scaling, sliding windows.

transformers 5 says `rope_parameters`, readers before it `rope_theta` and `rope_scaling`; both are written and read.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from workbench.hf_values import count, number, refuse, short
from workbench.model_config import ModelConfig, RopeScaling

POSITION_KEYS = (
    *("rope_theta", "rope_scaling", "rope_parameters"),
    *("sliding_window", "use_sliding_window", "max_window_layers", "layer_types"),
)
LONGEST = 2**25
# What the words of each scaling are, besides rope_type and factor, and the range of each.
SCALINGS: dict[str, dict[str, tuple[float, float]]] = {
    "linear": {},
    "dynamic": {},
    "llama3": {"low_freq_factor": (1e-3, 1e3), "high_freq_factor": (1e-3, 1e3)},
    "yarn": {"beta_fast": (1e-3, 1e6), "beta_slow": (1e-3, 1e6), "attention_factor": (1e-3, 1e3)},
}
FROM_ORIGINAL = ("llama3", "yarn")
"""Those that need to know how long the rows were that the model learned on."""


def position_words(config: ModelConfig, kind: str) -> dict[str, Any]:
    """The keys of `config.json` for a model of this kind."""
    scaling = scaling_words(config.rope_scaling)
    words: dict[str, Any] = {
        "rope_theta": config.rope_theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta, **scaling},
    }
    if scaling:
        words["rope_scaling"] = scaling
    if kind in ("qwen2", "qwen3"):
        windowed = config.sliding_window is not None
        words |= {
            "use_sliding_window": windowed,
            "sliding_window": config.sliding_window,
            "max_window_layers": 0 if windowed else config.num_hidden_layers,
        }
    elif kind == "mistral":
        words["sliding_window"] = config.sliding_window
    return words


def scaling_words(scaling: RopeScaling | None) -> dict[str, Any]:
    """What is to be said of a scaling; nothing of none."""
    if scaling is None:
        return {}
    keys = ["rope_type", "factor", *SCALINGS[scaling.rope_type]]
    if scaling.rope_type in FROM_ORIGINAL:
        keys.append("original_max_position_embeddings")
    told = dataclasses.asdict(scaling)
    return {key: told[key] for key in keys if told[key] is not None}


def read_positions(raw: dict[str, Any], kind: str, file: Path) -> dict[str, Any]:
    """rope_theta, rope_scaling and sliding_window of a ModelConfig."""
    new, old = (_words(raw, key, file) for key in ("rope_parameters", "rope_scaling"))
    base = new if "rope_theta" in new else raw
    return {
        "rope_theta": number(base, "rope_theta", 10_000.0, 1.0, 1e12, file),
        "rope_scaling": _read_scaling(new, raw, file) or _read_scaling(old, raw, file),
        "sliding_window": _read_window(raw, kind, file),
    }


def _words(raw: dict[str, Any], key: str, file: Path) -> dict[str, Any]:
    words = raw.get(key) or {}
    if not isinstance(words, dict):
        refuse(file, f"{key} = {short(words)} is not an object", "correct it")
    return words


def _read_scaling(words: dict[str, Any], raw: dict[str, Any], file: Path) -> RopeScaling | None:
    kind = words.get("rope_type", words.get("type", "default"))
    if kind == "default":
        return None
    known = SCALINGS.get(kind) if isinstance(kind, str) else None
    meant = {"rope_type", "type", "rope_theta", "factor", "original_max_position_embeddings", *(known or {})}
    for key, value in words.items():
        if known is None or (key not in meant and value is not None and (key, value) != ("truncate", True)):
            refuse(file, f"rope scaling {short(words)} is not supported", f"supported: {', '.join(SCALINGS)}")
    found = {
        key: number(words, key, 1.0, *bounds, file)
        for key, bounds in (known or {}).items()
        if words.get(key) is not None
    }
    if kind in FROM_ORIGINAL:
        said = words if "original_max_position_embeddings" in words else raw
        if "original_max_position_embeddings" not in said:
            said = {"original_max_position_embeddings": raw.get("max_position_embeddings")}
        found["original_max_position_embeddings"] = count(
            said, "original_max_position_embeddings", LONGEST, file
        )
    return RopeScaling(rope_type=kind, factor=number(words, "factor", 1.0, 1.0, 1e4, file), **found)  # type: ignore[arg-type]


def _read_window(raw: dict[str, Any], kind: str, file: Path) -> int | None:
    """How many positions each may look back on, itself included; of all layers, or of none."""
    if kind in ("mistral", "workbench"):
        window = raw.get("sliding_window", 4096 if kind == "mistral" else None)  # as in transformers
        return None if window is None else count({"sliding_window": window}, "sliding_window", LONGEST, file)
    if not raw.get("use_sliding_window"):
        return None
    types = raw.get("layer_types") or ["sliding_attention" if raw.get("max_window_layers") == 0 else "mixed"]
    if kind not in ("qwen2", "qwen3") or set(map(str, types)) != {"sliding_attention"}:
        refuse(file, "sliding windows in some layers are not supported", "supported: in all, or in none")
    return count({"sliding_window": 4096, **raw}, "sliding_window", LONGEST, file)
