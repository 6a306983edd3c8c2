"""The `sft` stage: the model learns to answer, from conversations; only what the assistant says is learned.

Read it top to bottom: what there is to learn from, where the training stands, the loop, what is left behind.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from workbench.data.examples import gather_conversations, sample
from workbench.data.lessons import (
    conversation_batches,
    encode_conversations,
    lessons_in_rows,
    longest_step,
    order_conversations,
    padding_share,
    shared_width,
)
from workbench.data.loader import Batch
from workbench.errors import BadInput
from workbench.recipe import Sft as Settings
from workbench.stage_run import StageInputs, StageRun
from workbench.stages.fine_tuning import (
    HELDOUT_EXAMPLES,
    SAMPLE_TOKENS,
    announce_sources,
    emit_samples,
    flops_per_learned_token,
    sample_prompts,
    source_figures,
)
from workbench.stages.micro_batch import choose_micro_batch, free_memory_bytes, try_cut
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
        gone = f"; {encoded.skipped:,} of them had no reply left" if encoded.skipped else ""
        run.warning(
            f"{encoded.cut:,} of {len(examples.train):,} conversations were longer than context_length = "
            f"{settings.context_length} and cut at the end{gone}"
        )
    lessons = encoded.lessons
    if not lessons:
        raise BadInput(f"no reply begins within context_length = {settings.context_length}", fix="raise it")
    order = order_conversations(lessons, batch_tokens=settings.batch_tokens, seed=settings.seed)
    lengths = [lesson.num_inputs for lesson in lessons]
    max_tokens = choose_micro_batch(
        run,
        settings,
        start.shape,
        machine=machine,
        row=shared_width(lengths, max_tokens=2 * settings.batch_tokens),
        free_bytes=free_memory_bytes(machine),
    )
    pad_id = start.tokenizer.pad_id
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

    def batches_from(number: int, *, tokens: int | None = None) -> Iterator[list[Batch]]:
        """What a step reads is a function of the seed and its number; how it is cut, of the tokens at once."""
        at_once = (tokens or max_tokens) * machine.ranks.data_ranks  # each takes its rows of them
        return conversation_batches(lessons, order.from_step(number), max_tokens=at_once, pad_id=pad_id)

    longest = longest_step(order, lengths)
    max_tokens = try_cut(
        run,
        course,
        settings,
        max_tokens,
        machine=machine,
        least=min(settings.context_length, max_tokens),
        largest_at=lambda tokens: next(batches_from(longest, tokens=tokens))[0],
        loss_fn=next_token_loss,
    )
    at_once = max_tokens * machine.ranks.data_ranks
    heldout_batches = lessons_in_rows(heldout.lessons, max_tokens=at_once, pad_id=pad_id)
    measure = functools.partial(
        heldout_loss,
        micro_batches=heldout_batches,
        loss_fn=next_token_loss,
        autocast=machine.autocast,
        ranks=machine.ranks,
    )

    last_loss: float | None = None  # of the held-out side, after the last step
    for report in course.steps(
        batches_from,
        next_token_loss,
        flops_per_token=flops_per_learned_token(course.model, lessons),
        evaluation_tokens=sum(batch.inputs_BT.numel() for batch in heldout_batches),
        sample_tokens=SAMPLE_TOKENS if prompts else 0,
    ):
        if course.is_due(course.setting("eval_every_steps")):
            if heldout_batches:
                with course.evaluating() as model:
                    last_loss = measure(model).loss
                course.note_heldout(last_loss)
                run.emit("metric", step=report.step, val_loss=last_loss)
            with course.sampling() as model:
                emit_samples(run, report.step, model, start.tokenizer, prompts)

    if heldout_batches and last_loss is None:  # the last step was an earlier attempt's
        with course.evaluating() as model:
            last_loss = measure(model).loss
    return {
        **course.finish(),
        **source_figures(examples),
        "epochs": settings.epochs,
        **({} if last_loss is None else {"val_loss": last_loss}),
        "cut": encoded.cut,
        "skipped": encoded.skipped,
        "padding_share": round(padding_share(lessons, order, max_tokens=at_once), 3),
    }
