"""A model with its multipliers in its weights gives the logits it gave before."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from workbench.model.export import export_hf
from workbench.model.fold import fold_multipliers
from workbench.model.folder import load_model, save_model
from workbench.model.transformer import Decoder

from .conftest import CONFIGS

SCALED = {
    "embedding_multiplier": 5.0,
    "attention_multiplier": 0.3,
    "residual_multiplier": 0.6,
    "logits_scaling": 2.5,
    "mup_base_width": 24,
}


@torch.no_grad()
@pytest.mark.parametrize("name", ["llama", "llama-tied", "qwen3", "qwen3-tied", "gpt2", "own"])
def test_folded_multipliers_give_the_same_logits(
    name: str, make_tiny: Callable[..., Decoder], random_ids: Callable[..., torch.Tensor]
) -> None:
    model = make_tiny(dataclasses.replace(CONFIGS[name], **SCALED))
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    folded, ids_BT = fold_multipliers(model), random_ids(2, 20)
    assert not folded.config.has_multipliers and folded.config.mup_base_width is None
    torch.testing.assert_close(folded(ids_BT), model(ids_BT), atol=2e-5, rtol=1e-5)
    assert all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items())
    plain = make_tiny(folded.config)
    assert (plain(ids_BT) - model(ids_BT)).abs().max() > 0.1  # each of them mattered


@pytest.mark.parametrize(
    ("name", "goes_out_as"), [("qwen3-tied", "qwen3"), ("gpt2", "gpt2"), ("llama", "granite")]
)
def test_a_mup_model_goes_out_as_one_that_everybody_knows(
    name: str, goes_out_as: str, make_tiny: Callable[..., Decoder], tmp_path: Path
) -> None:
    pytest.importorskip("transformers")
    model = make_tiny(dataclasses.replace(CONFIGS[name], **SCALED))
    (tmp_path / "model").mkdir()
    save_model(model, tmp_path / "model", bos_id=1, stop_ids=[2, 3], pad_id=4)
    assert load_model(tmp_path / "model").config == model.config
    exported = export_hf(tmp_path / "model", tmp_path / "mine")
    assert exported.checked_with == ("workbench", "transformers")
    assert load_model(exported.folder).config.known_as == goes_out_as
