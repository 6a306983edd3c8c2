"""Attention inside the documents of a batch without a mask: a kernel is told where each begins.

    rows   | a a a b b | c d d d d |     what is laid end to end
    bounds 0     3   5   6         10    where segments begin, and the end of the last

A mask has a number for every pair of a row's positions, so its memory and its reading grow with the square of the row,
and torch's FlashAttention takes none. `varlen_attn` of torch 2.13 is FlashAttention over segments: what lies in another
one is never read. FlexAttention could do the same and bend scores too, but only compiled by Triton; uncompiled it
writes all scores out, and whether layers are compiled is decided by measurement here (train/compile_choice.py).

Shapes: B rows, T positions, D width, H query heads, G key/value heads, E width of one head; N one more than there are
segments.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from workbench.model_config import ModelConfig

LEAST_TORCH = "2.13"
"""Older ones have the kernel too, but not for fewer key/value heads than query heads."""
LEAST_CAPABILITY = (8, 0)
"""Ampere's generation: FlashAttention-2 has no code for older ones."""


class Segments(NamedTuple):
    """Where the segments of a batch begin when its rows are laid end to end; causal attention stays inside each.

    bounds_N: int32, from 0 to B·T, ascending; a row's end is a bound. longest: no segment has more tokens.
    window: how many tokens a position sees, itself included; None: all of its segment up to itself.
    """

    bounds_N: Tensor
    longest: int
    window: int | None = None


def takes_segments(x_BTD: Tensor, config: ModelConfig) -> bool:
    """Whether a kernel attends by segments where x_BTD, which the layers read, is; else attention needs a mask."""
    kind = x_BTD.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x_BTD.dtype
    return config.fits_flash_attention and not why_no_segments(x_BTD.device, dtype)


def why_no_segments(device: torch.device, dtype: torch.dtype) -> str:
    """What keeps attention in `dtype` on `device` from going by segments; empty where nothing does."""
    if why_not := why_no_flash_attention(device, dtype):
        return why_not
    return "" if torch.__version__ >= LEAST_TORCH else f"it needs torch {LEAST_TORCH} or later"


def why_no_flash_attention(device: torch.device, dtype: torch.dtype) -> str:
    """What keeps torch from FlashAttention in `dtype` on `device` for rows without a mask; empty where nothing does."""
    if device.type != "cuda" or torch.version.cuda is None:
        return "it needs an NVIDIA GPU"
    if dtype not in (torch.bfloat16, torch.float16):
        return "it has no float32"
    if torch.cuda.get_device_capability(device) < LEAST_CAPABILITY:
        return "it needs a GPU of Ampere's generation or later"
    built = torch.backends.cuda.is_flash_attention_available()
    return "" if built else "this build of torch is without it"


def attention_in_words(
    config: ModelConfig, device: torch.device, dtype: torch.dtype, *, in_documents: bool
) -> str:
    """How a GPU attends while it learns in `dtype`, and what keeps it from FlashAttention; empty elsewhere.

    in_documents: whether rows hold several, each to be read by itself.
    """
    if device.type != "cuda":
        return ""
    masked = in_documents or config.sliding_window is not None
    where = "inside documents" if in_documents else "in windows" if masked else "over whole rows"
    if config.fits_flash_attention:
        why_not = (why_no_segments if masked else why_no_flash_attention)(device, dtype)
    else:
        why_not = "it does not take such heads"
    if not why_not:
        return f"FlashAttention {where}"
    return f"attention {where}{' by a mask' if masked else ''}, not FlashAttention: {why_not}"


def segments_of(x_BTD: Tensor, documents_BT: Tensor | None, window: int | None) -> Segments:
    """The documents of every row, which lie in one piece each; whole rows where documents_BT does not tell them apart.

    The host waits for the device, once a forward pass: how many documents there are decides a tensor's size.
    """
    B, T = x_BTD.shape[:2]
    begins_BT = torch.ones(B, T, dtype=torch.bool, device=x_BTD.device)
    if documents_BT is None:
        begins_BT[:, 1:] = False
    else:
        begins_BT[:, 1:] = documents_BT[:, 1:] != documents_BT[:, :-1]
    begins_N = begins_BT.flatten().nonzero()[:, 0]
    bounds_N = torch.cat((begins_N, begins_N.new_full((1,), B * T))).to(torch.int32)
    # Compiled layers would else be compiled again for every number of documents; `longest` is T for the same reason.
    torch._dynamo.maybe_mark_dynamic(bounds_N, 0)
    return Segments(bounds_N, T, window)


def attend_in_segments(
    q_BTHE: Tensor, k_BTGE: Tensor, v_BTGE: Tensor, segments: Segments, *, multiplier: float
) -> Tensor:
    """y_BTHE = softmax(multiplier · q · kᵀ) · v over the positions of a query's segment up to itself, by the kernel."""
    # Imported here: it brings torch's compiler along, a second that no other way of attending needs.
    from torch.nn.attention.varlen import varlen_attn

    bounds_N, longest, window = segments
    # Values may be float32 under autocast, where looked-up ones were added.
    q_NHE, k_NGE, v_NGE = (x.flatten(0, 1).to(q_BTHE.dtype) for x in (q_BTHE, k_BTGE, v_BTGE))
    seen_before = -1 if window is None else window - 1  # -1: all
    y_NHE = varlen_attn(
        q_NHE,
        k_NGE,
        v_NGE,
        bounds_N,
        bounds_N,
        longest,
        longest,
        scale=multiplier,
        window_size=(seen_before, 0),
        enable_gqa=q_BTHE.shape[2] != k_BTGE.shape[2],
    )
    assert isinstance(y_NHE, Tensor)  # the sums of the softmax come along only where asked for
    y_BTHE: Tensor = y_NHE.unflatten(0, q_BTHE.shape[:2])
    return y_BTHE
