from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from workbench.errors import BadInput
from workbench.model.sampling import (
    GREEDY,
    Sampling,
    draw,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    penalise,
    sample_next,
)


def logits(seed: int, rows: int = 3, width: int = 30) -> Tensor:
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed)) * 3


@given(
    seed=st.integers(0, 1000),
    temperature=st.floats(0.1, 5),
    top_k=st.integers(1, 40),
    top_p=st.floats(0.05, 0.99),
    min_p=st.floats(0.01, 0.9),
    penalty=st.floats(0.5, 3),
)
@settings(max_examples=40, deadline=None)
def test_every_step_is_that_of_transformers(
    seed: int, temperature: float, top_k: int, top_p: float, min_p: float, penalty: float
) -> None:
    theirs = pytest.importorskip("transformers.generation.logits_process")
    prompt_BT = torch.randint(30, (3, 5), generator=torch.Generator().manual_seed(seed))
    seen_BV = torch.zeros(3, 30, dtype=torch.bool).scatter(1, prompt_BT, True)
    ours = expected = logits(seed)
    steps: list[tuple[Callable[[Tensor], Tensor], Any]] = [
        (lambda s: penalise(s, seen_BV, penalty), theirs.RepetitionPenaltyLogitsProcessor(penalty)),
        (lambda s: s / temperature, theirs.TemperatureLogitsWarper(temperature)),
        (lambda s: keep_top_k(s, top_k), theirs.TopKLogitsWarper(top_k)),
        (lambda s: keep_top_p(s, top_p), theirs.TopPLogitsWarper(top_p)),
        (lambda s: keep_min_p(s, min_p), theirs.MinPLogitsWarper(min_p)),
    ]
    for own, their in steps:  # each on the result of the one before: the order is theirs too
        ours, expected = own(ours), their(prompt_BT, expected)
        torch.testing.assert_close(ours, expected)


def test_transformers_applies_the_steps_in_our_order() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        vocab_size=30, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1
    )
    model = transformers.LlamaForCausalLM(config)
    asked = transformers.GenerationConfig(
        do_sample=True, temperature=0.7, top_k=5, top_p=0.8, min_p=0.1, repetition_penalty=1.2
    )
    names = [type(step).__name__ for step in model._get_logits_processor(asked, input_ids_seq_length=3)]
    assert names == [
        "RepetitionPenaltyLogitsProcessor",
        "TemperatureLogitsWarper",
        "TopKLogitsWarper",
        "TopPLogitsWarper",
        "MinPLogitsWarper",
    ]


def test_greedy_takes_the_likeliest_and_needs_no_generator() -> None:
    assert torch.equal(sample_next(logits(0), GREEDY), logits(0).argmax(-1))


def test_a_draw_has_the_asked_distribution() -> None:
    probabilities = torch.tensor([0.5, 0.3, 0.15, 0.05, 0.0])
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([draw(probabilities[None], [generator])[0] for _ in range(4000)])
    shares = torch.bincount(drawn, minlength=5) / 4000
    torch.testing.assert_close(shares, probabilities, atol=0.03, rtol=0)
    assert shares[4] == 0


def test_a_row_draws_the_same_in_any_company() -> None:
    sampling = Sampling(temperature=1.3, seed=5)
    together = sample_next(logits(1), sampling, generators=[sampling.generator(row) for row in range(3)])
    for row in range(3):
        alone = sample_next(logits(1)[row : row + 1], sampling, generators=[sampling.generator(row)])
        assert alone[0] == together[row]


def test_what_is_cut_is_never_drawn() -> None:
    sampling = Sampling(top_k=2, temperature=5.0)
    best = logits(2, rows=1).topk(2).indices[0].tolist()
    generator = sampling.generator()
    drawn = {int(sample_next(logits(2, rows=1), sampling, generators=[generator])) for _ in range(100)}
    assert drawn == set(best)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("temperature", "warm"),
        ("top_k", -1),
        ("top_k", 1.5),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("min_p", 2.0),
        ("repetition_penalty", 0.0),
        ("seed", -1),
        ("seed", True),
    ],
)
def test_a_value_out_of_range_names_its_key(key: str, value: Any) -> None:
    with pytest.raises(BadInput, match=f"^{key} = "):
        Sampling(**{key: value})
