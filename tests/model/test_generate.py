from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch

from workbench.errors import BadInput
from workbench.model.generate import generate, generate_batch
from workbench.model.sampling import Sampling
from workbench.model.transformer import Decoder
from workbench.model_config import ModelConfig

PROMPTS = [[5, 6, 7], [8], [9, 10, 11, 12, 13, 14, 15, 16, 17], [1, 2, 3], [4] * 20, [50, 60]]


@torch.no_grad()
def greedy_without_cache(model: Decoder, prompt: list[int], count: int) -> list[int]:
    ids = list(prompt)
    for _ in range(count):
        ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    return ids[len(prompt) :]


def test_greedy_with_cache_is_greedy_without(model: Decoder) -> None:
    generation = generate(model, PROMPTS[0], max_new_tokens=20)
    assert list(generation) == greedy_without_cache(model, PROMPTS[0], 20)
    assert generation.reply.stopped_by == "max_new_tokens"
    assert generation.prompt_tokens == 3
    assert 0 < generation.first_token_seconds < generation.seconds and generation.tokens_per_second > 0


@pytest.mark.parametrize("rows_at_once", [1, 4, 64])
def test_a_batch_says_what_each_prompt_alone_would(model: Decoder, rows_at_once: int) -> None:
    alone = [list(generate(model, prompt, max_new_tokens=16)) for prompt in PROMPTS]
    batch = generate_batch(model, PROMPTS, max_new_tokens=16, rows_at_once=rows_at_once)
    assert [reply.ids for reply in batch] == alone
    assert len({tuple(ids) for ids in alone}) > 1


def test_a_batch_whose_rows_end_at_different_times_says_the_same(model: Decoder) -> None:
    alone = [list(generate(model, prompt, max_new_tokens=16)) for prompt in PROMPTS]
    stop_ids = {alone[0][2], alone[2][0], alone[4][5], alone[5][9]}

    def cut(ids: list[int]) -> list[int]:
        return ids[: next((i for i, token in enumerate(ids) if token in stop_ids), len(ids))]

    batch = generate_batch(model, PROMPTS, max_new_tokens=16, stop_ids=stop_ids)
    assert [reply.ids for reply in batch] == [cut(ids) for ids in alone]
    for reply, ids in zip(batch, alone, strict=True):
        assert reply.stopped_by == ("stop_token" if len(cut(ids)) < len(ids) else "max_new_tokens")


def test_the_stop_token_ends_the_reply_and_is_not_part_of_it(llama: Decoder) -> None:
    said = list(generate(llama, [3, 4], max_new_tokens=10))
    stop = said[4]
    generation = generate(llama, [3, 4], max_new_tokens=10, stop_ids=[stop])
    assert list(generation) == said[: said.index(stop)]
    assert generation.reply.stopped_by == "stop_token"
    assert list(generation) == []


def test_the_context_ends_the_reply(make_tiny: Callable[[ModelConfig], Decoder], config: ModelConfig) -> None:
    model = make_tiny(dataclasses.replace(config, max_position_embeddings=8))
    replies = generate_batch(model, [[1, 2, 3], [1, 2, 3, 4, 5, 6, 7]], max_new_tokens=30)
    assert [(len(reply.ids), reply.stopped_by) for reply in replies] == [(5, "context"), (1, "context")]


@pytest.mark.parametrize("penalty", [1.0, 1.5])
def test_drawn_replies_do_not_depend_on_the_batch(llama: Decoder, penalty: float) -> None:
    sampling = Sampling(temperature=1.0, top_p=0.95, repetition_penalty=penalty, seed=11)
    batch = generate_batch(llama, PROMPTS, max_new_tokens=12, sampling=sampling, rows_at_once=4)
    for row, prompt in enumerate(PROMPTS):
        own = dataclasses.replace(sampling, seed=11 + row)
        assert batch[row].ids == list(generate(llama, prompt, max_new_tokens=12, sampling=own))
    other = generate_batch(llama, PROMPTS, max_new_tokens=12, sampling=dataclasses.replace(sampling, seed=99))
    assert [reply.ids for reply in other] != [reply.ids for reply in batch]


def test_a_strong_repetition_penalty_never_repeats(llama: Decoder) -> None:
    said = list(
        generate(llama, [3, 4], max_new_tokens=30, sampling=Sampling(temperature=0.0, repetition_penalty=100))
    )
    assert len(set(said)) == 30 and not {3, 4} & set(said)


def test_whoever_stops_consuming_stops_the_work(llama: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[int] = []
    hidden = Decoder.hidden
    monkeypatch.setattr(
        Decoder, "hidden", lambda self, ids, **kw: (passes.append(1), hidden(self, ids, **kw))[1]
    )
    generation = generate(llama, [3, 4], max_new_tokens=30)
    assert not passes  # nothing happens before somebody asks
    next(generation), next(generation)
    assert len(passes) == 2
    generation.stop("stop_text")
    assert list(generation) == [] and len(passes) == 2
    assert generation.reply.stopped_by == "stop_text" and len(generation.reply.ids) == 2


def test_generating_leaves_gradients_possible(llama: Decoder) -> None:
    generate_batch(llama, PROMPTS, max_new_tokens=2)
    llama(torch.tensor([[1, 2]])).sum().backward()
    assert llama.embed_tokens.weight.grad is not None


def test_no_prompts_no_replies(llama: Decoder) -> None:
    assert generate_batch(llama, [], max_new_tokens=4) == []


@pytest.mark.parametrize(
    ("prompt", "tokens", "problem"),
    [([], 5, "empty"), ([1] * 64, 5, "64 tokens, the model reads at most 64"), ([1], 0, "max_new_tokens")],
)
def test_a_prompt_that_cannot_be_continued_is_refused(
    llama: Decoder, prompt: list[int], tokens: int, problem: str
) -> None:
    with pytest.raises(BadInput, match=problem):
        generate(llama, prompt, max_new_tokens=tokens)
