"""The decoder against a float64 computation written with loops, and the promises of its cache."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest
import torch

from workbench.model import attention
from workbench.model.attention import attend_written_out
from workbench.model.initialise import initialise
from workbench.model.memory import KVCache
from workbench.model.norms import RMSNorm
from workbench.model.rotation import Rotation
from workbench.model.transformer import Decoder
from workbench.model_config import ModelConfig


def norm64(x: np.ndarray, weight: np.ndarray, eps: float) -> np.ndarray:
    return x / math.sqrt(float(np.mean(x * x)) + eps) * weight


def rotate64(x: np.ndarray, position: int, theta: float) -> np.ndarray:
    """One head: pair (p, p + E/2) as a complex number, times e^(i angle)."""
    pairs = len(x) // 2
    turned = (x[:pairs] + 1j * x[pairs:]) * np.exp(1j * position * theta ** (-np.arange(pairs) / pairs))
    return np.concatenate((turned.real, turned.imag))


def capped64(x: np.ndarray, cap: float | None) -> np.ndarray:
    return x if cap is None else cap * np.tanh(x / cap)


def logits64(model: Decoder, ids: list[int]) -> np.ndarray:
    """The same function of the same weights, in float64, one number at a time: [T, V]."""
    config = model.config
    weights = {name: tensor.detach().double().numpy() for name, tensor in model.state_dict().items()}
    eps, E = config.rms_norm_eps, config.head_dim
    x = weights["embed_tokens.weight"][ids]
    if config.positions == "learned":
        x = x + weights["embed_positions.weight"][: len(ids)]
    if config.bigram_embedding_rows:
        for t, pair in enumerate(zip([-1, *ids], ids, strict=False)):
            row = (27191 * pair[0] ^ 36313 * pair[1]) % config.bigram_embedding_rows
            x[t] += weights["embed_bigrams.weight"][row]
    x = x * config.embedding_multiplier
    multiplier = config.attention_multiplier or 1 / math.sqrt(E)

    def normed(row: np.ndarray, weights: dict[str, np.ndarray], name: str) -> np.ndarray:
        if config.norm == "layer":
            row = (row - row.mean()) / np.sqrt(row.var() + eps)
            return row * weights[f"{name}.weight"] + weights[f"{name}.bias"]
        return norm64(row, weights[f"{name}.weight"], eps)

    for layer in range(config.num_hidden_layers):
        own = {
            n.removeprefix(f"layers.{layer}."): w
            for n, w in weights.items()
            if n.startswith(f"layers.{layer}.")
        }

        def times(name: str, h: np.ndarray, own: dict[str, np.ndarray] = own) -> np.ndarray:
            return own[f"{name}.weight"] @ h + own.get(f"{name}.bias", 0.0)

        def heads(name: str, h: np.ndarray, times: Callable[..., np.ndarray] = times) -> list[np.ndarray]:
            return list(times(f"self_attn.{name}", h).reshape(-1, E))

        def turned(head: np.ndarray, position: int) -> np.ndarray:
            return head if config.positions == "learned" else rotate64(head, position, config.rope_theta)

        looked_up = weights.get(f"value_embeds.{layer}.weight")
        keys, values, out = [], [], []
        for t in range(len(ids)):
            h = normed(x[t], own, "input_layernorm")
            q, k = heads("q_proj", h), heads("k_proj", h)
            if config.qk_norm:
                q = [norm64(head, own["self_attn.q_norm.weight"], eps) for head in q]
                k = [norm64(head, own["self_attn.k_norm.weight"], eps) for head in k]
            keys.append([turned(head, t) for head in k])
            value = heads("v_proj", h)
            if looked_up is not None:
                gates = 2 / (1 + np.exp(-own["self_attn.value_gate.weight"] @ h[:32]))
                given = looked_up[ids[t]].reshape(-1, E)
                value = [v + gate * more for v, gate, more in zip(value, gates, given, strict=True)]
            values.append(value)
            mixed = []
            for i, head in enumerate(q):
                group = i * config.num_key_value_heads // config.num_attention_heads
                query = turned(head, t)
                since = max(0, t + 1 - (config.sliding_window or len(ids)))
                scores = np.array([query @ seen[group] * multiplier for seen in keys[since:]])
                weight = np.exp(capped64(scores, config.attn_logit_softcapping))
                weight /= weight.sum()
                mixed.append(sum(w * v[group] for w, v in zip(weight, values[since:], strict=True)))
            out.append(times("self_attn.o_proj", np.concatenate(mixed)))
        x = x + config.residual_multiplier * np.stack(out)
        for t in range(len(ids)):
            h = normed(x[t], own, "post_attention_layernorm")
            up = times("mlp.up_proj", h)
            if config.feed_forward == "swiglu":
                gate = times("mlp.gate_proj", h)
                active = gate / (1 + np.exp(-gate)) * up
            elif config.feed_forward == "relu2":
                active = np.maximum(up, 0) ** 2
            else:
                active = up / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (up + 0.044715 * up**3)))
            x[t] += config.residual_multiplier * times("mlp.down_proj", active)
    head = weights["embed_tokens.weight"] if config.tie_word_embeddings else weights["lm_head.weight"]
    logits = np.stack([head @ normed(row, weights, "norm") / config.logits_scaling for row in x])
    return capped64(logits, config.final_logit_softcapping)


def test_logits_are_those_of_a_float64_computation(
    model: Decoder, random_ids: Callable[..., torch.Tensor]
) -> None:
    ids_BT = random_ids(1, 9)
    expected = logits64(model, ids_BT[0].tolist())
    assert np.abs(expected).max() > 1  # the comparison has something to compare
    np.testing.assert_allclose(model(ids_BT)[0].detach().numpy(), expected, atol=2e-5)


def test_the_number_of_parameters_is_what_the_config_says(model: Decoder) -> None:
    assert sum(p.numel() for p in model.parameters()) == model.config.num_parameters


@torch.no_grad()
def test_a_later_token_changes_no_earlier_logit(
    model: Decoder, random_ids: Callable[..., torch.Tensor]
) -> None:
    ids_BT = random_ids(2, 12)
    changed_BT = ids_BT.clone()
    changed_BT[:, 7] = (changed_BT[:, 7] + 1) % 97
    before, after = model(ids_BT), model(changed_BT)
    assert torch.equal(before[:, :7], after[:, :7])
    assert not torch.allclose(before[:, 7:], after[:, 7:])


@torch.no_grad()
@pytest.mark.parametrize("pieces", [[12], [5, 7], [1] * 12, [4, 1, 1, 6]])
def test_reading_in_pieces_with_a_cache_gives_the_logits_of_reading_at_once(
    model: Decoder, random_ids: Callable[..., torch.Tensor], pieces: list[int]
) -> None:
    ids_BT = random_ids(3, 12)
    cache = KVCache(model.config, rows=3, capacity=12)
    read = [model(piece, cache=cache) for piece in ids_BT.split(pieces, dim=1)]
    torch.testing.assert_close(torch.cat(read, dim=1), model(ids_BT), atol=2e-5, rtol=1e-5)


@torch.no_grad()
def test_rows_of_different_length_are_as_if_alone(
    model: Decoder, random_ids: Callable[..., torch.Tensor]
) -> None:
    ids_BT, lengths = random_ids(3, 10), [4, 10, 7]
    cache = KVCache(model.config, rows=3, capacity=20)
    cache.expect(lengths)
    model(ids_BT, cache=cache)
    next_BT = random_ids(3, 5, seed=1)
    together = torch.cat([model(column, cache=cache) for column in next_BT.split([1, 3, 1], dim=1)], dim=1)
    for row, length in enumerate(lengths):
        alone = model(torch.cat([ids_BT[row, :length], next_BT[row]])[None])[0, length:]
        torch.testing.assert_close(together[row], alone, atol=2e-5, rtol=1e-5)


@torch.no_grad()
def test_kept_rows_go_on_as_before(model: Decoder, random_ids: Callable[..., torch.Tensor]) -> None:
    ids_BT = random_ids(3, 8)
    cache = KVCache(model.config, rows=3, capacity=9)
    model(ids_BT[:, :7], cache=cache)
    cache.keep(torch.tensor([2, 0]))
    torch.testing.assert_close(
        model(ids_BT[[2, 0], 7:], cache=cache)[:, 0], model(ids_BT)[[2, 0], 7], atol=2e-5, rtol=1e-5
    )


def test_a_full_cache_is_a_programmers_error(llama: Decoder, random_ids: Callable[..., torch.Tensor]) -> None:
    with pytest.raises(AssertionError, match="full"):
        llama(random_ids(1, 5), cache=KVCache(llama.config, rows=1, capacity=4))


@torch.no_grad()
def test_rope_tells_distances_only(llama: Decoder) -> None:
    config = dataclasses.replace(llama.config, head_dim=16, rope_theta=100.0)
    q_BTHE, k_BTHE = torch.randn(1, 1, 1, 16), torch.randn(1, 1, 1, 16)

    def product(q_at: int, k_at: int) -> float:
        def turned(x: torch.Tensor, at: int) -> torch.Tensor:
            return Rotation.at(torch.tensor([[at]]), config).turn(x)

        return float((turned(q_BTHE, q_at) * turned(k_BTHE, k_at)).sum())

    assert product(9, 4) == pytest.approx(product(105, 100), abs=1e-4)
    assert product(9, 4) != pytest.approx(product(9, 5), abs=1e-4)


def test_a_row_of_zeros_stays_finite_and_so_does_its_gradient() -> None:
    norm = RMSNorm(8, eps=1e-6)
    x = torch.zeros(2, 8, requires_grad=True)
    norm(x).sum().backward()
    assert torch.equal(norm(x), torch.zeros(2, 8))
    assert x.grad is not None and torch.isfinite(x.grad).all()


def test_short_rows_in_bfloat16_are_plain_attention() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, heads, 40, 16, generator=generator) for heads in (4, 2, 2))
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    torch.testing.assert_close(attend_written_out(q, k, v, multiplier=1 / 4), expected, atol=1e-5, rtol=1e-5)
    narrow = attend_written_out(q.bfloat16(), k.bfloat16(), v.bfloat16(), multiplier=1 / 4)
    torch.testing.assert_close(narrow.float(), expected, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("keys_before", [0, 3])
@pytest.mark.parametrize("window", [None, 5])
def test_scores_written_out_in_blocks_are_those_of_torchs_kernel(
    keys_before: int, window: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "BLOCK", 4)
    T, S = 10, 10 + keys_before
    q, k, v = torch.randn(2, 4, T, 8), torch.randn(2, 2, S, 8), torch.randn(2, 2, S, 8)
    back_TS = torch.arange(S - T, S)[:, None] - torch.arange(S)
    looks_TS = (back_TS >= 0) & (back_TS < (window or S))
    expected = torch.nn.functional.scaled_dot_product_attention(
        q, k, v, attn_mask=looks_TS, scale=0.3, enable_gqa=True
    )
    mask = None if window is None else looks_TS.expand(2, 1, T, S)
    written = attend_written_out(q, k, v, mask, multiplier=0.3)
    torch.testing.assert_close(written, expected, atol=1e-5, rtol=1e-5)


def test_autocast_gives_nearly_the_same_gradients(
    config: ModelConfig, make_tiny: Callable[..., Decoder]
) -> None:
    model = make_tiny(dataclasses.replace(config, initializer_range=0.05))
    ids_BT = torch.arange(60).reshape(2, 30)

    def gradient(*, narrow: bool) -> torch.Tensor:
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
            logits_BTV = model(ids_BT)
        torch.nn.functional.cross_entropy(
            logits_BTV.float()[:, :-1].flatten(0, 1), ids_BT[:, 1:].flatten()
        ).backward()
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    wide, narrow = gradient(narrow=False), gradient(narrow=True)
    assert torch.nn.functional.cosine_similarity(wide, narrow, dim=0) > 0.99


@torch.no_grad()
def test_a_float32_cache_can_be_used_under_autocast(
    llama: Decoder, random_ids: Callable[..., torch.Tensor]
) -> None:
    ids_BT = random_ids(2, 9)
    cache = KVCache(llama.config, rows=2, capacity=9)
    with torch.autocast("cpu", torch.bfloat16):
        read = torch.cat([llama(piece, cache=cache) for piece in ids_BT.split([6, 2, 1], dim=1)], dim=1)
    expected = llama(ids_BT)
    assert (read.float() - expected).abs().mean() < 0.05 * expected.abs().mean()


@pytest.mark.parametrize("window", [None, 4])
@pytest.mark.parametrize("positions", ["rotary", "learned"])
@pytest.mark.parametrize("bigram_rows", [0, 37])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_document_packed_among_others_is_read_as_if_alone(
    dtype: torch.dtype, bigram_rows: int, positions: Literal["rotary", "learned"], window: int | None
) -> None:
    config = ModelConfig(
        vocab_size=50,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        head_dim=8,
        positions=positions,
        sliding_window=window,
        bigram_embedding_rows=bigram_rows,
    )
    model = initialise(Decoder(config), 0).to(dtype)
    first, second = torch.randint(50, (1, 7)), torch.randint(50, (1, 9))
    packed = torch.cat((first, second), dim=1)
    documents = torch.tensor([[0] * 7 + [1] * 9])
    with torch.inference_mode():
        together = model.hidden(packed, documents_BT=documents)
        apart = torch.cat((model.hidden(first), model.hidden(second)), dim=1)
        mixed = model.hidden(packed)
    tolerance = 1e-5 if dtype == torch.float32 else 5e-2
    torch.testing.assert_close(together, apart, atol=tolerance, rtol=tolerance)
    assert (mixed - apart).abs().max() > 10 * tolerance
