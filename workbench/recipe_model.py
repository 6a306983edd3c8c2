"""The [model] table: what a decoder is made of, and how large. See recipe.py for the other tables."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from workbench.depth import shape_of_depth
from workbench.errors import BadInput
from workbench.model_config import SIZES, ModelConfig, RopeScaling
from workbench.recipe_fields import Flag, NaturalInt, PositiveInt, Table, Text

Multiplier = Annotated[float, Field(gt=0, le=1e4, allow_inf_nan=False, strict=True)]


class Model(Table):
    """The shape of the decoder: a named size, or explicit numbers, or a size with some numbers replaced."""

    size: Text | None = "5m"
    """A named size: 1m 5m 20m 100m 350m 1b 3b 7b. Explicit keys below win over it."""
    depth: Annotated[int, Field(ge=1, le=96, strict=True)] | None = None
    """Instead of a size, one dial: the number of layers. Width (64 a layer) and heads (64 wide) follow from it, and in
    [pretrain] tokens (20 a parameter), batch_tokens and rates. `plan` shows what was derived; any key that is written
    wins."""
    architecture: Literal["llama", "gpt2"] = "llama"
    """What the blocks are made of. `llama`: RMSNorm, rotary positions, SwiGLU, no biases. `gpt2`: LayerNorm, learned
    positions, GELU, biases (Radford et al. 2019). The five keys below replace single parts."""
    norm: Literal["rms", "layer"] | None = None
    """`rms` is LayerNorm without the mean: as good and cheaper (Zhang & Sennrich 2019)."""
    positions: Literal["rotary", "learned"] | None = None
    """`rotary` turns queries and keys by their position, so attention sees distances (Su et al. 2021); `learned`
    adds a vector for each of max_position_embeddings places."""
    feed_forward: Literal["swiglu", "gelu", "relu2"] | None = None
    """`swiglu` multiplies two views of its input (Shazeer 2020); `gelu` is GPT-2's; `relu2` squares a ReLU (So et al.
    2021)."""
    bias: Flag | None = None
    """Biases of the matrices of the blocks and of LayerNorm."""
    value_embeddings: Flag = False
    """In every second layer a second vector for every token, added to its values through a gate (nanochat and
    modded-nanogpt, after the value residual of Zhou et al. 2024): many parameters, hardly any arithmetic. No other
    program knows a model with it."""
    bigram_embedding_rows: NaturalInt = 0
    """Rows of a table of vectors for two tokens in a row, found by a hash of both and added to the second one's vector
    (modded-nanogpt): what often follows a pair need not be worked out by layers. Pairs share rows, so three times the
    vocabulary will do: in short trainings worth more than the value embeddings of as many parameters. No other program
    knows a model with it."""
    qkv_bias: Flag = False
    """Biases of queries, keys and values alone, as in Qwen2 (with qk_norm = false it is saved as that)."""
    hidden_size: PositiveInt | None = None
    """Width of the residual stream."""
    num_hidden_layers: PositiveInt | None = None
    """Number of decoder blocks."""
    num_attention_heads: PositiveInt | None = None
    """Query heads per block."""
    num_key_value_heads: PositiveInt | None = None
    """Key/value heads; fewer than query heads is grouped-query attention (Ainslie et al. 2023): a smaller cache.
    Default: as many as query heads, but fewer in the sizes from 1b on."""
    head_dim: PositiveInt | None = None
    """Width of one head. Default: hidden_size / num_attention_heads."""
    intermediate_size: PositiveInt | None = None
    """Width of the feed-forward. Default of an explicit shape: 8/3 of hidden_size, rounded up to 64, for SwiGLU,
    whose three matrices then cost what two of 4x cost (Shazeer 2020); 4 times hidden_size for the others."""
    max_position_embeddings: PositiveInt = 512
    """The longest context the model is meant for, in tokens."""
    rope_theta: Annotated[float, Field(gt=1, le=1e9, allow_inf_nan=False, strict=True)] = 10_000.0
    """Base of the rotary wavelengths (Su et al. 2021). Larger for longer contexts."""
    rope_scaling: Literal["none", "linear", "dynamic", "llama3", "yarn"] = "none"
    """How rotary positions are stretched over rows longer than those a model learned on: `linear` all of them (Chen et
    al. 2023), `dynamic` only in rows beyond max_position_embeddings, `llama3` the slow ones (Llama 3.1), `yarn` the
    slow ones, with sharper attention (Peng et al. 2023)."""
    rope_scaling_factor: Annotated[float, Field(ge=1, le=1e4, allow_inf_nan=False, strict=True)] | None = None
    """How many times as long. Needed by every rope_scaling."""
    original_max_position_embeddings: PositiveInt | None = None
    """The row length before it was stretched. Default: max_position_embeddings / rope_scaling_factor."""
    sliding_window: PositiveInt | None = None
    """How many positions each may look back on, itself included (Beltagy et al. 2020; saved as Mistral, Qwen2 or
    Qwen3). Default: all."""
    attn_logit_softcapping: Annotated[float, Field(ge=1, le=1e4, strict=True)] | None = None
    """Bend the products of queries and keys to stay within this: c tanh(x / c) (Gemma 2, 2024, takes 50). With qk_norm
    they are bounded already. Slower: no fused kernel does it. No other program knows a Llama with it."""
    final_logit_softcapping: Annotated[float, Field(ge=1, le=1e4, strict=True)] | None = None
    """The same for the logits (Gemma 2 takes 30, nanochat 15)."""
    rms_norm_eps: Annotated[float, Field(gt=0, le=1e-2, allow_inf_nan=False, strict=True)] = 1e-6
    """Added under the square root of a norm: without it a row of zeros divides by zero; too large and small
    activations are no longer normalised. 1e-6 is safe in bf16 because the norm is computed in float32."""
    tie_word_embeddings: Flag = True
    """Use one matrix for input embedding and output head: saves vocab_size x hidden_size parameters."""
    qk_norm: Flag | None = None
    """RMS-normalise queries and keys per head: attention logits stay bounded at high learning rates
    (Dehghani et al. 2023). Default: true for `llama`, which is then saved as Qwen3 (without it as Llama), else
    false."""
    initializer_range: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False, strict=True)] = 0.02
    """Standard deviation of the initial weights; residual projections are divided by sqrt(2 x layers) so that
    the variance of the residual stream does not grow with depth (GPT-2)."""
    initializer: Literal["gpt2", "litgpt", "zero-residual", "bigrams"] = "gpt2"
    """First weights. `gpt2`: initializer_range, residual projections smaller (Radford et al. 2019). `litgpt`:
    sqrt(2 / (5 hidden_size)), residual projections 1 / (sqrt(hidden_size) layers), as LitGPT and GPT-NeoX.
    `zero-residual`: as gpt2, with residual projections of zero, so that every layer begins as the identity. `bigrams`:
    the same, and embedding and head are fitted to how often each token follows each in the corpus, which takes
    seconds and saves many steps of a short training on much text; a small corpus that is read twice it learns by
    heart (with a vocabulary of up to 8,192 and tie_word_embeddings = false)."""
    parametrization: Literal["standard", "mup"] = "standard"
    """How first weights and rates change with hidden_size. `standard`: not at all, so the best learning rate falls as
    the model grows. `mup`, the maximal update parametrization (Yang et al. 2022): matrices start smaller and AdamW
    moves them less the wider they are, so the rates that are best at mup_base_width stay best at every width. With
    `muon` the rates of matrices transfer already; the multipliers still apply."""
    mup_base_width: PositiveInt | None = None
    """`mup` only: the hidden_size on which the rates were tuned. A model of that width is the standard one, but for
    products of queries and keys, multiplied by 8 / head_dim (1 / sqrt(64) at 64) instead of 1 / sqrt(head_dim)."""
    embedding_multiplier: Multiplier = 1.0
    """Multiplies what enters the first layer (Granite, IBM 2024)."""
    attention_multiplier: Multiplier | None = None
    """Multiplies queries · keys. Default: 1 / sqrt(head_dim), with `mup` 8 / head_dim."""
    residual_multiplier: Multiplier = 1.0
    """Multiplies what attention and feed-forward add to the residual stream."""
    logits_scaling: Multiplier = 1.0
    """Divides the logits; with `mup` those of the base width, and hidden_size / mup_base_width besides."""

    @model_validator(mode="after")
    def _can_be_built(self) -> Model:
        self.shape(vocab_size=256)
        return self

    def shape(self, *, vocab_size: int) -> ModelConfig:
        """The full set of numbers for a tokenizer of `vocab_size`. Raises ValueError (one line) when impossible."""
        numbers = self._size()
        for key in (
            "hidden_size",
            "num_hidden_layers",
            "num_attention_heads",
            "num_key_value_heads",
            "head_dim",
            "intermediate_size",
        ):
            if (value := getattr(self, key)) is not None:
                numbers[key] = value
        parts = self._parts()
        for key in ("hidden_size", "num_hidden_layers", "num_attention_heads"):
            if key not in numbers:
                raise ValueError(f"{key} is missing; give it or choose a size")
        width, heads = numbers["hidden_size"], numbers["num_attention_heads"]
        if self.intermediate_size is None and (self.hidden_size is not None or self.depth is not None):
            numbers["intermediate_size"] = -(-width * 8 // 3 // 64) * 64
        if "head_dim" not in numbers:
            if width % heads:
                raise ValueError(
                    f"num_attention_heads = {heads} does not divide hidden_size = {width}; change one or give head_dim"
                )
            numbers["head_dim"] = width // heads
        numbers.setdefault("num_key_value_heads", heads)
        if parts["feed_forward"] != "swiglu" and self.intermediate_size is None:
            numbers["intermediate_size"] = 4 * width
        for key in (
            "max_position_embeddings",
            "rope_theta",
            "rms_norm_eps",
            "tie_word_embeddings",
            "initializer_range",
            "embedding_multiplier",
            "attention_multiplier",
            "residual_multiplier",
            "logits_scaling",
            "mup_base_width",
            "qkv_bias",
            "value_embeddings",
            "bigram_embedding_rows",
            "sliding_window",
            "attn_logit_softcapping",
            "final_logit_softcapping",
        ):
            numbers[key] = getattr(self, key)
        numbers["rope_scaling"] = self._rope_scaling()
        if (self.parametrization == "mup") != (self.mup_base_width is not None):
            raise ValueError(
                "mup_base_width is missing; give the hidden_size on which the rates were tuned"
                if self.parametrization == "mup"
                else 'mup_base_width does nothing here; remove it, or add parametrization = "mup"'
            )
        if self.parametrization == "mup" and self.initializer == "litgpt":
            raise ValueError('initializer = "litgpt" has a rule of its own for the width; mup needs another')
        if self.initializer == "bigrams" and self.tie_word_embeddings:
            raise ValueError(
                'initializer = "bigrams" needs a head of its own; add tie_word_embeddings = false'
            )
        if self.mup_base_width is not None:
            numbers["logits_scaling"] *= width / self.mup_base_width
            numbers["attention_multiplier"] = self.attention_multiplier or 8 / numbers["head_dim"]
        try:
            return ModelConfig(vocab_size=vocab_size, **numbers, **parts)
        except BadInput as error:
            raise ValueError(error.one_line()) from None

    def _size(self) -> dict[str, Any]:
        """The numbers of the named size or of the depth; none when all are explicit."""
        if self.depth is not None:
            if "size" in self.model_fields_set and self.size is not None:
                raise ValueError("depth and size are two ways to say one thing; keep one of them")
            return dict(shape_of_depth(self.depth))
        if self.size is not None and self.size not in SIZES:
            raise ValueError(f"size {self.size!r} is not known; choose one of {' '.join(SIZES)}")
        return dict(SIZES[self.size]) if self.size is not None else {}

    def _rope_scaling(self) -> RopeScaling | None:
        factor, original = self.rope_scaling_factor, self.original_max_position_embeddings
        if self.rope_scaling == "none":
            if factor is not None or original is not None:
                idle = "rope_scaling_factor" if factor is not None else "original_max_position_embeddings"
                raise ValueError(f"{idle} does nothing without rope_scaling; remove it or choose one")
            return None
        if factor is None:
            raise ValueError(f"rope_scaling_factor is missing; rope_scaling = {self.rope_scaling} needs it")
        if self.rope_scaling in ("linear", "dynamic"):
            if original is not None:
                raise ValueError(
                    "original_max_position_embeddings does nothing with this rope_scaling; remove it"
                )
            return RopeScaling(rope_type=self.rope_scaling, factor=factor)
        original = original or max(1, round(self.max_position_embeddings / factor))
        return RopeScaling(
            rope_type=self.rope_scaling, factor=factor, original_max_position_embeddings=original
        )

    def _parts(self) -> dict[str, Any]:
        """What the blocks are made of: the architecture's parts, but for those that are named."""
        parts: dict[str, Any] = (
            {"norm": "rms", "positions": "rotary", "feed_forward": "swiglu", "bias": False, "qk_norm": True}
            if self.architecture == "llama"
            else {
                "norm": "layer",
                "positions": "learned",
                "feed_forward": "gelu",
                "bias": True,
                "qk_norm": False,
            }
        )
        return parts | {key: named for key in parts if (named := getattr(self, key)) is not None}
