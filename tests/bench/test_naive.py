"""The plain ways compute what ours compute: a rung of the ladder may differ in time only."""

from __future__ import annotations

import pytest
import torch

from workbench.bench import naive
from workbench.bench.workload import Workload
from workbench.data.loader import NOT_LEARNED, Batch
from workbench.model.attention import attend
from workbench.model.initialise import initialise
from workbench.model.memory import Seen
from workbench.model.transformer import Decoder
from workbench.train.losses import next_token_loss
from workbench.train.optimizers import Optimizers
from workbench.train.parameter_groups import OptimizerSettings


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("plain", [naive.attend_written_out, naive.attend_by_torch])
def test_plain_attention_is_attention(plain: object, masked: bool) -> None:
    q_BTHE = torch.randn(2, 9, 4, 8)
    near_TT = torch.ones(9, 9, dtype=torch.bool).tril().triu(-3).expand(2, 1, 9, 9)
    seen = Seen(torch.randn(2, 9, 2, 8), torch.randn(2, 9, 2, 8), near_TT if masked else None)
    expected = attend(q_BTHE, seen, multiplier=0.3)
    torch.testing.assert_close(plain(q_BTHE, seen, multiplier=0.3), expected)  # type: ignore[operator]


def test_full_logits_give_the_same_loss_and_gradients(workload: Workload) -> None:
    model = initialise(Decoder(workload.model_config()), 0)
    ids = torch.randint(0, workload.vocab_size, (2, 17))
    targets_BT = ids[:, 1:].clone()
    targets_BT[0, 3] = NOT_LEARNED
    batch = Batch(ids[:, :-1], targets_BT)
    gradients = []
    for loss_fn in (next_token_loss, naive.full_logits_loss):
        loss = loss_fn(model, batch)
        loss.total.backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
        model.zero_grad()
        assert loss.count == 31
    for ours, plain in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, plain)


def test_looped_adamw_moves_as_ours_does(workload: Workload) -> None:
    first, second = (initialise(Decoder(workload.model_config()), 0) for _ in range(2))
    ours = Optimizers(first, OptimizerSettings(optimizer="adamw", learning_rate=1e-2, beta2=0.999))
    looped = naive.LoopedAdamW(second, learning_rate=1e-2)
    for optimizer, model in ((ours, first), (looped, second)):
        optimizer.set_learning_rate(0.5)
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()  # type: ignore[attr-defined]
    for name, parameter in first.named_parameters():
        # theirs decays every parameter by 1 %; ours none, unless asked to
        torch.testing.assert_close(parameter, dict(second.named_parameters())[name], atol=1e-4, rtol=1e-4)
