"""The `pretrain` stage: a model learns to predict the next token of the corpus, from random weights or a start.

Read it top to bottom: what there is to learn from, where the training stands, the loop, what is left behind.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from workbench.data.corpus_folder import read_artifact_documents
from workbench.data.loader import Batch, batches, micro_batches
from workbench.data.pairs import count_pairs
from workbench.data.shards import TokenShards, lengths_by_source
from workbench.evals.bits_per_byte import bits_per_byte
from workbench.evals.likelihood import count_inputs
from workbench.evals.passages import documents
from workbench.model.generate import generate_batch
from workbench.model.initialise import initialise
from workbench.model.transformer import Decoder
from workbench.model_config import ModelConfig
from workbench.recipe import Pretrain as Settings
from workbench.stage_run import StageInputs, StageRun
from workbench.stages.micro_batch import choose_micro_batch, free_memory_bytes, try_cut
from workbench.stages.starting_point import beginning_of, check_context, open_starting_point
from workbench.stages.training import open_course, open_machine
from workbench.tokenizer import Tokenizer
from workbench.train.bigram_start import fit_bigrams
from workbench.train.losses import next_token_loss

SAMPLE_TOKENS = 48
SAMPLE_WORDS = 8  # of a held-out document, when the recipe gives no prompts


def run(settings: Settings, inputs: StageInputs, run: StageRun) -> dict[str, Any]:
    """Train for `settings.tokens` tokens, or finish what an earlier attempt began in `run.folder`.

    Leaves checkpoints and summary.json there; returns the figures. Raises Stopped with everything saved,
    TrainingDiverged, NoSpace, Damaged when no checkpoint of an earlier attempt is whole.
    """
    machine = open_machine(settings)
    tokenizer = Tokenizer.load(inputs.tokenizer)
    shards = TokenShards.open(inputs.tokens)
    start = open_starting_point(inputs) if inputs.has("checkpoint") else None
    config = start.shape if start is not None else shape_of(inputs, tokenizer)
    check_context(settings.context_length, config)
    heldout = heldout_texts(inputs, settings.eval_documents)
    beginnings = tuple(first_words(text) for text in heldout[:2])
    beginning = beginning_of(inputs, start)
    micro_batch_tokens = choose_micro_batch(
        run,
        settings,
        config,
        machine=machine,
        begin=None if beginning is None else beginning.folder,
        free_bytes=free_memory_bytes(machine),
    )
    sizes = settings.sizes()

    def fresh_model() -> Decoder:
        if start is not None:
            return start.load_model(machine)
        assert inputs.model is not None, "without a start the plan gives the model's shape"
        model = initialise(Decoder(config), settings.seed, initializer=inputs.model.initializer)
        if inputs.model.initializer == "bigrams":
            fit_bigrams(model, count_pairs(shards), autocast=machine.autocast)
        return model

    # Where the training stands: the first weights and step 0, or the newest whole checkpoint and its step.
    course = open_course(
        run,
        settings,
        machine=machine,
        tokenizer=tokenizer,
        fresh_model=fresh_model,
        num_steps=sizes.num_steps,
        full_batches_before=lambda step: sizes.tokens_before(step) / settings.batch_tokens,
        micro_batch_tokens=micro_batch_tokens,
        begin=beginning,
        data_knows_end=settings.data_knows_end,
    )

    def batches_from(number: int) -> Iterator[list[Batch]]:
        """What it sees, from a batch on, is a function of the seed and that number."""
        order = batches(
            shards,
            context_length=settings.context_length,
            batch_tokens=settings.batch_tokens,
            seed=settings.seed,
            start_step=number,
            isolate_documents=settings.isolate_documents,
            packing=settings.packing,
            phases=settings.phases(),
            sizes=sizes,
        )
        # Every rank of a training on several devices takes its rows of each: as many tokens on each device.
        at_once = micro_batch_tokens * machine.ranks.data_ranks
        return (micro_batches(batch, at_once) for batch in order)

    def flops_per_token(step: int) -> float:
        return config.flops_per_token(sizes.at(step).context_length)

    loss_fn = functools.partial(next_token_loss, z_loss_weight=settings.z_loss_weight)

    def largest_at(tokens: int) -> Batch:
        """A micro-batch of so many tokens, of a batch of full size."""
        nonlocal micro_batch_tokens
        micro_batch_tokens = tokens
        return next(batches_from(sizes.num_steps - 1))[0]

    micro_batch_tokens = try_cut(
        run,
        course,
        settings,
        micro_batch_tokens,
        machine=machine,
        least=settings.context_length,
        largest_at=largest_at,
        loss_fn=loss_fn,
    )

    def prompts() -> tuple[str, ...]:
        """What is to be continued: a person may ask for something else while it runs."""
        return tuple(course.setting("sample_prompts")) or beginnings

    for report in course.steps(
        batches_from,
        loss_fn,
        flops_per_token=flops_per_token,
        evaluation_tokens=count_inputs(documents(tokenizer, heldout), context_length=settings.context_length),
        sample_tokens=SAMPLE_TOKENS if prompts() else 0,
    ):
        if heldout and course.is_due(course.setting("eval_every_steps")):
            with course.evaluating() as model:
                measured = bits_per_byte(
                    model,
                    tokenizer,
                    heldout,
                    context_length=settings.context_length,
                    dtype=machine.dtype,
                    ranks=machine.ranks,
                )
            course.note_heldout(measured.bits_per_byte)
            measures = {"val_loss": measured.loss_per_token, "val_bpb": measured.bits_per_byte}
            run.emit("metric", step=report.step, **measures)

        if (asked := prompts()) and course.is_due(course.setting("sample_every_steps")):
            with course.sampling() as model:
                texts = continuations(model, tokenizer, asked)
            for prompt, text in zip(asked, texts, strict=True):
                run.emit("sample", step=report.step, prompt=prompt, text=text)

        if settings.begins_another_phase(course.state.batch):
            course.state.guard.remember({})  # another mixture has another loss: no spike to be refused

    best = {"parameters": config.num_parameters, "best_val_bpb": course.state.best_metric}
    return course.finish() | best | what_was_read(shards, settings)


def what_was_read(shards: TokenShards, settings: Settings) -> dict[str, Any]:
    """Epochs, of each source where they are mixed, and the shares of padding and of tokens cut off their beginning."""
    figures = settings.figures(lengths_by_source(shards))
    epochs = {source: round(epochs, 3) for source, epochs in figures.epochs.items()}
    return {
        "epochs": epochs if settings.phases() else max(epochs.values()),
        "padding_share": round(figures.padding_share, 5),
        "cut_share": round(figures.cut_share, 5),
    }


def shape_of(inputs: StageInputs, tokenizer: Tokenizer) -> ModelConfig:
    """The numbers of the model that [model] describes, for this vocabulary."""
    assert inputs.model is not None, "the plan gives pretrain the model's shape"
    return inputs.model.shape(vocab_size=tokenizer.vocab_size)


def heldout_texts(inputs: StageInputs, count: int) -> list[str]:
    """The first `count` held-out documents, which are a fair sample of all: they lie in order of hash."""
    documents = read_artifact_documents(inputs.documents, "heldout")
    return [document.text for document in itertools.islice(documents, count)]


def first_words(text: str) -> str:
    """The beginning of `text`, for the model to go on from."""
    return " ".join(text.split()[:SAMPLE_WORDS])


def continuations(model: Decoder, tokenizer: Tokenizer, prompts: Sequence[str]) -> list[str]:
    """How the model goes on from each prompt, greedily, as from the start of a document."""
    longest = model.config.max_position_embeddings // 2  # leave room to speak
    ids = [[tokenizer.bos_id, *tokenizer.encode(prompt)][:longest] for prompt in prompts]
    replies = generate_batch(model, ids, max_new_tokens=SAMPLE_TOKENS, stop_ids=[tokenizer.bos_id])
    return [tokenizer.decode(reply.ids) for reply in replies]
