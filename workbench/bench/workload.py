"""What is trained in a measurement: the shape of the model, the batch, the arithmetic and the clock, as plain data.

Every system under test gets the same one. It travels to the measuring process as JSON.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import torch

from workbench.bench.clocks import Clock
from workbench.errors import BadInput
from workbench.model_config import ModelConfig

HEAD_WIDTH = 64
_FEED_FORWARD_STEP = 32


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One shape to train, and how. The defaults are those of the comparisons in recipes/LOG.md.

    dtype: of matrix products; weights are float32. clock: what seconds mean. compiled: whether other systems run
    under torch.compile, as their authors run them, and the ladder has a rung for it; compiling is done before the
    clock starts.
    """

    num_hidden_layers: int = 6
    hidden_size: int = 256
    context_length: int = 256
    batch_tokens: int = 4096
    vocab_size: int = 4096
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    threads: int = 1
    clock: Clock = "wall"
    compiled: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if self.hidden_size % HEAD_WIDTH:
            raise BadInput(f"width {self.hidden_size} is not a multiple of {HEAD_WIDTH}, the width of a head")
        if self.batch_tokens % self.context_length:
            raise BadInput(
                f"{self.batch_tokens} tokens a step are not whole rows of {self.context_length}",
                fix="make --batch-tokens a multiple of --context",
            )

    @property
    def num_attention_heads(self) -> int:
        """Heads of 64."""
        return self.hidden_size // HEAD_WIDTH

    @property
    def rows(self) -> int:
        """Rows of a batch."""
        return self.batch_tokens // self.context_length

    @property
    def torch_dtype(self) -> torch.dtype:
        """`dtype` as torch's."""
        return torch.bfloat16 if self.dtype == "bfloat16" else torch.float32

    @property
    def device(self) -> torch.device:
        """A GPU where there is one."""
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")

    @property
    def gated_width(self) -> int:
        """F of a SwiGLU whose three matrices are as large as two of 4 D x D, rounded down to what is quick."""
        return 8 * self.hidden_size // 3 // _FEED_FORWARD_STEP * _FEED_FORWARD_STEP

    def model_config(self, **changed: Any) -> ModelConfig:
        """Our decoder of this shape; `changed` are fields of ModelConfig."""
        heads = self.num_attention_heads
        plain: dict[str, Any] = {
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": heads,
            "num_key_value_heads": heads,
            "intermediate_size": self.gated_width,
            "max_position_embeddings": self.context_length,
            "head_dim": HEAD_WIDTH,
        }
        if changed.get("feed_forward", "swiglu") != "swiglu":
            plain["intermediate_size"] = 4 * self.hidden_size
        return ModelConfig(**plain | changed)

    def to_json(self) -> dict[str, Any]:
        """The fields as plain values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Workload:
        """What `to_json` gave."""
        return cls(**fields)
