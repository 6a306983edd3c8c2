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
from workbench.model.folder import load_model
from workbench.recipe import Sft as Settings
from workbench.stage_run import StageInputs, StageRun
from workbench.stages.fine_tuning import (
    HELDOUT_EXAMPLES,
    announce_sources,
    check_context,
    emit_samples,
    flops_per_learned_token,
    open_starting_point,
    sample_prompts,
    source_figures,
)
from workbench.stages.training import (
    SAVE_FIRST,
    Checkpoints,
    Meter,
    comes_due,
    finish,
    learn_or_roll_back,
    make_optimizer,
    obey,
    start_or_resume,
)
from workbench.train.checkpoint_folder import latest_good
from workbench.train.device import matmul_peak, prepare_machine
from workbench.train.heldout import heldout_loss
from workbench.train.loop import train
from workbench.train.losses import next_token_loss
from workbench.train.schedule import make_schedule


def run(settings: Settings, inputs: StageInputs, run: StageRun) -> dict[str, Any]:
    """Train for `settings.epochs` passes, or finish what an earlier attempt began in `run.folder`.

    Leaves checkpoints and summary.json there; returns the figures. Raises BadInput for sources that cannot be
    used, Stopped with everything saved, TrainingDiverged, NoSpace, Damaged when no checkpoint of an earlier
    attempt is whole.
    """
    machine = prepare_machine(settings.dtype)
    start = open_starting_point(inputs)

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
    num_steps = order.num_steps(settings.epochs)
    max_tokens = settings.micro_batch_tokens or 2 * settings.batch_tokens  # a step reads about batch_tokens
    pad_id = start.tokenizer.pad_id
    heldout_batches = lessons_in_rows(heldout.lessons, max_tokens=max_tokens, pad_id=pad_id)
    prompts = sample_prompts(heldout_sample, start.tokenizer, context_length=settings.context_length)

    # Where the training stands: the pretrained weights and step 0, or the newest whole checkpoint.
    found = latest_good(run.folder)
    model = start.load_model(machine) if found is None else load_model(found.folder).to(machine.device)
    check_context(settings, model)
    optimizer = make_optimizer(model, settings, machine)
    state = start_or_resume(
        run, found, optimizer, machine=machine, seed=settings.seed, micro_batch_tokens=max_tokens
    )

    checkpoints = Checkpoints(run, settings, tokenizer=start.tokenizer)
    meter = Meter(
        run,
        num_steps=num_steps,
        flops_per_token=flops_per_learned_token(model, lessons),
        peak=matmul_peak(machine),
    )

    measure = functools.partial(
        heldout_loss, micro_batches=heldout_batches, loss_fn=next_token_loss, autocast=machine.autocast
    )

    last_loss: float | None = None  # of the held-out side, after the last step

    def learn() -> None:
        """Take the steps that are left from where `state` stands."""
        nonlocal last_loss
        reports = train(
            model,
            conversation_batches(lessons, order.from_step(state.batch), max_tokens=max_tokens, pad_id=pad_id),
            optimizer,
            loss_fn=next_token_loss,
            learning_rate_at=make_schedule(
                settings.schedule,
                num_steps=num_steps,
                warmup_steps=settings.warmup_steps,
                floor=settings.final_learning_rate_ratio,
                decay_ratio=settings.decay_ratio,
            ),
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
            if comes_due(report.step, every=settings.eval_every_steps, num_steps=num_steps):
                if heldout_batches:
                    last_loss = measure(model).loss
                    is_best = state.note_metric(last_loss)
                    run.emit("metric", step=report.step, val_loss=last_loss)
                emit_samples(run, report.step, model, start.tokenizer, prompts)

            request = run.request()
            if is_best or checkpoints.is_due() or request in SAVE_FIRST or report.step == num_steps:
                checkpoints.save(model, optimizer, state)
            obey(request, run)

    learn_or_roll_back(learn, run, model, optimizer, state)

    return {
        **finish(run, state),
        **source_figures(examples),
        "epochs": settings.epochs,
        **({"val_loss": measure(model).loss if last_loss is None else last_loss} if heldout_batches else {}),
        "cut": encoded.cut,
        "skipped": encoded.skipped,
        "padding_share": round(padding_share(lessons, order, max_tokens=max_tokens), 3),
    }
