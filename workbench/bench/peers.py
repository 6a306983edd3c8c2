"""Other people's systems, from the user's own checkout or installed package, with the settings they race with.

None of their code is here: a builder imports their model and their optimizer and says how they are called. The
settings are those of the comparison in recipes/LOG.md: AdamW with betas 0.9 and 0.99, weight decay 0.1, clip 1,
a hundred steps of warmup and a cosine to a tenth; nanochat with its own optimizer and its own schedules.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from workbench.bench.systems import Peer
from workbench.bench.workload import HEAD_WIDTH, Workload
from workbench.errors import BadInput
from workbench.train.schedule import cosine

ADAMW_RATE = 4e-3
"""The better of 1e-3 (nanoGPT's for small models) and 4e-3 for every AdamW peer."""
BETAS = (0.9, 0.99)
WEIGHT_DECAY = 0.1
WARMUP_STEPS = 100
NANOCHAT_SCALE = 0.35
"""Of all nanochat's rates: the better of 0.088, its own rule sqrt(4,096 / 524,288), and four times as much."""


@dataclass(frozen=True, slots=True)
class PeerName:
    """`nanogpt:/path/to/checkout` or `litgpt[:/path/to/python]`: which peer, and where it is."""

    name: str
    place: Path | None

    @property
    def python(self) -> str:
        """The interpreter that has the peer: that of the place, for a package."""
        in_checkout = self.name in CHECKOUTS
        return str(self.place) if self.place is not None and not in_checkout else sys.executable


CHECKOUTS = {"nanogpt": "model.py", "nanochat": "nanochat/gpt.py"}
"""Peers that are a checkout, and the file by which one is known."""
PACKAGES = ("litgpt", "transformers")


def parse_peer(text: str) -> PeerName:
    """What `--peer` names, looked for. Raises BadInput when it is not known or not there."""
    name, _, place = text.partition(":")
    option = f"--peer {text}"
    if name in CHECKOUTS:
        if not place:
            raise BadInput(f"{option} needs a checkout", fix=f"write --peer {name}:/path/to/checkout")
        if not (Path(place) / CHECKOUTS[name]).is_file():
            raise BadInput(
                f"{option}: no {CHECKOUTS[name]} there", fix=f"name the folder of a {name} checkout"
            )
        return PeerName(name, Path(place).resolve())
    if name not in PACKAGES:
        known = ", ".join((*CHECKOUTS, *PACKAGES))
        raise BadInput(f"{option}: not a peer that can be run", fix=f"choose of {known}")
    if place and not os.access(place, os.X_OK):
        raise BadInput(
            f"{option}: no Python there", fix=f"name the interpreter that has {name}, or leave it out"
        )
    if not place and importlib.util.find_spec(name) is None:
        raise BadInput(
            f"{option} is not installed here",
            fix=f"pip install {name}, or write --peer {name}:/path/to/python",
        )
    return PeerName(name, Path(place).absolute() if place else None)


def build_peer(name: str, place: Path | None, workload: Workload) -> Peer:
    """The peer's model of this shape with fresh weights of its own kind, ready to be trained."""
    torch.manual_seed(workload.seed)
    if name in CHECKOUTS:
        assert place is not None
        sys.path.insert(0, str(place))
    return _BUILDERS[name](workload)


def _nanogpt(workload: Workload) -> Peer:
    from model import GPT, GPTConfig  # type: ignore[import-not-found]  # the checkout's

    model = GPT(
        GPTConfig(
            block_size=workload.context_length,
            vocab_size=workload.vocab_size,
            n_layer=workload.num_hidden_layers,
            n_head=workload.num_attention_heads,
            n_embd=workload.hidden_size,
            dropout=0.0,
            bias=False,
        )
    ).to(workload.device)
    return Peer(
        workload=workload,
        model=model,
        make_optimizer=lambda: model.configure_optimizers(
            WEIGHT_DECAY, ADAMW_RATE, BETAS, workload.device.type
        ),
        loss=lambda run, ids_BT, targets_BT: run(ids_BT, targets_BT)[1],
        raw_logits=lambda run, ids_BT: run(ids_BT, ids_BT)[
            0
        ],  # without targets it scores the last position only
        set_rates=warm_cosine,
    )


def _nanochat(workload: Workload) -> Peer:
    os.environ["NANOCHAT_DTYPE"] = workload.dtype  # read when its package is imported
    from nanochat.gpt import GPT, GPTConfig  # type: ignore[import-not-found]

    model = GPT(
        GPTConfig(
            sequence_len=workload.context_length,
            vocab_size=workload.vocab_size,
            n_layer=workload.num_hidden_layers,
            n_head=workload.num_attention_heads,
            n_kv_head=workload.num_attention_heads,
            n_embd=workload.hidden_size,
            window_pattern="L",  # what its own runs/runcpu.sh asks for where there is no FlashAttention 3
        )
    ).to(workload.device)
    model.init_weights()
    # scripts/base_train.py's defaults
    rates = {"unembedding_lr": 0.008, "embedding_lr": 0.3, "scalar_lr": 0.5, "matrix_lr": 0.02}
    scaled = {name: rate * NANOCHAT_SCALE for name, rate in rates.items()}
    return Peer(
        workload=workload,
        model=model,
        make_optimizer=lambda: model.setup_optimizer(
            **scaled, weight_decay=0.0
        ),  # its rule is for runs a thousand times as long
        loss=lambda run, ids_BT, targets_BT: run(ids_BT, targets_BT),
        raw_logits=lambda run, ids_BT: run(ids_BT),
        set_rates=nanochat_rates,
        max_grad_norm=0.0,
        autocast=False,
    )


def _litgpt(workload: Workload) -> Peer:
    from litgpt.config import Config  # type: ignore[import-not-found]
    from litgpt.model import GPT  # type: ignore[import-not-found]
    from litgpt.pretrain import initialize_weights  # type: ignore[import-not-found]

    config = Config(
        name="bench",
        block_size=workload.context_length,
        padded_vocab_size=workload.vocab_size,
        vocab_size=workload.vocab_size,
        n_layer=workload.num_hidden_layers,
        n_head=workload.num_attention_heads,
        n_embd=workload.hidden_size,
        rotary_percentage=1.0,
        parallel_residual=False,
        bias=False,
        norm_class_name="RMSNorm",
        mlp_class_name="LLaMAMLP",
        intermediate_size=workload.gated_width,
    )
    model = GPT(config).to(workload.device)
    no_fabric = SimpleNamespace(strategy=None)  # asked only whether weights are sharded
    initialize_weights(no_fabric, model, workload.num_hidden_layers, workload.hidden_size)
    model.transformer.wte.weight = model.lm_head.weight
    return _adamw_peer(workload, model, lambda run, ids_BT: run(ids_BT))


def _transformers(workload: Workload) -> Peer:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=workload.vocab_size,
        hidden_size=workload.hidden_size,
        num_hidden_layers=workload.num_hidden_layers,
        num_attention_heads=workload.num_attention_heads,
        intermediate_size=workload.gated_width,
        head_dim=HEAD_WIDTH,
        max_position_embeddings=workload.context_length,
        tie_word_embeddings=True,
        use_cache=False,
    )
    model: Any = LlamaForCausalLM(config)
    return _adamw_peer(workload, model.to(workload.device), lambda run, ids_BT: run(input_ids=ids_BT).logits)


_BUILDERS: dict[str, Callable[[Workload], Peer]] = {
    "nanogpt": _nanogpt,
    "nanochat": _nanochat,
    "litgpt": _litgpt,
    "transformers": _transformers,
}


def _adamw_peer(workload: Workload, model: Any, logits: Callable[[Any, Tensor], Tensor]) -> Peer:
    """A model in nanoGPT's loop: cross-entropy of float32 logits, AdamW, decay for what has two dimensions."""

    def optimizer() -> torch.optim.Optimizer:
        decayed = [p for p in model.parameters() if p.ndim >= 2]
        others = [p for p in model.parameters() if p.ndim < 2]
        groups: list[dict[str, Any]] = [
            {"params": decayed, "weight_decay": WEIGHT_DECAY},
            {"params": others, "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=ADAMW_RATE, betas=BETAS)

    def loss(run: Any, ids_BT: Tensor, targets_BT: Tensor) -> Tensor:
        return F.cross_entropy(logits(run, ids_BT).float().flatten(0, 1), targets_BT.flatten())

    return Peer(
        workload=workload,
        model=model,
        make_optimizer=optimizer,
        loss=loss,
        raw_logits=logits,
        set_rates=warm_cosine,
    )


def warm_cosine(optimizer: torch.optim.Optimizer, step: int, progress: float) -> None:
    """A hundred steps up, then half a cosine over the time allowed, to a tenth (nanoGPT's train.py)."""
    factor = min(1.0, (step + 1) / WARMUP_STEPS) * cosine(progress, floor=0.1)
    for group in optimizer.param_groups:
        group["lr"] = factor * ADAMW_RATE


def nanochat_rates(optimizer: torch.optim.Optimizer, step: int, progress: float) -> None:
    """The rate and momentum schedules of nanochat's base_train.py, over the time allowed."""
    down = max(0.0, (progress - 0.35) / 0.65)  # its warmdown: the last 65 %
    factor = min(1.0, (step + 1) / 40) * (1 - down * 0.95)
    rising = 0.85 + 0.12 * min(1.0, step / 400)
    momentum = rising if step < 400 else 0.97 - 0.07 * down
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor
        if group.get("kind") == "muon":
            group["momentum"] = momentum
