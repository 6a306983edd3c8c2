from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench.bench.windows import TOKEN_BYTES_FILE
from workbench.bench.workload import Workload
from workbench.data.shards import write_shards

VOCAB = 320
FAKE_MODEL = '''
"""The face of nanoGPT's model.py: what the bench asks of a checkout."""
from dataclasses import dataclass
import torch
from torch import nn
from torch.nn import functional as F

@dataclass
class GPTConfig:
    block_size: int
    vocab_size: int
    n_layer: int
    n_head: int
    n_embd: int
    dropout: float
    bias: bool

class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        print("number of parameters: on stdout, as theirs does")

    def forward(self, idx, targets=None):
        logits = self.lm_head(self.wte(idx))
        return logits, F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))

    def configure_optimizers(self, weight_decay, learning_rate, betas, device_type):
        return torch.optim.AdamW(self.parameters(), lr=learning_rate, betas=betas, weight_decay=weight_decay)
'''


@pytest.fixture
def workload() -> Workload:
    """A model of one layer that learns in milliseconds."""
    return Workload(
        num_hidden_layers=1,
        hidden_size=64,
        context_length=16,
        batch_tokens=64,
        vocab_size=VOCAB,
        dtype="float32",
        compiled=False,
    )


@pytest.fixture
def token_folder(tmp_path: Path) -> Path:
    """Shards of a text that repeats itself, with two bytes a token and none for the bos, 0."""
    folder = tmp_path / "tokens"
    folder.mkdir()
    document = [0, *(1 + at % 7 for at in range(99))]
    write_shards(folder, [document] * 20, vocab_size=VOCAB, shard_tokens=1 << 20)
    np.save(folder / TOKEN_BYTES_FILE, np.array([0, *[2] * (VOCAB - 1)]), allow_pickle=False)
    return folder


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder that looks like a nanoGPT checkout."""
    folder = tmp_path / "nanoGPT"
    folder.mkdir()
    (folder / "model.py").write_text(FAKE_MODEL, encoding="utf-8")
    return folder


def race_job(workload: Workload, tokens: Path, **system: Any) -> dict[str, Any]:
    """A race of a moment."""
    return {
        "kind": "race",
        "name": system["system"],
        "workload": workload.to_json(),
        "tokens": str(tokens),
        "heldout": str(tokens),
        "seconds": 0.3,
        "every": 0.1,
        **system,
    }
