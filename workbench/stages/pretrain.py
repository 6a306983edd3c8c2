"""The `pretrain` stage: a model learns to predict the next token of the corpus, from random weights.

Read it top to bottom: what there is to learn from, where the training stands, the loop, what is left behind.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from workbench.data.corpus_folder import read_artifact_documents
from workbench.data.loader import batches
from workbench.data.shards import TokenShards
from workbench.evals.bits_per_byte import bits_per_byte
from workbench.model.folder import load_model
from workbench.model.generate import generate_batch
from workbench.model.initialise import initialise
from workbench.model.transformer import Decoder
from workbench.recipe import Pretrain as Settings
from workbench.stage_run import StageInputs, StageRun
from workbench.stages.training import (
    SAVE_FIRST,
    Checkpoints,
    Meter,
    comes_due,
    finish,
    learn_or_roll_back,
    make_optimizer,
    micro_batches,
    obey,
    start_or_resume,
)
from workbench.tokenizer import Tokenizer
from workbench.train.checkpoint_folder import latest_good
from workbench.train.device import matmul_peak, prepare_machine
from workbench.train.loop import train
from workbench.train.losses import next_token_loss
from workbench.train.schedule import make_schedule

SAMPLE_TOKENS = 48
SAMPLE_WORDS = 8  # of a held-out document, when the recipe gives no prompts


def run(settings: Settings, inputs: StageInputs, run: StageRun) -> dict[str, Any]:
    """Train for `settings.tokens` tokens, or finish what an earlier attempt began in `run.folder`.

    Leaves checkpoints and summary.json there; returns the figures. Raises Stopped with everything saved,
    TrainingDiverged, NoSpace, Damaged when no checkpoint of an earlier attempt is whole.
    """
    assert inputs.model is not None, "the plan gives pretrain the model's shape"
    machine = prepare_machine(settings.dtype)
    tokenizer = Tokenizer.load(inputs.tokenizer)
    shards = TokenShards.open(inputs.tokens)
    config = inputs.model.shape(vocab_size=tokenizer.vocab_size)
    heldout = heldout_texts(inputs, settings.eval_documents)
    prompts = settings.sample_prompts or tuple(first_words(text) for text in heldout[:2])
    num_steps = settings.tokens // settings.batch_tokens
    micro_batch_tokens = settings.micro_batch_tokens or settings.batch_tokens

    # Where the training stands: random weights and step 0, or the newest whole checkpoint and its step.
    found = latest_good(run.folder)
    model = initialise(Decoder(config), settings.seed) if found is None else load_model(found.folder)
    model.to(machine.device)
    optimizer = make_optimizer(model, settings, machine)
    state = start_or_resume(
        run, found, optimizer, machine=machine, seed=settings.seed, micro_batch_tokens=micro_batch_tokens
    )

    # How fast it learns, and what it sees, are functions of the step and the batch: nothing else needs to be
    # remembered.
    learning_rate_at = make_schedule(
        settings.schedule,
        num_steps=num_steps,
        warmup_steps=settings.warmup_steps,
        floor=settings.final_learning_rate_ratio,
        decay_ratio=settings.decay_ratio,
    )

    flops_per_token = config.flops_per_token(settings.context_length)
    meter = Meter(run, num_steps=num_steps, flops_per_token=flops_per_token, peak=matmul_peak(machine))
    checkpoints = Checkpoints(run, settings, tokenizer=tokenizer)

    def learn() -> None:
        """Take the steps that are left from where `state` stands."""
        order = batches(
            shards,
            context_length=settings.context_length,
            batch_tokens=settings.batch_tokens,
            seed=state.seed,
            start_step=state.batch,
            isolate_documents=settings.isolate_documents,
        )
        reports = train(
            model,
            (micro_batches(batch, micro_batch_tokens) for batch in order),
            optimizer,
            loss_fn=next_token_loss,
            learning_rate_at=learning_rate_at,
            num_steps=num_steps,
            start_step=state.step,
            max_grad_norm=settings.max_grad_norm,
            autocast=machine.autocast,
            guard=state.guard,
        )
        for report in reports:
            state.count(report)
            meter.show(report, state)

            is_best = False
            if heldout and comes_due(report.step, every=settings.eval_every_steps, num_steps=num_steps):
                measured = bits_per_byte(
                    model, tokenizer, heldout, context_length=settings.context_length, dtype=machine.dtype
                )
                is_best = state.note_metric(measured.bits_per_byte)
                measures = {"val_loss": measured.loss_per_token, "val_bpb": measured.bits_per_byte}
                run.emit("metric", step=report.step, **measures)

            if prompts and comes_due(report.step, every=settings.sample_every_steps, num_steps=num_steps):
                for prompt, text in zip(prompts, continuations(model, tokenizer, prompts), strict=True):
                    run.emit("sample", step=report.step, prompt=prompt, text=text)

            request = run.request()
            if is_best or checkpoints.is_due() or request in SAVE_FIRST or report.step == num_steps:
                checkpoints.save(model, optimizer, state)
            obey(request, run)

    learn_or_roll_back(learn, run, model, optimizer, state)

    return finish(run, state) | {"parameters": config.num_parameters, "best_val_bpb": state.best_metric}


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
