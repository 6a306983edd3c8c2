"""DPO's loss against an independent float64 computation, and the facts it must satisfy."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from workbench.data.lessons import Lesson, Pair, PairBatch, order_pairs, pair_batches
from workbench.data.loader import Batch
from workbench.model.transformer import Decoder
from workbench.model_config import ModelConfig
from workbench.train.preference_loss import (
    Reference,
    ReplyLikelihoods,
    load_reference,
    preference_loss,
    reference_likelihoods,
    reply_likelihoods,
    save_reference,
)

preference_loss_module = sys.modules[preference_loss.__module__]

BETA = 0.3
VOCAB = 40


def tiny_model(seed: int) -> Decoder:
    model = Decoder(
        ModelConfig(
            vocab_size=VOCAB,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            intermediate_size=48,
            max_position_embeddings=64,
            head_dim=16,
        )
    )
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return model


def make_pairs(count: int) -> list[Pair]:
    rng = np.random.default_rng(7)

    def side(prompt: np.ndarray) -> Lesson:
        reply = rng.integers(0, VOCAB, rng.integers(1, 9))
        ids = np.concatenate([prompt, reply]).astype(np.int32)
        return Lesson(ids, np.arange(len(ids)) >= len(prompt))

    prompts = [rng.integers(0, VOCAB, rng.integers(1, 12)) for _ in range(count)]
    return [Pair(side(prompt), side(prompt)) for prompt in prompts]


def batches_of(pairs: list[Pair], *, max_tokens: int = 4096) -> list[PairBatch]:
    return next(
        pair_batches(
            pairs, order_pairs(pairs, batch_pairs=99, seed=0).from_step(0), max_tokens=max_tokens, pad_id=3
        )
    )


def reference_of(model: Decoder, pairs: list[Pair]) -> Reference:
    reference = Reference.unasked(len(pairs), device=torch.device("cpu"))
    *_, done = reference_likelihoods(model, batches_of(pairs), into=reference)
    assert done == len(pairs)
    return reference


def independent_log_p(model: Decoder, lesson: Lesson) -> float:
    """log p of the learned tokens: one sequence alone, no padding, float64 and numpy from the logits on."""
    with torch.no_grad():
        logits_TV = (
            model(torch.tensor(lesson.ids[None, :-1], dtype=torch.int64))[0].numpy().astype(np.float64)
        )
    top_T = logits_TV.max(axis=1)
    log_z_T = top_T + np.log(np.exp(logits_TV - top_T[:, None]).sum(axis=1))
    targets_T = lesson.ids[1:]
    log_p_T = logits_TV[np.arange(len(targets_T)), targets_T] - log_z_T
    return float(log_p_T[lesson.learned[1:]].sum())


def test_the_loss_equals_an_independent_float64_computation() -> None:
    policy, frozen = tiny_model(0), tiny_model(1)
    pairs = make_pairs(13)
    rewards: list[tuple[float, float]] = []
    losses: list[float] = []
    for pair in pairs:
        chosen, rejected = (
            BETA * (independent_log_p(policy.double(), side) - independent_log_p(frozen.double(), side))
            for side in (pair.chosen, pair.rejected)
        )
        nll = -independent_log_p(policy, pair.chosen) / pair.chosen.num_learned
        rewards.append((chosen, rejected))
        losses.append(math.log1p(math.exp(-(chosen - rejected))) + 0.1 * nll)
    policy.float(), frozen.float()

    reference = reference_of(frozen, pairs)
    sums = [
        preference_loss(policy, batch, reference=reference, beta=BETA, chosen_nll_weight=0.1)
        for batch in batches_of(pairs, max_tokens=100)
    ]
    assert len(sums) > 1 and sum(part.count for part in sums) == 13
    assert sum(float(part.total.detach()) for part in sums) == pytest.approx(sum(losses), rel=1e-5)

    def mean(name: str) -> float:
        return sum(float(part.extras[name]) for part in sums) / 13

    margins = [chosen - rejected for chosen, rejected in rewards]
    assert mean("rewards/chosen") == pytest.approx(np.mean([chosen for chosen, _ in rewards]), rel=1e-4)
    assert mean("rewards/rejected") == pytest.approx(np.mean([rejected for _, rejected in rewards]), rel=1e-4)
    assert mean("rewards/margins") == pytest.approx(np.mean(margins), rel=1e-4)
    assert mean("rewards/accuracies") == pytest.approx(np.mean([margin > 0 for margin in margins]))


def test_the_gradient_equals_that_of_float64() -> None:
    policy, exact, frozen, pairs = (
        tiny_model(0),
        tiny_model(0).double(),
        tiny_model(1).double(),
        make_pairs(5),
    )

    def log_p(model: Decoder, lesson: Lesson) -> torch.Tensor:
        ids_BT = torch.tensor(lesson.ids[None], dtype=torch.int64)
        log_p_TV = model(ids_BT[:, :-1])[0].log_softmax(dim=-1)
        return log_p_TV.gather(1, ids_BT[0, 1:, None])[torch.tensor(lesson.learned[1:])].sum()

    for pair in pairs:
        margin = BETA * (
            log_p(exact, pair.chosen)
            - log_p(exact, pair.rejected)
            - (log_p(frozen, pair.chosen) - log_p(frozen, pair.rejected)).detach()
        )
        nll = -log_p(exact, pair.chosen) / pair.chosen.num_learned
        (torch.log1p(torch.exp(-margin)) + 0.1 * nll).backward()

    reference = reference_of(frozen.float(), pairs)
    for batch in batches_of(pairs, max_tokens=60):
        preference_loss(policy, batch, reference=reference, beta=BETA, chosen_nll_weight=0.1).total.backward()
    for (name, found), expected in zip(policy.named_parameters(), exact.parameters(), strict=True):
        assert found.grad is not None and expected.grad is not None, name
        difference = (found.grad - expected.grad).norm() / expected.grad.norm()
        assert difference < 1e-4, name


def test_a_policy_that_is_the_reference_loses_ln_2() -> None:
    policy, pairs = tiny_model(0), make_pairs(8)
    (batch,) = batches_of(pairs)
    part = preference_loss(policy, batch, reference=reference_of(policy, pairs), beta=BETA)
    assert float(part.total.detach()) / part.count == pytest.approx(math.log(2), abs=1e-6)
    assert float(part.extras["rewards/margins"]) == pytest.approx(0, abs=1e-5)


def test_the_prompt_and_the_padding_count_for_nothing() -> None:
    model, (pair, longer) = tiny_model(0), make_pairs(2)
    together, alone = batches_of([pair, longer]), batches_of([pair])
    (in_company,) = together
    row = int((in_company.places == 0).argmax())
    with torch.no_grad():
        found = reply_likelihoods(model, in_company.rows)
        expected = reply_likelihoods(model, alone[0].rows)
    assert float(found.log_p_B[row]) == pytest.approx(float(expected.log_p_B[0]), abs=1e-5)
    assert int(found.num_tokens_B[row]) == pair.chosen.num_learned


def test_the_reference_does_not_learn() -> None:
    frozen, pairs = tiny_model(1), make_pairs(4)
    reference = reference_of(frozen, pairs)
    assert not reference.chosen.requires_grad
    assert all(parameter.grad is None for parameter in frozen.parameters())


def test_who_was_interrupted_asks_the_reference_for_the_rest_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs, file = make_pairs(12), tmp_path / "reference.safetensors"
    batches = batches_of(pairs, max_tokens=64)
    assert len(batches) > 3
    whole = reference_of(tiny_model(0), pairs)
    begun = load_reference(file, 12, device=torch.device("cpu"))
    asking = reference_likelihoods(tiny_model(0), batches, into=begun)
    next(asking), next(asking)
    save_reference(begun, file)

    asked: list[int] = []

    def count(model: Decoder, rows: Batch) -> ReplyLikelihoods:
        asked.append(len(rows.inputs_BT))
        return reply_likelihoods(model, rows)

    monkeypatch.setattr(preference_loss_module, "reply_likelihoods", count)
    again = load_reference(file, 12, device=torch.device("cpu"))
    assert list(reference_likelihoods(tiny_model(0), batches, into=again))[-1] == 12
    assert len(asked) == len(batches) - 2
    assert torch.allclose(again.chosen, whole.chosen) and torch.allclose(again.rejected, whole.rejected)


@pytest.mark.parametrize("content", [b"", b"not one", None])
def test_a_reference_that_cannot_be_read_is_asked_again(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "reference.safetensors"
    if content is None:
        save_reference(Reference.unasked(5, device=torch.device("cpu")), file)  # of other pairs
    else:
        file.write_bytes(content)
    assert load_reference(file, 12, device=torch.device("cpu")).chosen.isnan().all()
