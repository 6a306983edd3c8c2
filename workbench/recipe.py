"""The whole vocabulary of a recipe: one typed table per TOML table, every key with its meaning.

[corpus], [model] and [start] are in recipe_corpus.py, recipe_model.py and recipe_start.py, what a field may be in
recipe_fields.py.
The docstring under a key is its documentation: forms, `--help` and recipes/README.md show that text.
`cosmetic` keys cannot change a result (how often to save or show) and stay out of fingerprints.
This module knows what may be written, not how it is read from a file (recipe_file.py) nor run (plan.py).
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from workbench.recipe_corpus import Corpus
from workbench.recipe_fields import (
    ADDED_LATER,
    COSMETIC,
    Bytes,
    Count,
    Flag,
    Milestone,
    NaturalFloat,
    NaturalInt,
    PositiveInt,
    Prompt,
    Rate,
    Share,
    Sources,
    Table,
    Text,
)
from workbench.recipe_model import Model
from workbench.recipe_reading import Reading
from workbench.recipe_start import Start


class Tokenizer(Table):
    """Byte-level BPE trained on the corpus."""

    vocab_size: Annotated[int, Field(ge=300, le=1_000_000, strict=True)] = 4096
    """Tokens in the vocabulary, special tokens included. More: shorter sequences, larger embedding."""
    sample_bytes: Bytes = 32_000_000
    """Train on at most this much text, spread evenly over the corpus by document hash."""
    max_token_length: Annotated[int, Field(ge=2, le=256, strict=True)] = 24
    """No token is longer than this many bytes: keeps rulers and base64 from eating the vocabulary."""


class Pack(Table):
    """Documents to token shards that training maps into memory."""

    shard_tokens: Count = 16_000_000
    """Tokens per shard file (2 bytes each up to 65,536 vocabulary entries, else 4)."""


class Training(Table):
    """Keys that pretraining, SFT and DPO share."""

    learning_rate: Rate
    """Peak learning rate of AdamW (Muon has its own). Too high: loss spikes; too low: it crawls. For Adafactor it is a
    share of each parameter's own size (root mean square): ten times AdamW's is where to begin."""
    schedule: Literal["linear", "cosine", "wsd", "inverse_sqrt"] = "linear"
    """How the rate falls after warmup: straight to the floor, along half a cosine, not at all until the last
    `decay_ratio` of the steps (WSD, Hu et al. 2024), or as 1 / sqrt(step) (Vaswani et al. 2017)."""
    decay_ratio: Share = 0.2
    """`wsd` only: the share of the steps, at the end, over which the rate falls to its floor."""
    warmup_steps: NaturalInt
    """Steps over which the rate rises from zero. Adam's second moment starts empty: without warmup the first
    steps are as large as they can be while their direction is noise."""
    final_learning_rate_ratio: Share = 0.0
    """The floor of the schedule as a share of the peak."""
    weight_decay: NaturalFloat = 0.0
    """Decoupled weight decay (Loshchilov & Hutter 2019) of the matrices of the blocks."""
    embedding_weight_decay: NaturalFloat = 0.0
    """Weight decay of embeddings and head. By default none: a rare token's vector would only ever shrink."""
    norm_weight_decay: NaturalFloat = 0.0
    """Weight decay of gains and biases. By default none: a gain's natural value is 1, not 0."""
    embedding_learning_rate_factor: Rate = 1.0
    """By what the learning rate of embeddings and head is multiplied. A token's vector gets a gradient only when the
    token occurs, and bears a larger rate than a matrix."""
    norm_learning_rate_factor: Rate = 1.0
    """By what the learning rate of gains and biases is multiplied."""
    average_last: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False, strict=True)] | None = None
    """Publish, and measure, the mean of the weights over this last share of the steps, such as 0.1, instead of the
    last weights (Izmailov et al. 2018). It can stand in for a decay of the rate."""
    ema_decay: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False, strict=True)] | None = None
    """Publish, and measure, an exponential moving average of the weights instead of the last: 0.999 remembers about
    1,000 steps. Excludes average_last."""
    max_grad_norm: NaturalFloat = 1.0
    """Clip the gradient to this global norm; 0 never clips."""
    micro_batch_tokens: Count | None = None
    """Tokens per forward pass; the gradient is accumulated to the full batch and equals it. Default: all at once, or,
    in pretraining, as many as fit into the memory that is free; a resumed training cuts as it did before."""
    dtype: Literal["auto", "bfloat16", "float32", "float8"] = "auto"
    """Arithmetic of the matrix products: `auto` takes bfloat16 where the device is fast at it. Weights, moments,
    norms and the loss are float32. `float8` rounds the factors of the layers' products to 8 bits and does the rest in
    bfloat16: for large models on GPUs that have it (Ada, Hopper and later), with torchao
    (`pip install 'torchao>=0.18,<0.19'`)."""
    float32_matmul_precision: Literal["highest", "high", "medium"] = "highest"
    """What torch may do inside of float32 products, as in `torch.set_float32_matmul_precision`: `high` lets a GPU
    round to TF32, `medium` also to bfloat16, and a CPU take oneDNN's kernels. For `dtype = "float32"` where that is
    too slow."""
    weights_dtype: Literal["float32", "bfloat16"] = "float32"
    """`bfloat16`: forward and backward compute with bfloat16 copies of the weights, and the stream between the layers
    is bfloat16 too: half the activations' memory and no casts. What is stepped, saved and published stays float32,
    and gradients add up there."""
    activation_checkpointing: Literal["none", "layer"] = "none"
    """`layer` keeps only the input of every layer for the backward pass and computes the rest again (Chen et al.
    2016): for long contexts and deep models that do not fit, at a third more work. The result is the same."""
    seed: NaturalInt = 0
    """Seed of initial weights and data order. The same seed on the same CPU gives the same bits, on a GPU with
    `deterministic`."""
    deterministic: Annotated[bool, Field(strict=True, json_schema_extra=ADDED_LATER)] = False
    """Let a GPU add in one order always, as a CPU does: the same bits every time, interrupted or not. Slower; an
    operation that torch cannot do so ends the training (`torch.use_deterministic_algorithms`)."""
    eval_every_steps: PositiveInt
    """Measure the held-out loss every so many steps (and at the end)."""
    save_every_seconds: Annotated[int, Field(gt=0, le=3600, strict=True, json_schema_extra=COSMETIC)] = 10
    """Save a checkpoint at least this often: what a crash can cost. Sooner after a start, and stretched where saving
    would take more than 2 % of the time from training: what it waits for, and what the thread that writes computes on
    a core that trains."""
    keep_last: Annotated[int, Field(ge=2, le=1000, strict=True, json_schema_extra=COSMETIC)] = 2
    """How many newest checkpoints to keep; the best and the milestones are kept besides."""
    milestones: Annotated[tuple[Milestone, ...], Field(max_length=1000, json_schema_extra=COSMETIC)] = ()
    """Steps whose checkpoints are kept for good, to look at or to branch from: numbers of steps, or shares of them all
    such as 0.5. A training that is finished is not done again for their sake."""
    keep_every_steps: Annotated[PositiveInt | None, Field(json_schema_extra=COSMETIC)] = None
    """Also keep a checkpoint every so many steps, for good."""
    tensor_parallel: Annotated[int, Field(gt=0, le=1024, strict=True, json_schema_extra=COSMETIC)] = 1
    """With `--nproc` only: slice every matrix of the blocks over so many devices, which then read the same rows
    (Shoeybi et al. 2019). Weights and moments are sharded over all devices as it is: more than 1 pays when a batch
    has too few rows for all of them, and between devices that are connected fast. Must divide the heads."""
    replicate: Annotated[int, Field(gt=0, le=1024, strict=True, json_schema_extra=COSMETIC)] = 1
    """With `--nproc` only: keep so many copies of the model, each sharded over an equal part of the devices (HSDP).
    One copy per machine keeps the traffic of shards inside each; costs memory."""

    engine: Annotated[Literal["fsdp", "deepspeed"], Field(json_schema_extra=COSMETIC)] = "fsdp"
    """With `--nproc` only: who shares the training over devices. `fsdp` is PyTorch's own engine. `deepspeed` is
    DeepSpeed's ZeRO-3, for those who have it (`pip install deepspeed`): with `optimizer = "adamw"` and float32 weights;
    what it saves goes on with either."""

    @model_validator(mode="after")
    def _one_average(self) -> Self:
        if self.average_last is not None and self.ema_decay is not None:
            raise ValueError("ema_decay and average_last exclude each other; leave one out")
        return self

    @model_validator(mode="after")
    def _weights_fit_the_arithmetic(self) -> Training:
        if self.weights_dtype == "bfloat16" and self.dtype == "float32":
            raise ValueError(
                'weights_dtype = "bfloat16" contradicts dtype = "float32"; leave one of them out'
            )
        return self


class Pretrain(Reading, Training):
    """Next-token prediction on the packed corpus, from random weights or from [start]."""

    optimizer: Literal["muon", "adamw", "adafactor", "adamw8bit"] = "muon"
    """`muon` orthogonalises the momentum of every matrix in the blocks (Jordan et al. 2024) and leaves embeddings
    and norms to AdamW; `adamw` does all with AdamW. Two that spare memory: `adafactor` (Shazeer & Stern 2018) keeps
    sums of rows and columns, under 0.1 bytes a parameter where AdamW keeps 8; `adamw8bit` (Dettmers et al. 2021) keeps
    2, needs torchao (`pip install 'torchao>=0.18,<0.19'`) and is slow on a CPU."""
    learning_rate: Rate = 6e-3
    matrix_learning_rate: Rate = 0.02
    """Peak learning rate of Muon, per matrix, with its update scaled by sqrt(max(1, rows / columns))."""
    momentum: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False, strict=True)] = 0.95
    """Muon's momentum (Nesterov)."""
    beta1: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False, strict=True)] = 0.9
    """AdamW: decay of the gradient's running mean."""
    beta2: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False, strict=True)] = 0.95
    """AdamW: decay of the squared gradient's running mean. 0.95 forgets a spike in 20 steps, 0.999 in 1,000."""
    compile: Literal["never", "auto", "always", "graphs"] = "auto"
    """Let torch compile the layers. `auto` times a few passes first, compiles where the steps left can earn that back,
    keeps what is faster and remembers it for this machine: off for short runs on a CPU. Compiled layers round
    differently, so a resumed run keeps the choice. Rows that grow (`context_ramp`) are compiled for every length.
    `graphs` has them replayed as CUDA graphs too: for small models, on one GPU, without `activation_checkpointing`.
    Where a training has done so once, `auto` tries them too and takes them where they gain."""
    warmup_steps: NaturalInt = 20
    weight_decay: NaturalFloat = 0.0
    z_loss_weight: NaturalFloat = 0.0
    """Weight of (ln Z)² in the loss, Z being what the softmax divides by: keeps logits from drifting to where bfloat16
    is coarse (PaLM, 2022, takes 1e-4). 0 leaves it out."""
    eval_every_steps: PositiveInt = 200
    eval_documents: PositiveInt = 128
    """Held-out documents measured during training (the eval stage measures all)."""
    sample_every_steps: Annotated[int, Field(gt=0, strict=True, json_schema_extra=COSMETIC)] = 200
    """Let the model continue the sample prompts every so many steps."""
    sample_prompts: Annotated[tuple[Prompt, ...], Field(max_length=16, json_schema_extra=COSMETIC)] = ()
    """Prompts to continue during training, to see it learn. Empty: the first words of held-out documents."""

    @model_validator(mode="after")
    def _batch_is_whole_rows(self) -> Pretrain:
        if self.batch_tokens % self.context_length:
            raise ValueError(
                f"batch_tokens = {self.batch_tokens} is not a multiple of context_length = {self.context_length}"
            )
        if self.tokens < self.batch_tokens:
            raise ValueError(
                f"batch_tokens = {self.batch_tokens} is more than tokens = {self.tokens} to train on"
            )
        if self.compile == "graphs" and self.activation_checkpointing != "none":
            raise ValueError('compile = "graphs" contradicts activation_checkpointing; leave one of them out')
        micro = self.micro_batch_tokens
        if micro is not None and (micro % self.context_length or self.batch_tokens % micro):
            raise ValueError(
                f"micro_batch_tokens = {micro} must be a multiple of context_length = {self.context_length} "
                f"and divide batch_tokens = {self.batch_tokens}"
            )
        return self


class Examples(Training):
    """Keys of the stages that learn from a file of examples."""

    sources: Sources = ("python-docs",)
    """`python-docs`, or files, folders or globs of examples (.json .jsonl, also .gz or .zst, and .parquet), relative
    to the recipe. The format is detected and said."""
    max_examples: Count | None = None
    """Train on at most this many examples, a choice drawn from the seed; leave it out to use all."""
    heldout_fraction: Annotated[float, Field(ge=0, le=0.5, allow_inf_nan=False, strict=True)] = 0.05
    """Share of the examples, by hash, that is only measured on. `python-docs` splits by symbol instead."""
    max_bad_records: Share = 0.01
    """Bad examples are rejected and counted; above this share of a source the stage fails."""
    context_length: PositiveInt = 256
    """Tokens of the longest example: a longer conversation is cut at the end, a longer preference pair left out
    (both counted and said)."""
    epochs: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False, strict=True)] = 1.0
    """Passes over the examples."""
    optimizer: Literal["adamw", "muon", "adafactor", "adamw8bit"] = "adamw"
    """As in [pretrain]."""
    matrix_learning_rate: Rate = 0.005
    """As in [pretrain]."""
    momentum: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False, strict=True)] = 0.95
    """As in [pretrain]."""
    beta1: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False, strict=True)] = 0.9
    """As in [pretrain]."""
    beta2: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False, strict=True)] = 0.95
    """As in [pretrain]."""


class Sft(Examples):
    """Supervised fine-tuning on conversations; only what the assistant says is learned, its stop token included."""

    learning_rate: Rate = 1e-3
    batch_tokens: Count = 4096
    """About how many tokens an optimizer step reads. Conversations share rows, so little is padding, and attention
    stays inside of each."""
    warmup_steps: NaturalInt = 10
    eval_every_steps: PositiveInt = 100
    everyday_repeats: PositiveInt = 8
    """`python-docs` only: how often the everyday public symbols are seen for each time the others are."""


class Dpo(Examples):
    """Direct preference optimisation (Rafailov et al. 2023) against the frozen model it starts from."""

    learning_rate: Rate = 1e-4
    beta: Annotated[float, Field(gt=0, le=10, allow_inf_nan=False, strict=True)] = 0.1
    """Strength of the pull towards the reference: small lets the model move far, large keeps it near."""
    chosen_nll_weight: NaturalFloat = 0.1
    """Weight of the chosen reply's own log-likelihood per token in the loss (Pang et al. 2024). Keeps the model
    able to say, and end, good replies while the margin grows."""
    batch_pairs: PositiveInt = 16
    """At most so many pairs per optimizer step."""
    max_examples: Count | None = 1500
    warmup_steps: NaturalInt = 5
    eval_every_steps: PositiveInt = 50


class Eval(Table):
    """What the finished models are measured by, on data none of them was trained on."""

    tasks: Annotated[tuple[Text, ...], Field(min_length=1, max_length=64)] = (
        "heldout",
        "python-names",
        "python-names-hard",
        "python-everyday",
        "python-replies",
        "python-preferences",
    )
    """Task names (`workbench tasks` lists them) or .jsonl files of multiple-choice questions
    (`query`, `choices`, `gold`, or `context_options`, `continuation`, `gold`)."""
    models: Literal["all", "last"] = "all"
    """Measure the model after every training stage, or only the last. Bits per byte of held-out documents are
    measured of the first and the last only."""
    limit: PositiveInt | None = None
    """At most this many items per task, chosen by hash. Default: every held-out document and everyday name, 300
    questions, 200 pairs, 200 replies."""
    batch_size: Annotated[int, Field(gt=0, le=4096, strict=True, json_schema_extra=COSMETIC)] = 32
    """Items scored at once; the score does not depend on it."""
    baselines: Flag = True
    """Print gzip, xz and a Kneser-Ney 5-gram beside the model, so that nobody is fooled."""


class Recipe(Table):
    """What a person wants: the tables that are there are the stages that run."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    """Names the run. Letters, digits, dot, dash, underscore."""
    description: Annotated[str, Field(max_length=1024)] = ""
    """One line for lists."""
    start: Start | None = None
    corpus: Corpus | None = None
    tokenizer: Tokenizer | None = None
    pack: Pack | None = None
    model: Model | None = None
    pretrain: Pretrain | None = None
    sft: Sft | None = None
    dpo: Dpo | None = None
    eval: Eval | None = None
