"""Our parameters and numbers in llama.cpp's words.

llama.cpp computes an architecture by its name; what it does not compute is refused here, or, where a shorter context
makes it exact, bounded by one. Two layouts differ from ours: `llama` and `granite` pair neighbouring numbers of a head
for the rotation, where we pair the halves; GPT-2 has query, key and value in one matrix. Writes no file.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from workbench.errors import BadInput
from workbench.model.gguf_file import Value
from workbench.model.rotation import frequencies
from workbench.model.transformer import Decoder
from workbench.model_config import ModelConfig, RopeScaling

# Mistral is a Llama there; its window is bounded by the context.
ARCHITECTURES = {
    "llama": "llama",
    "mistral": "llama",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "granite": "granite",
    "gpt2": "gpt2",
}
_PAIRS_NEIGHBOURS = ("llama", "granite")
_TAKES_FREQUENCIES = ("llama", "granite")
"""Architectures that read how much slower each pair of a head turns, which is all that llama3 says."""
_BETAS = (32.0, 1.0)
"""beta_fast and beta_slow of yarn where nobody says otherwise."""
_TOP = {
    "embed_tokens": "token_embd",
    "embed_positions": "position_embd",
    "norm": "output_norm",
    "lm_head": "output",
}
_LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_QKV = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")


def longest_exact_context(config: ModelConfig) -> int:
    """How many tokens llama.cpp reads as we do: no more than a window, for it looks back on all there are."""
    longest = config.max_position_embeddings  # where a dynamic scaling begins, which it does not know
    return min(longest, config.sliding_window or longest)


def model_pairs(config: ModelConfig) -> dict[str, Value]:
    """What the file says of the model. Raises BadInput for one that llama.cpp does not compute."""
    architecture = _architecture(config)
    pairs: dict[str, Value] = {
        "vocab_size": config.vocab_size,
        "context_length": longest_exact_context(config),
        "embedding_length": config.hidden_size,
        "block_count": config.num_hidden_layers,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.num_key_value_heads,
    }
    if config.norm == "layer":
        pairs["attention.layer_norm_epsilon"] = config.rms_norm_eps
    else:
        pairs["attention.layer_norm_rms_epsilon"] = config.rms_norm_eps
    if config.positions == "rotary":
        pairs |= {
            "rope.dimension_count": config.head_dim,
            "rope.freq_base": config.rope_theta,
            "attention.key_length": config.head_dim,
            "attention.value_length": config.head_dim,
            **_scaling_pairs(config.rope_scaling),
        }
    if architecture == "granite":
        pairs |= {
            "embedding_scale": config.embedding_multiplier,
            "attention.scale": config.attention_multiplier or config.head_dim**-0.5,
            "residual_scale": config.residual_multiplier,
            "logit_scale": config.logits_scaling,
        }
    return {f"{architecture}.{key}": value for key, value in pairs.items()}


def architecture_pairs(config: ModelConfig) -> dict[str, Value]:
    """Under which name llama.cpp computes the model. Raises BadInput where it does not."""
    return {"general.architecture": _architecture(config)}


def model_tensors(model: Decoder) -> dict[str, Tensor]:
    """The parameters under llama.cpp's names; vectors in float32, for its kernels have no other."""
    config, architecture = model.config, _architecture(model.config)
    state = model.state_dict()
    tensors: dict[str, Tensor] = {}
    for name, tensor in state.items():
        path, _, kind = name.rpartition(".")
        if path in _TOP:
            tensors[f"{_TOP[path]}.{kind}"] = tensor
            continue
        _, layer, part = path.split(".", 2)
        if architecture == "gpt2" and part in _QKV:
            if part == _QKV[0]:
                three = [state[f"layers.{layer}.{each}.{kind}"] for each in _QKV]
                tensors[f"blk.{layer}.attn_qkv.{kind}"] = torch.cat(three)
            continue
        if architecture in _PAIRS_NEIGHBOURS and part in _QKV[:2]:
            tensor = _neighbours(tensor, config.head_dim)
        tensors[f"blk.{layer}.{_LAYER[part]}.{kind}"] = tensor
    if config.rope_scaling is not None and config.rope_scaling.rope_type == "llama3":
        tensors["rope_freqs.weight"] = _slower(config)
    return {name: tensor.float() if tensor.ndim == 1 else tensor for name, tensor in tensors.items()}


def _architecture(config: ModelConfig) -> str:
    kind = config.known_as
    if kind is None:
        raise BadInput("llama.cpp knows no model of these parts", fix="see what `plan` says it is saved as")
    architecture, scaling = ARCHITECTURES[kind], config.rope_scaling
    if scaling is not None and scaling.rope_type == "llama3" and architecture not in _TAKES_FREQUENCIES:
        raise BadInput(
            f"llama.cpp does not compute rope_scaling = llama3 for {kind}", fix="yarn it does; or use --to hf"
        )
    if (
        scaling is not None
        and scaling.rope_type == "yarn"
        and (scaling.beta_fast, scaling.beta_slow) != _BETAS
    ):
        raise BadInput(
            "llama.cpp reads no beta_fast and beta_slow of yarn from a file: it takes 32 and 1",
            fix="use --to hf",
        )
    return architecture


def _scaling_pairs(scaling: RopeScaling | None) -> dict[str, Value]:
    if scaling is None or scaling.rope_type not in ("linear", "yarn"):
        return {}
    pairs: dict[str, Value] = {"rope.scaling.type": scaling.rope_type, "rope.scaling.factor": scaling.factor}
    if scaling.rope_type == "yarn":
        assert scaling.original_max_position_embeddings is not None
        # There the factor multiplies what follows from the scaling; here it takes its place.
        usual = 0.1 * math.log(scaling.factor) + 1
        pairs |= {
            "rope.scaling.original_context_length": scaling.original_max_position_embeddings,
            "rope.scaling.attn_factor": (scaling.attention_factor or usual) / usual,
        }
    return pairs


def _slower(config: ModelConfig) -> Tensor:
    """How many times slower each pair of a head turns than without the scaling."""
    positions_BT = torch.zeros(1, 1, dtype=torch.int64)
    pair = torch.arange(0, config.head_dim, 2, dtype=torch.float32)
    return config.rope_theta ** (-pair / config.head_dim) / frequencies(config, positions_BT)


def _neighbours(rows: Tensor, head_dim: int) -> Tensor:
    """The rows of every head (p, p + E/2) put side by side: 0, E/2, 1, E/2 + 1, …"""
    pairs: Tensor = rows.unflatten(0, (-1, 2, head_dim // 2)).transpose(1, 2)
    return pairs.flatten(0, 2)
