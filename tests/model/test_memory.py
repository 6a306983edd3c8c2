"""The KV cache of a model with a sliding window: as small as the window, and nobody can tell."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch

from workbench.model.generate import generate, generate_batch
from workbench.model.memory import KVCache
from workbench.model.transformer import Decoder

from .conftest import LLAMA

LENGTH = 40
PIECES = {
    "at once": [40],
    "one by one": [1] * 40,
    "a prompt longer than the window": [23] + [1] * 17,
    "a prompt shorter than the window": [3] + [1] * 37,
    "pieces longer and shorter than the window": [4, 9, 1, 2, 13, 1, 1, 5, 4],
}


@torch.no_grad()
@pytest.mark.parametrize("pieces", PIECES.values(), ids=PIECES)
@pytest.mark.parametrize("window", [1, 2, 5, 8, 39, 40, 41])
@pytest.mark.parametrize("softcap", [None, 2.0])
def test_logits_are_those_without_a_cache(
    window: int,
    pieces: list[int],
    softcap: float | None,
    make_tiny: Callable[..., Decoder],
    random_ids: Callable[..., torch.Tensor],
) -> None:
    model = make_tiny(
        dataclasses.replace(LLAMA, sliding_window=window, qk_norm=True, attn_logit_softcapping=softcap)
    )
    ids_BT = random_ids(2, LENGTH)
    cache = KVCache(model.config, rows=2, capacity=LENGTH)
    read = torch.cat([model(piece, cache=cache) for piece in ids_BT.split(pieces, dim=1)], dim=1)
    torch.testing.assert_close(read, model(ids_BT), atol=2e-5, rtol=1e-5)
    whole = make_tiny(dataclasses.replace(model.config, sliding_window=None))(ids_BT)
    assert window >= LENGTH or (whole - read).abs().max() > 0.01  # the window is narrow enough to be felt


@pytest.mark.parametrize(("window", "slots"), [(None, 500), (7, 7), (500, 500), (900, 500)])
def test_no_more_is_kept_than_the_window(window: int | None, slots: int) -> None:
    cache = KVCache(dataclasses.replace(LLAMA, sliding_window=window), rows=2, capacity=500)
    assert cache.keys_LBSGE.shape == cache.values_LBSGE.shape == (3, 2, slots, 2, 12)


@torch.no_grad()
@pytest.mark.parametrize("window", [1, 3, 6, None])
def test_rows_shorter_and_longer_than_the_window_are_as_if_alone(
    window: int | None, make_tiny: Callable[..., Decoder], random_ids: Callable[..., torch.Tensor]
) -> None:
    model = make_tiny(dataclasses.replace(LLAMA, sliding_window=window, bigram_embedding_rows=53))
    ids_BT, lengths = random_ids(5, 14), [1, 14, 6, 3, 7]
    cache = KVCache(model.config, rows=5, capacity=40)
    cache.expect(lengths)
    model(ids_BT, cache=cache)
    next_BT = random_ids(5, 18, seed=1)
    pieces = [*next_BT[:, :9].split([1, 1, 4, 1, 2], dim=1)]
    together = torch.cat([model(piece, cache=cache) for piece in pieces], dim=1)
    kept = [3, 1, 4]
    cache.keep(torch.tensor(kept))
    later = torch.cat([model(piece, cache=cache) for piece in next_BT[kept, 9:].split(1, dim=1)], dim=1)
    for row, length in enumerate(lengths):
        alone = model(torch.cat([ids_BT[row, :length], next_BT[row]])[None])[0, length:]
        torch.testing.assert_close(together[row], alone[:9], atol=2e-5, rtol=1e-5)
        if row in kept:
            torch.testing.assert_close(later[kept.index(row)], alone[9:], atol=2e-5, rtol=1e-5)


@torch.no_grad()
def test_padded_pieces_may_follow_each_other(
    make_tiny: Callable[..., Decoder], random_ids: Callable[..., torch.Tensor]
) -> None:
    model = make_tiny(dataclasses.replace(LLAMA, sliding_window=4, bigram_embedding_rows=53))
    first, second = random_ids(2, 9), random_ids(2, 6, seed=1)
    cache = KVCache(model.config, rows=2, capacity=15)
    cache.expect([9, 2])
    model(first, cache=cache)
    cache.expect([1, 6])
    read = model(second, cache=cache)
    for row, (before, count) in enumerate([(9, 1), (2, 6)]):
        alone = model(torch.cat([first[row, :before], second[row, :count]])[None])[0, before:]
        torch.testing.assert_close(read[row, :count], alone, atol=2e-5, rtol=1e-5)


def test_replies_to_prompts_longer_than_the_window_are_those_of_whole_rows(
    make_tiny: Callable[..., Decoder],
) -> None:
    model = make_tiny(dataclasses.replace(LLAMA, sliding_window=6, max_position_embeddings=64))
    prompts = [list(range(1, 30)), [7], list(range(40, 50))]
    replies = generate_batch(model, prompts, max_new_tokens=25)
    for prompt, reply in zip(prompts, replies, strict=True):
        ids = list(prompt)
        with torch.no_grad():
            for _ in range(25):
                ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
        assert reply.ids == ids[len(prompt) :]
        assert list(generate(model, prompt, max_new_tokens=25)) == reply.ids
