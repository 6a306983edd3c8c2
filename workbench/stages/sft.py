"""The `sft` stage: the model learns to answer, from conversations; only what the assistant says is learned.

Read it top to bottom: what there is to learn from, where the training stands, the loop, what is left behind.
"""

from __future__ import annotations

import functools
from typing import Any

from workbench.data.examples import gather_conversations, sample
from workbench.data.lessons import (
    conversation_batches,
    encode_conversations,
    lessons_in_rows,
    order_conversations,
    padding_share,
)
from workbench.errors import BadInput
from workbench.recipe import Sft as Settings
from workbench.stage_run import StageInputs, StageRun
from workbench.stages.fine_tuning import (
    HELDOUT_EXAMPLES,
    announce_sources,
    emit_samples,
    flops_per_learned_token,
    sample_prompts,
    source_figures,
)
from workbench.stages.starting_point import check_context, open_starting_point
from workbench.stages.training import open_course, open_machine
from workbench.train.heldout import heldout_loss
from workbench.train.losses import next_token_loss


def run(settings: Settings, inputs: StageInputs, run: StageRun) -> dict[str, Any]:
    """Train for `settings.epochs` passes, or finish what an earlier attempt began in `run.folder`.

    Leaves checkpoints and summary.json there; returns the figures. Raises BadInput for sources that cannot be
    used, Stopped with everything saved, TrainingDiverged, NoSpace, Damaged when no checkpoint of an earlier
    attempt is whole.
    """
    machine = open_machine(settings)
    start = open_starting_point(inputs)
    check_context(settings.context_length, start.shape)

    # What there is to learn from: conversations of any known shape, in ids, in an order drawn from the seed.
    examples = gather_conversations(
        settings.sources,
        base=inputs.recipe_folder,
        heldout_fraction=settings.heldout_fraction,
        max_examples=settings.max_examples,
        max_bad_records=settings.max_bad_records,
        everyday_repeats=settings.everyday_repeats,
        seed=settings.seed,
    )
    announce_sources(run, examples)
    run.check_stop()
    heldout_sample = sample(examples.heldout, HELDOUT_EXAMPLES, seed=0)
    encoded, heldout = (
        encode_conversations(start.tokenizer, conversations, context_length=settings.context_length)
        for conversations in (examples.train, heldout_sample)
    )
    if encoded.cut:
        run.warning(
            f"{encoded.cut:,} of {len(examples.train):,} conversations were longer than context_length = "
            f"{settings.context_length} and cut at the end; {encoded.skipped:,} of them had no reply left"
        )
    lessons = encoded.lessons
    if not lessons:
        raise BadInput(f"no reply begins within context_length = {settings.context_length}", fix="raise it")
    order = order_conversations(lessons, batch_tokens=settings.batch_tokens, seed=settings.seed)
    max_tokens = settings.micro_batch_tokens or 2 * settings.batch_tokens  # a step reads about batch_tokens
    pad_id = start.tokenizer.pad_id
    heldout_batches = lessons_in_rows(heldout.lessons, max_tokens=max_tokens, pad_id=pad_id)
    prompts = sample_prompts(heldout_sample, start.tokenizer, context_length=settings.context_length)

    # Where the training stands: the pretrained weights and step 0, or the newest whole checkpoint.
    course = open_course(
        run,
        settings,
        machine=machine,
        tokenizer=start.tokenizer,
        fresh_model=lambda: start.load_model(machine),
        num_steps=order.num_steps(settings.epochs),
        micro_batch_tokens=max_tokens,
    )
    at_once = max_tokens * machine.ranks.data_ranks  # each takes its rows of them
    batches = functools.partial(conversation_batches, lessons, max_tokens=at_once, pad_id=pad_id)
    measure = functools.partial(
        heldout_loss,
        micro_batches=heldout_batches,
        loss_fn=next_token_loss,
        autocast=machine.autocast,
        ranks=machine.ranks,
    )

    last_loss: float | None = None  # of the held-out side, after the last step
    for report in course.steps(
        lambda number: batches(order.from_step(number)),
        next_token_loss,
        flops_per_token=flops_per_learned_token(course.model, lessons),
    ):
        if course.is_due(settings.eval_every_steps):
            if heldout_batches:
                with course.published() as model:
                    last_loss = measure(model).loss
                course.note_heldout(last_loss)
                run.emit("metric", step=report.step, val_loss=last_loss)
            with course.published() as model:
                emit_samples(run, report.step, model, start.tokenizer, prompts)

    if heldout_batches and last_loss is None:  # the last step was an earlier attempt's
        with course.published() as model:
            last_loss = measure(model).loss
    return {
        **course.finish(),
        **source_figures(examples),
        "epochs": settings.epochs,
        **({} if last_loss is None else {"val_loss": last_loss}),
        "cut": encoded.cut,
        "skipped": encoded.skipped,
        "padding_share": round(padding_share(lessons, order, max_tokens=max_tokens), 3),
    }
