"""Attention by segments sees what attention under a mask sees; the kernel itself runs on a GPU only."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from workbench.model import memory
from workbench.model.attention import attend
from workbench.model.memory import Seen, visible
from workbench.model.segments import (
    LEAST_TORCH,
    Segments,
    attend_in_segments,
    attention_in_words,
    segments_of,
    takes_segments,
    why_no_segments,
)
from workbench.model.transformer import Decoder
from workbench.step_memory import SEGMENTS_TORCH

from .conftest import CONFIGS, LLAMA

GPU = torch.device("cuda")


def packed(rows: int, length: int, *, longest: int = 9, seed: int = 0) -> Tensor:
    """documents_BT of random lengths; the first of a row has the number of the last one of the row before."""
    drawn = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, longest + 1, (rows * length,), generator=drawn)
    numbers_N = torch.arange(len(lengths)).repeat_interleave(lengths)[: rows * length]
    return numbers_N.reshape(rows, length)


def mask_of(segments: Segments, rows: int, length: int) -> Tensor:
    """mask_B1TT by the letter of what the kernel promises: the same segment, not later, in the window."""
    place_N = torch.arange(rows * length)
    segment_N = torch.searchsorted(segments.bounds_N, place_N, right=True)
    back_NN = place_N[:, None] - place_N
    seen_NN = (segment_N[:, None] == segment_N) & (back_NN >= 0)
    if segments.window is not None:
        seen_NN &= back_NN < segments.window
    by_row = seen_NN.reshape(rows, length, rows, length)
    assert by_row.sum() == by_row.diagonal(dim1=0, dim2=2).sum(), "a row looks into another"
    return torch.stack([by_row[row, :, row] for row in range(rows)])[:, None]


def kernel_by_the_letter(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cu_seq_q: Tensor,
    cu_seq_k: Tensor,
    max_q: int,
    max_k: int,
    *,
    scale: float,
    window_size: tuple[int, int],
    enable_gqa: bool,
) -> Tensor:
    """What torch documents of `varlen_attn`, and what its kernel refuses, one segment after the other."""
    assert query.ndim == key.ndim == value.ndim == 3 and query.dtype == key.dtype == value.dtype
    assert all(x.stride(-1) == 1 for x in (query, key, value))
    assert enable_gqa or query.shape[1] == key.shape[1]
    assert cu_seq_q.dtype == torch.int32 and cu_seq_q.is_contiguous() and torch.equal(cu_seq_q, cu_seq_k)
    bounds = cu_seq_q.tolist()
    assert bounds[0] == 0 and bounds[-1] == len(query)
    left, right = window_size
    parts = []
    for begin, end in itertools.pairwise(bounds):
        assert 0 < end - begin <= min(max_q, max_k)
        seen_TT = torch.ones(end - begin, end - begin, dtype=torch.bool).tril(right)
        if left >= 0:
            seen_TT = seen_TT.triu(-left)
        q, k, v = (x[begin:end].transpose(0, 1)[None] for x in (query, key, value))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=seen_TT, scale=scale, enable_gqa=enable_gqa)
        parts.append(y[0].transpose(0, 1))
    return torch.cat(parts)


def gradients(model: Decoder) -> list[Tensor]:
    """Of all weights but the head's, which hidden states do not pass."""
    return [weight.grad for weight in model.parameters() if weight.grad is not None]


def by_segments(*_: object) -> bool:
    return True


@pytest.mark.parametrize("window", [None, 1, 4, 30])
@pytest.mark.parametrize("with_documents", [True, False])
def test_segments_are_those_of_the_mask(
    window: int | None, with_documents: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if window is None and not with_documents:
        return
    x_BTD, documents_BT = torch.zeros(3, 31, 2), packed(3, 31) if with_documents else None
    config = dataclasses.replace(LLAMA, sliding_window=window)
    mask_B1TT = visible(x_BTD, documents_BT, config)
    assert isinstance(mask_B1TT, Tensor)
    monkeypatch.setattr(memory, "takes_segments", by_segments)
    segments = visible(x_BTD, documents_BT, config)
    assert isinstance(segments, Segments) and segments.bounds_N.dtype == torch.int32
    assert torch.equal(mask_of(segments, 3, 31), mask_B1TT.expand(3, 1, 31, 31))
    assert int(segments.bounds_N.diff().max()) <= segments.longest


def test_rows_that_need_no_mask_have_no_segments_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "takes_segments", by_segments)
    for window in (None, 31, 90):
        assert visible(torch.zeros(3, 31, 2), None, dataclasses.replace(LLAMA, sliding_window=window)) is None


@pytest.mark.parametrize("name", ["llama", "qwen3", "gpt2", "granite", "mistral", "values", "bigrams"])
def test_a_model_computes_and_learns_the_same(
    name: str,
    make_tiny: Callable[..., Decoder],
    random_ids: Callable[..., Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    varlen = pytest.importorskip("torch.nn.attention.varlen")
    model, ids_BT, documents_BT = make_tiny(CONFIGS[name]), random_ids(3, 31), packed(3, 31)
    calls = []

    def counted(*tensors: Any, **settings: Any) -> Tensor:
        calls.append(settings["window_size"])
        return kernel_by_the_letter(*tensors, **settings)

    monkeypatch.setattr(varlen, "varlen_attn", counted)
    found = []
    for takes in (takes_segments, by_segments):
        monkeypatch.setattr(memory, "takes_segments", takes)
        model.zero_grad()
        x_BTD = model.hidden(ids_BT, documents_BT=documents_BT)
        x_BTD.square().sum().backward()
        found.append([x_BTD.detach(), *gradients(model)])
        assert bool(calls) == (takes is by_segments)
    largest = max(
        masked.norm() for masked in found[0]
    )  # a bias of all keys moves nothing: of it only rounding is left
    for masked, ours in zip(*found, strict=True):
        assert (ours - masked).norm() <= 1e-5 * masked.norm() + 1e-6 * largest
    window = model.config.sliding_window
    assert calls == [(-1 if window is None else window - 1, 0)] * model.config.num_hidden_layers


def test_torch_takes_what_it_is_given() -> None:
    """Its own function on tensors without numbers: names, types and shapes, forward and backward."""
    if torch.__version__ < LEAST_TORCH:
        pytest.skip("torch's kernel came with 2.13")
    q, k, v = (
        torch.empty(2, 24, heads, 16, device="meta", dtype=torch.bfloat16, requires_grad=True)
        for heads in (4, 2, 2)
    )
    bounds_N = torch.empty(7, device="meta", dtype=torch.int32)
    y_BTHE = attend_in_segments(q, k, v.float(), Segments(bounds_N, 24, window=5), multiplier=0.25)
    assert y_BTHE.shape == q.shape and y_BTHE.dtype == torch.bfloat16
    y_BTHE.sum().backward()
    assert [each.grad.shape for each in (q, k, v) if each.grad is not None] == [q.shape, k.shape, v.shape]


def test_compiled_layers_are_one_program_for_any_number_of_documents() -> None:
    if torch.__version__ < LEAST_TORCH:
        pytest.skip("torch's kernel came with 2.13")
    torch.compiler.reset()
    programs = []

    def backend(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        programs.append(graph)
        return lambda *_: (torch.zeros(2, 24, 4, 16),)

    def attended(x_BTHE: Tensor, segments: Segments) -> Tensor:
        return attend(x_BTHE, Seen(x_BTHE, x_BTHE, segments=segments), multiplier=0.25)

    compiled = torch.compile(attended, backend=backend, dynamic=False, fullgraph=True)
    counts = set()
    for seed in range(6):
        segments = segments_of(torch.zeros(2, 24, 1), packed(2, 24, seed=seed), None)
        counts.add(len(segments.bounds_N))
        compiled(torch.zeros(2, 24, 4, 16), segments)
    assert len(counts) > 2 and len(programs) == 1


def test_a_mask_is_what_there_is_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not takes_segments(torch.zeros(1, 2, 3, dtype=torch.bfloat16), LLAMA)
    assert "GPU" in why_no_segments(torch.device("cpu"), torch.bfloat16)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: True)
    monkeypatch.setattr(torch, "__version__", torch.torch_version.TorchVersion("2.13.0+cu130"))
    assert why_no_segments(GPU, torch.bfloat16) == ""
    assert "float32" in why_no_segments(GPU, torch.float32)
    monkeypatch.setattr(torch, "__version__", torch.torch_version.TorchVersion("2.11.1+cu130"))
    assert "2.13" in why_no_segments(GPU, torch.bfloat16)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert "Ampere" in why_no_segments(GPU, torch.bfloat16)


def test_heads_that_the_kernel_does_not_take() -> None:
    fitting = dataclasses.replace(LLAMA, head_dim=64)
    assert fitting.fits_flash_attention
    for change in ({"head_dim": 12}, {"head_dim": 264}, {"attn_logit_softcapping": 30.0}):
        assert not dataclasses.replace(fitting, **change).fits_flash_attention  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "in_documents", "version", "told"),
    [
        ({}, True, "2.13.0", "FlashAttention inside documents"),
        ({}, False, "2.11.0", "FlashAttention over whole rows"),
        ({"sliding_window": 64}, False, "2.13.0", "FlashAttention in windows"),
        (
            {},
            True,
            "2.11.0",
            "attention inside documents by a mask, not FlashAttention: it needs torch 2.13 or later",
        ),
        (
            {"head_dim": 12},
            False,
            "2.13.0",
            "attention over whole rows, not FlashAttention: it does not take such heads",
        ),
    ],
)
def test_a_training_tells_how_a_gpu_attends(
    change: dict[str, Any], in_documents: bool, version: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: True)
    monkeypatch.setattr(torch, "__version__", torch.torch_version.TorchVersion(version))
    config = dataclasses.replace(LLAMA, **{"head_dim": 64} | change)
    for device, words in ((GPU, told), (torch.device("cpu"), "")):
        assert attention_in_words(config, device, torch.bfloat16, in_documents=in_documents) == words


def test_the_plan_knows_from_which_torch_on() -> None:
    assert ".".join(map(str, SEGMENTS_TORCH)) == LEAST_TORCH


@pytest.mark.gpu
@pytest.mark.parametrize("groups", [1, 2, 8])
@pytest.mark.parametrize("window", [None, 100])
@pytest.mark.parametrize("with_documents", [True, False])
def test_the_kernel_computes_what_attention_under_a_mask_does(
    groups: int, window: int | None, with_documents: bool
) -> None:
    """Outputs and gradients in bfloat16, no further from float32 than twice what the masked kernel is."""
    if window is None and not with_documents:
        return
    torch.manual_seed(0)
    documents_BT = packed(3, 700, longest=300).to(GPU) if with_documents else None
    config = dataclasses.replace(LLAMA, head_dim=64, sliding_window=window)
    stream_BTD = torch.zeros(3, 700, 1, device=GPU)
    mask_B1TT = visible(stream_BTD, documents_BT, config)
    segments = visible(stream_BTD.bfloat16(), documents_BT, config)
    assert isinstance(mask_B1TT, Tensor) and isinstance(segments, Segments)
    drawn = [torch.randn(3, 700, heads, 64, device=GPU).bfloat16() for heads in (8, groups, groups, 8)]

    def computed(dtype: torch.dtype, **bounds: Any) -> list[Tensor]:
        q, k, v, direction = (x.to(dtype).requires_grad_() for x in drawn)
        y = attend(q, Seen(k, v, **bounds), multiplier=0.125)
        return [y, *torch.autograd.grad((y * direction).sum(), (q, k, v))]

    exact = computed(torch.float32, mask_B1TS=mask_B1TT)
    masked = computed(torch.bfloat16, mask_B1TS=mask_B1TT)
    ours = computed(torch.bfloat16, segments=segments)
    for right, theirs, mine in zip(exact, masked, ours, strict=True):
        assert (mine - right).norm() <= 2 * (theirs - right).norm() + 1e-3 * right.norm()


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["qwen3", "values", "mistral"])
def test_a_model_on_a_gpu_learns_the_same(
    name: str,
    make_tiny: Callable[..., Decoder],
    random_ids: Callable[..., Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = dataclasses.replace(CONFIGS[name], head_dim=16)
    model, ids_BT, documents_BT = make_tiny(config).to(GPU), random_ids(3, 60).to(GPU), packed(3, 60).to(GPU)
    found = []
    for takes in (lambda *_: False, takes_segments):
        monkeypatch.setattr(memory, "takes_segments", takes)
        model.zero_grad()
        with torch.autocast("cuda", dtype=torch.bfloat16):
            x_BTD = model.hidden(ids_BT, documents_BT=documents_BT)
        x_BTD.float().square().sum().backward()
        found.append([x_BTD.detach(), *gradients(model)])
    for masked, ours in zip(*found, strict=True):
        assert (ours - masked).norm() <= 0.05 * masked.norm()
