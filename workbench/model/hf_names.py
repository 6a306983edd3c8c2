"""Our parameters under the names, and in the layout, of a Hugging Face file; and back.

Llama and Qwen3 differ from us by a prefix. GPT-2 stores matrices transposed, because its layers were written as
x W and not as W x, and query, key and value as one matrix. Works on tensors without memory too (device "meta"),
which is how a file is compared with a model before anything is allocated.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from workbench.model_config import ModelConfig

QKV = ("q_proj", "k_proj", "v_proj")
_GPT2_TOP = {
    "embed_tokens.weight": "transformer.wte.weight",
    "embed_positions.weight": "transformer.wpe.weight",
    "norm.weight": "transformer.ln_f.weight",
    "norm.bias": "transformer.ln_f.bias",
    "lm_head.weight": "lm_head.weight",
}
_GPT2_LAYER = {
    "input_layernorm": "ln_1",
    "self_attn.o_proj": "attn.c_proj",
    "post_attention_layernorm": "ln_2",
    "mlp.up_proj": "mlp.c_fc",
    "mlp.down_proj": "mlp.c_proj",
}
_LAYER = re.compile(r"layers\.(\d+)\.(.+)\.(weight|bias)")
# Tensors that others store and nobody needs: RoPE's table, GPT-2's causal mask.
_REDUNDANT = re.compile(
    r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq|(transformer\.)?h\.\d+\.attn\.(masked_)?bias"
)


def is_redundant(name: str) -> bool:
    """Whether a tensor of this name says nothing that the model does not know."""
    return _REDUNDANT.fullmatch(name) is not None


def to_hf(config: ModelConfig, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a Hugging Face file of the model whose parameters are `state`."""
    stored: dict[str, Tensor] = {}
    for theirs, ours in hf_sources(config, state).items():
        tensor = state[ours[0]] if len(ours) == 1 else torch.cat([state[name] for name in ours])
        turned = config.known_as == "gpt2" and ours[0] not in _GPT2_TOP
        stored[theirs] = _turned(tensor) if turned else tensor
    return stored


def hf_sources(config: ModelConfig, names: Iterable[str]) -> dict[str, list[str]]:
    """Of every tensor of a Hugging Face file those of our parameters `names` that it is made of, in order."""
    if config.known_as != "gpt2":
        return {name if name == "lm_head.weight" else f"model.{name}": [name] for name in names}
    sources: dict[str, list[str]] = {}
    for name in names:
        if name in _GPT2_TOP:
            sources[_GPT2_TOP[name]] = [name]
            continue
        layer, part, kind = _parts(name)
        if part.startswith("self_attn.") and part.removeprefix("self_attn.") in QKV:
            if part.endswith("q_proj"):
                three = [name.replace("q_proj", each) for each in QKV]
                sources[f"transformer.h.{layer}.attn.c_attn.{kind}"] = three
        else:
            sources[f"transformer.h.{layer}.{_GPT2_LAYER[part]}.{kind}"] = [name]
    return sources


def from_hf(config: ModelConfig, stored: Mapping[str, Tensor], names: list[str]) -> dict[str, Tensor]:
    """Our parameters `names` out of the tensors of a Hugging Face file that has what `to_hf` gives."""
    if config.known_as != "gpt2":
        return {name: stored[name if name == "lm_head.weight" else f"model.{name}"] for name in names}
    state: dict[str, Tensor] = {}
    for name in names:
        if name in _GPT2_TOP:
            state[name] = stored[_GPT2_TOP[name]]
            continue
        layer, part, kind = _parts(name)
        place = part.removeprefix("self_attn.")
        if place in QKV:
            three = _turned(stored[f"transformer.h.{layer}.attn.c_attn.{kind}"]).chunk(3)
            state[name] = three[QKV.index(place)].contiguous()
        else:
            state[name] = _turned(stored[f"transformer.h.{layer}.{_GPT2_LAYER[part]}.{kind}"]).contiguous()
    return state


def with_prefix(config: ModelConfig, name: str) -> str:
    """The name as new files have it: GPT-2's first files lack `transformer.`."""
    bare = config.known_as == "gpt2" and not name.startswith(("transformer.", "lm_head."))
    return f"transformer.{name}" if bare else name


def _parts(name: str) -> tuple[str, str, str]:
    """`layers.3.mlp.up_proj.bias` as its layer, part and kind."""
    match = _LAYER.fullmatch(name)
    assert match is not None, name
    return match[1], match[2], match[3]


def _turned(tensor: Tensor) -> Tensor:
    """A matrix the other way round; a vector as it is."""
    return tensor.T if tensor.ndim == 2 else tensor
