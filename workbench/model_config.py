"""The numbers that define a model, and named sizes as a table. Arithmetic only: no tensors here.

Names are Hugging Face's, so that a `config.json`, a recipe and this class say the same words.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from workbench.errors import BadInput

VALUE_GATE_INPUTS = 32
"""The gate of value embeddings reads so many numbers of the stream: enough to tell when to open (nanochat)."""

MOST_BIGRAM_VOCABULARY = 8192
"""First weights from bigrams take tables of its square: of counts, and of logits, 256 MiB of float32 each."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RopeScaling:
    """How rotary positions are stretched over more tokens than a model learned on; names are transformers'.

    linear: all by `factor` (Chen et al. 2023). dynamic: the base grows with the row, once that is longer than the
    model's max_position_embeddings (bloc97, emozilla 2023). llama3: slow pairs by `factor`, fast ones not at all, a
    ramp between wavelengths of original / low_freq_factor and original / high_freq_factor (Llama 3.1, 2024). yarn: the
    same with a ramp between beta_slow and beta_fast turns in the original length, and attention sharpened by
    `attention_factor`, 0.1 ln(factor) + 1 if None (Peng et al. 2023).
    """

    rope_type: Literal["linear", "dynamic", "llama3", "yarn"]
    factor: float
    original_max_position_embeddings: int | None = None
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    attention_factor: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A decoder, Llama's by default: RoPE, RMSNorm, SwiGLU, grouped-query attention (Touvron et al. 2023).

    With `qk_norm` queries and keys are RMS-normalised per head before RoPE, which is Qwen3's block
    (Qwen Team 2025). With learned `positions`, `norm` "layer", a "gelu" `feed_forward` and `bias` it is GPT-2's
    (Radford et al. 2019). `known_as` names the architecture that others know by these numbers.

    Four multipliers, with Granite's names (IBM 2024), scale what enters the first layer, the products of queries and
    keys (None: 1 / sqrt(head_dim)), what each part adds to the stream, and, dividing, the logits. `mup_base_width`
    is of training alone: see `workbench/model/parametrization.py`.

    Raises BadInput when the numbers cannot make a model.
    """

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    intermediate_size: int
    max_position_embeddings: int
    head_dim: int
    rope_theta: float = 10_000.0
    rms_norm_eps: float = 1e-6
    tie_word_embeddings: bool = True
    qk_norm: bool = True
    initializer_range: float = 0.02
    norm: Literal["rms", "layer"] = "rms"
    positions: Literal["rotary", "learned"] = "rotary"
    feed_forward: Literal["swiglu", "gelu", "relu2"] = "swiglu"
    bias: bool = False
    embedding_multiplier: float = 1.0
    attention_multiplier: float | None = None
    residual_multiplier: float = 1.0
    logits_scaling: float = 1.0
    mup_base_width: int | None = None
    qkv_bias: bool = False
    rope_scaling: RopeScaling | None = None
    sliding_window: int | None = None
    attn_logit_softcapping: float | None = None
    final_logit_softcapping: float | None = None
    value_embeddings: bool = False
    bigram_embedding_rows: int = 0

    def __post_init__(self) -> None:
        for name in (
            "vocab_size",
            "hidden_size",
            "num_hidden_layers",
            "num_attention_heads",
            "num_key_value_heads",
            "intermediate_size",
            "max_position_embeddings",
            "head_dim",
        ):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} = {getattr(self, name)} must be at least 1")
        if self.num_attention_heads % self.num_key_value_heads:
            raise BadInput(
                f"num_attention_heads = {self.num_attention_heads} is not a multiple of "
                f"num_key_value_heads = {self.num_key_value_heads}",
                fix="each key/value head serves an equal number of query heads",
            )
        if self.bigram_embedding_rows < 0:
            raise BadInput(f"bigram_embedding_rows = {self.bigram_embedding_rows} must be 0 (none) or more")
        if self.head_dim % 2 and self.positions == "rotary":
            raise BadInput(
                f"head_dim = {self.head_dim} is odd", fix="RoPE rotates pairs; choose an even head_dim"
            )
        if self.rope_scaling is not None and self.positions != "rotary":
            raise BadInput("rope_scaling stretches rotary positions", fix="leave it out with learned ones")
        if self.attention_multiplier == self.head_dim**-0.5:
            object.__setattr__(self, "attention_multiplier", None)  # one model, one way to say it

    @property
    def known_as(self) -> Literal["llama", "mistral", "qwen2", "qwen3", "gpt2", "granite"] | None:
        """The architecture every loader knows this model by; None when only Workbench computes it."""
        if self.own_parts:
            return None
        block = (self.norm, self.positions, self.feed_forward, self.bias)
        if block == ("rms", "rotary", "swiglu", False):
            return self._known_as_llamas_kin()
        every_head_whole = (
            self.num_attention_heads == self.num_key_value_heads
            and self.num_attention_heads * self.head_dim == self.hidden_size
        )
        is_gpt2 = block == ("layer", "learned", "gelu", True) and every_head_whole
        more = self.qk_norm or self.has_multipliers or self.sliding_window is not None
        return "gpt2" if is_gpt2 and not more else None

    @property
    def own_parts(self) -> tuple[str, ...]:
        """The fields that make this model one that no other program knows, whatever the rest of it is."""
        capped = ("attn_logit_softcapping", "final_logit_softcapping")
        found = [key for key in capped if getattr(self, key) is not None]
        found += ["value_embeddings"] if self.value_embeddings else []
        found += ["bigram_embedding_rows"] if self.bigram_embedding_rows else []
        return (*found, "feed_forward") if self.feed_forward == "relu2" else tuple(found)

    @property
    def layers_with_value_embeddings(self) -> tuple[int, ...]:
        """Every second layer, the last included: as good as all of them at half the memory (nanochat)."""
        last = self.num_hidden_layers - 1
        return tuple(range(last % 2, last + 1, 2)) if self.value_embeddings else ()

    def _known_as_llamas_kin(self) -> Literal["llama", "mistral", "qwen2", "qwen3", "granite"] | None:
        """Which of those that differ from Llama in one thing this is."""
        windowed = self.sliding_window is not None
        if self.has_multipliers:
            return None if self.qk_norm or self.qkv_bias or windowed else "granite"
        if self.qk_norm:
            return None if self.qkv_bias else "qwen3"
        return "qwen2" if self.qkv_bias else "mistral" if windowed else "llama"

    @property
    def has_multipliers(self) -> bool:
        """Whether anything is scaled that Llama does not scale."""
        others = (self.embedding_multiplier, self.residual_multiplier, self.logits_scaling)
        return self.attention_multiplier is not None or others != (1.0, 1.0, 1.0)

    def without_multipliers(self) -> ModelConfig:
        """The same model with nothing scaled, in numbers; `model/fold.py` does it in weights."""
        return dataclasses.replace(
            self,
            embedding_multiplier=1.0,
            attention_multiplier=None,
            residual_multiplier=1.0,
            logits_scaling=1.0,
            mup_base_width=None,
        )

    @property
    def exported_as(self) -> str | None:
        """The architecture that an exported package is of; None when no other program can load one."""
        return self.known_as or self.without_multipliers().known_as

    @property
    def fits_flash_attention(self) -> bool:
        """Whether FlashAttention computes these heads: of a width it multiplies, and scores that nothing bends."""
        return self.attn_logit_softcapping is None and self.head_dim % 8 == 0 and self.head_dim <= 256

    @property
    def width_multiplier(self) -> float:
        """How many times wider than the model that its rates were tuned on; 1 without muP."""
        return self.hidden_size / self.mup_base_width if self.mup_base_width else 1.0

    @property
    def longest_context(self) -> int:
        """The longest row the model can read: the dynamic scaling begins where its positions end."""
        scaling = self.rope_scaling
        factor = scaling.factor if scaling is not None and scaling.rope_type == "dynamic" else 1
        return int(self.max_position_embeddings * factor)

    @property
    def embedding_parameters(self) -> int:
        """Parameters of all that is looked up (by token, place or bigram) and, when untied, of the head."""
        return sum(rows * columns for rows, columns in self.table_shapes)

    @property
    def table_shapes(self) -> tuple[tuple[int, int], ...]:
        """Rows and columns of each table that is looked up and, when untied, of the head."""
        tokens = [self.vocab_size] * (1 if self.tie_word_embeddings else 2)
        positions = [self.max_position_embeddings] * (self.positions == "learned")
        bigrams = [self.bigram_embedding_rows] * (self.bigram_embedding_rows > 0)
        values = (self.vocab_size, self.num_key_value_heads * self.head_dim)
        return (
            *((rows, self.hidden_size) for rows in (*tokens, *positions, *bigrams)),
            *(values for _ in self.layers_with_value_embeddings),
        )

    @property
    def norm_parameters(self) -> int:
        """Parameters of one norm of the residual stream."""
        return self.hidden_size * (2 if self.norm == "layer" and self.bias else 1)

    @property
    def block_matrices(self) -> int:
        """Parameters of the matrices of one decoder block: what a token is multiplied with."""
        return sum(rows * columns for rows, columns in self.block_matrix_shapes)

    @property
    def block_matrix_shapes(self) -> tuple[tuple[int, int], ...]:
        """Rows and columns of each matrix of one decoder block: q, k, v, o, gate where there is one, up, down."""
        width, inner = self.hidden_size, self.intermediate_size
        queries, keys = (
            heads * self.head_dim for heads in (self.num_attention_heads, self.num_key_value_heads)
        )
        ups = ((inner, width),) * (2 if self.feed_forward == "swiglu" else 1)
        return (queries, width), (keys, width), (keys, width), (width, queries), *ups, (width, inner)

    @property
    def block_parameters(self) -> int:
        """Parameters of one decoder block."""
        norms = 2 * self.norm_parameters + (2 * self.head_dim if self.qk_norm else 0)
        inner = (2 if self.feed_forward == "swiglu" else 1) * self.intermediate_size
        heads = (self.num_attention_heads + 2 * self.num_key_value_heads) * self.head_dim
        biases = heads + inner + 2 * self.hidden_size if self.bias else heads if self.qkv_bias else 0
        return self.block_matrices + norms + biases

    @property
    def num_parameters(self) -> int:
        """All trainable parameters, tied ones counted once."""
        blocks = self.num_hidden_layers * self.block_parameters
        inputs = min(VALUE_GATE_INPUTS, self.hidden_size)
        gates = len(self.layers_with_value_embeddings) * self.num_key_value_heads * inputs
        return self.embedding_parameters + blocks + gates + self.norm_parameters

    def flops_per_token(self, context_length: int) -> float:
        """Training FLOPs per token, forward and backward: 6 N + 6 L H E T (PaLM, appendix B, causal).

        N counts the matrices a token is multiplied with: the blocks and the head, not the embedding look-up.
        """
        matrices = self.num_hidden_layers * self.block_matrices + self.vocab_size * self.hidden_size
        window = min(self.sliding_window or context_length, context_length)
        seen = window * (2 - window / context_length)  # twice the mean; all of it without a window
        attention = self.num_hidden_layers * self.num_attention_heads * self.head_dim * seen
        return 6.0 * matrices + 6.0 * attention

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values, in declaration order."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_dict(numbers: dict[str, Any]) -> ModelConfig:
        """The config that `to_dict` described."""
        scaling = numbers.get("rope_scaling")
        return ModelConfig(**numbers | {"rope_scaling": None if scaling is None else RopeScaling(**scaling)})


# Shapes without a vocabulary (the tokenizer decides that). Parameter counts are for 4,096 tokens up to
# 20m and 32,768 above. Width is a multiple of 64 so that every head is 64 wide and matrices fill vector units. From 1b
# on four query heads (five, in 3b) share a key/value head: there the cache, not the weights, fills the memory
# (Ainslie et al. 2023).
SIZES: dict[str, dict[str, int]] = {
    "1m": {"hidden_size": 128, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 384},
    "5m": {"hidden_size": 256, "num_hidden_layers": 5, "num_attention_heads": 4, "intermediate_size": 704},
    "20m": {"hidden_size": 448, "num_hidden_layers": 8, "num_attention_heads": 7, "intermediate_size": 1216},
    "100m": {
        "hidden_size": 640,
        "num_hidden_layers": 15,
        "num_attention_heads": 10,
        "intermediate_size": 1728,
    },
    "350m": {
        "hidden_size": 1024,
        "num_hidden_layers": 26,
        "num_attention_heads": 16,
        "intermediate_size": 2752,
    },
    "1b": {
        "hidden_size": 1792,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 7,
        "intermediate_size": 4864,
    },
    "3b": {
        "hidden_size": 2560,
        "num_hidden_layers": 42,
        "num_attention_heads": 40,
        "num_key_value_heads": 8,
        "intermediate_size": 6912,
    },
    "7b": {
        "hidden_size": 4096,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "intermediate_size": 14336,
    },
}
