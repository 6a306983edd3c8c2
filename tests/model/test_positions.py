"""Scaled rotary positions and sliding windows: transformers' logits, there and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from workbench.hf_config import read_config
from workbench.model.folder import load_model, save_model
from workbench.model.memory import KVCache
from workbench.model.transformer import Decoder
from workbench.model_config import RopeScaling

from .conftest import LLAMA

SCALINGS = {
    "linear": RopeScaling(rope_type="linear", factor=3.0),
    "dynamic": RopeScaling(rope_type="dynamic", factor=2.5),
    "llama3": RopeScaling(rope_type="llama3", factor=8.0, original_max_position_embeddings=32),
    "llama3-other": RopeScaling(
        rope_type="llama3",
        factor=4.0,
        original_max_position_embeddings=40,
        low_freq_factor=0.5,
        high_freq_factor=2.0,
    ),
    "yarn": RopeScaling(rope_type="yarn", factor=4.0, original_max_position_embeddings=16),
    "yarn-other": RopeScaling(
        rope_type="yarn",
        factor=4.0,
        original_max_position_embeddings=48,
        beta_fast=8.0,
        beta_slow=0.5,
        attention_factor=1.3,
    ),
}


@torch.no_grad()
@pytest.mark.parametrize("name", SCALINGS)
@pytest.mark.parametrize("qk_norm", [False, True], ids=["llama", "qwen3"])
def test_scaled_positions_give_transformers_logits(
    name: str,
    qk_norm: bool,
    make_tiny: Callable[..., Decoder],
    random_ids: Callable[..., torch.Tensor],
    tmp_path: Path,
) -> None:
    transformers = pytest.importorskip("transformers")
    model = make_tiny(dataclasses.replace(LLAMA, rope_scaling=SCALINGS[name], qk_norm=qk_norm, head_dim=16))
    save_model(model, tmp_path, stop_ids=[2])
    assert load_model(tmp_path).config == model.config
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    for length in (20, 64, 100):  # within the trained length, to its end, beyond
        ids_BT = random_ids(2, length)
        torch.testing.assert_close(model(ids_BT), theirs(ids_BT).logits, atol=1e-4, rtol=0)
    plain = make_tiny(dataclasses.replace(model.config, rope_scaling=None))
    assert (plain(ids_BT) - model(ids_BT)).abs().max() > 0.01
    theirs.save_pretrained(tmp_path / "back")
    assert read_config(tmp_path / "back").model == model.config


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_window_as_long_as_the_row_changes_nothing(
    dtype: torch.dtype, make_tiny: Callable[..., Decoder], random_ids: Callable[..., torch.Tensor]
) -> None:
    ids_BT = random_ids(2, 12)
    whole, wide, narrow = (
        make_tiny(dataclasses.replace(LLAMA, sliding_window=window)).to(dtype)(ids_BT)
        for window in (None, 12, 11)
    )
    assert torch.equal(whole, wide)
    assert torch.equal(whole[:, :11], narrow[:, :11]) or dtype == torch.bfloat16
    assert not torch.allclose(whole[:, 11], narrow[:, 11])


@torch.no_grad()
def test_what_lies_behind_the_windows_of_all_layers_is_out_of_sight(
    make_tiny: Callable[..., Decoder], random_ids: Callable[..., torch.Tensor]
) -> None:
    model = make_tiny(dataclasses.replace(LLAMA, sliding_window=3))  # 3 layers: each reaches 2 further back
    ids_BT = random_ids(1, 20)
    changed_BT = ids_BT.clone()
    changed_BT[:, 5] = (changed_BT[:, 5] + 1) % 97
    before, after = model(ids_BT), model(changed_BT)
    same = [torch.equal(before[0, t], after[0, t]) for t in range(20)]
    assert same == [t < 5 or t > 5 + 3 * 2 for t in range(20)]


@torch.no_grad()
def test_stretched_positions_go_on_with_a_cache(
    make_tiny: Callable[..., Decoder], random_ids: Callable[..., torch.Tensor]
) -> None:
    for name in ("linear", "llama3", "yarn"):
        model = make_tiny(dataclasses.replace(LLAMA, rope_scaling=SCALINGS[name], sliding_window=6))
        ids_BT, cache = random_ids(2, 15), KVCache(model.config, rows=2, capacity=15)
        read = torch.cat([model(piece, cache=cache) for piece in ids_BT.split([9, 1, 5], dim=1)], dim=1)
        torch.testing.assert_close(read, model(ids_BT), atol=2e-5, rtol=1e-5)


def test_only_a_dynamic_scaling_reaches_beyond_the_positions() -> None:
    assert LLAMA.longest_context == 64
    assert dataclasses.replace(LLAMA, rope_scaling=SCALINGS["linear"]).longest_context == 64
    assert dataclasses.replace(LLAMA, rope_scaling=SCALINGS["dynamic"]).longest_context == 160
