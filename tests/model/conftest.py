"""Tiny models of every shape the decoder knows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import pytest
import torch

from workbench.model.initialise import initialise
from workbench.model.transformer import Decoder
from workbench.model_config import ModelConfig

LLAMA = ModelConfig(
    vocab_size=97,
    hidden_size=48,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    intermediate_size=80,
    max_position_embeddings=64,
    head_dim=12,
    rms_norm_eps=1e-5,
    tie_word_embeddings=False,
    qk_norm=False,
    initializer_range=0.2,  # large, so that logits differ clearly
)
CONFIGS: dict[str, ModelConfig] = {
    "llama": LLAMA,
    "llama-tied": dataclasses.replace(LLAMA, tie_word_embeddings=True, num_key_value_heads=4),
    "qwen3": dataclasses.replace(LLAMA, qk_norm=True, head_dim=16, rope_theta=1e6),
    "qwen3-tied": dataclasses.replace(LLAMA, qk_norm=True, tie_word_embeddings=True, num_key_value_heads=1),
    "gpt2": dataclasses.replace(
        LLAMA,
        num_key_value_heads=4,
        norm="layer",
        positions="learned",
        feed_forward="gelu",
        bias=True,
        tie_word_embeddings=True,
    ),
    "granite": dataclasses.replace(
        LLAMA,
        embedding_multiplier=6.0,
        attention_multiplier=0.11,
        residual_multiplier=0.4,
        logits_scaling=3.0,
        tie_word_embeddings=True,
    ),
    "qwen2": dataclasses.replace(LLAMA, qkv_bias=True),
    "mistral": dataclasses.replace(LLAMA, sliding_window=5, num_key_value_heads=1),
    "qwen3-window": dataclasses.replace(LLAMA, sliding_window=3, qk_norm=True),
    "own": dataclasses.replace(
        LLAMA, feed_forward="relu2", bias=True, qk_norm=True, logits_scaling=0.7, sliding_window=4
    ),
    "values": dataclasses.replace(LLAMA, value_embeddings=True),
    "bigrams": dataclasses.replace(LLAMA, bigram_embedding_rows=53),
    "capped": dataclasses.replace(LLAMA, attn_logit_softcapping=2.0, final_logit_softcapping=3.0),
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=CONFIGS)
def config(request: pytest.FixtureRequest) -> ModelConfig:
    return CONFIGS[request.param]


@pytest.fixture
def model(config: ModelConfig) -> Decoder:
    return tiny(config)


@pytest.fixture
def make_tiny() -> Callable[[ModelConfig], Decoder]:
    return tiny


@pytest.fixture
def llama() -> Decoder:
    return tiny(LLAMA)


@pytest.fixture
def random_ids() -> Callable[..., torch.Tensor]:
    def make(rows: int, length: int, seed: int = 0) -> torch.Tensor:
        return torch.randint(97, (rows, length), generator=torch.Generator().manual_seed(seed))

    return make


def tiny(config: ModelConfig) -> Decoder:
    """A model whose norms are not all ones, so that a forgotten gain shows."""
    model = initialise(Decoder(config), seed=3).eval()
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1 or not parameter.any():
                parameter.add_(torch.empty_like(parameter).normal_(0, 0.2, generator=generator))
    return model
