"""The `dpo` stage: the model learns which of two replies people prefer, held near the model it starts from.

Read it top to bottom: what there is to learn from, what the frozen reference thinks of it, where the training
stands, the loop, what is left behind.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch

from workbench.data.examples import gather_preferences, sample
from workbench.data.lessons import (
    PairBatch,
    encode_preferences,
    longest_step,
    order_pairs,
    pair_batches,
    row_width,
)
from workbench.errors import BadInput, Stopped
from workbench.model.transformer import Decoder
from workbench.recipe import Dpo as Settings
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
from workbench.train.checkpoint import SaveClock
from workbench.train.device import Machine
from workbench.train.heldout import HeldoutLoss, heldout_loss
from workbench.train.preference_loss import (
    Reference,
    load_reference,
    preference_loss,
    reference_likelihoods,
    save_reference,
)

REFERENCE_SECONDS = 10.0
"""Write down what the reference said at least this often."""


def run(settings: Settings, inputs: StageInputs, run: StageRun) -> dict[str, Any]:
    """Train for `settings.epochs` passes, or finish what an earlier attempt began in `run.folder`.

    Leaves checkpoints and summary.json there; returns the figures. Raises BadInput for sources that cannot be
    used, Stopped with everything saved, TrainingDiverged, NoSpace, Damaged when no checkpoint of an earlier
    attempt is whole.
    """
    machine = open_machine(settings)
    start = open_starting_point(inputs)
    check_context(settings.context_length, start.shape)

    # What there is to learn from: pairs of any known shape, in ids, in an order drawn from the seed.
    examples = gather_preferences(
        settings.sources,
        base=inputs.recipe_folder,
        heldout_fraction=settings.heldout_fraction,
        max_examples=settings.max_examples,
        max_bad_records=settings.max_bad_records,
        seed=settings.seed,
    )
    announce_sources(run, examples)
    run.check_stop()
    heldout_sample = sample(examples.heldout, HELDOUT_EXAMPLES, seed=0)
    encoded, heldout = (
        encode_preferences(start.tokenizer, pairs, context_length=settings.context_length)
        for pairs in (examples.train, heldout_sample)
    )
    if encoded.skipped:
        run.warning(
            f"{encoded.skipped:,} of {len(examples.train):,} pairs were longer than context_length = "
            f"{settings.context_length} and left out"
        )
    pairs = encoded.pairs
    if not pairs:
        raise BadInput(f"no pair fits into context_length = {settings.context_length}", fix="raise it")
    order = order_pairs(pairs, batch_pairs=settings.batch_pairs, seed=settings.seed)
    longest_sides = [max(side.num_inputs for side in pair.sides) for pair in pairs]
    row = row_width(max(longest_sides))
    max_tokens = choose_micro_batch(
        run,
        settings,
        start.shape,
        machine=machine,
        row=row,
        free_bytes=free_memory_bytes(machine),
    )
    pad_id = start.tokenizer.pad_id
    prompts = sample_prompts(heldout_sample, start.tokenizer, context_length=settings.context_length)

    loss_fn = functools.partial(
        preference_loss, beta=settings.beta, chosen_nll_weight=settings.chosen_nll_weight
    )

    # Where the training stands: the reference's own weights and step 0, or the newest whole checkpoint.
    course = open_course(
        run,
        settings,
        machine=machine,
        tokenizer=start.tokenizer,
        fresh_model=lambda: start.load_model(machine),
        num_steps=order.num_steps(settings.epochs),
        micro_batch_tokens=max_tokens,
    )

    def batches_from(number: int, *, tokens: int | None = None) -> Iterator[list[PairBatch]]:
        """What a step reads is a function of the seed and its number; how it is cut, of the tokens at once."""
        at_once = (tokens or max_tokens) * machine.ranks.data_ranks  # each takes its rows of them
        return pair_batches(pairs, order.from_step(number), max_tokens=at_once, pad_id=pad_id)

    longest = longest_step(order, longest_sides)
    max_tokens = try_cut(
        run,
        course,
        settings,
        max_tokens,
        machine=machine,
        least=2 * row,
        largest_at=lambda tokens: max(
            next(batches_from(longest, tokens=tokens)), key=lambda batch: batch.rows.inputs_BT.numel()
        ),
        loss_fn=functools.partial(
            loss_fn, reference=Reference.of_anything(len(pairs), device=machine.device)
        ),
    )
    (heldout_batches,) = pair_batches(
        heldout.pairs,
        [np.arange(len(heldout.pairs))],
        max_tokens=max_tokens * machine.ranks.data_ranks,
        pad_id=pad_id,
    )

    # What the frozen reference thinks of every pair, asked once. In the batches of the first epoch, so that
    # policy and reference agree at step 0; a resumed training asks in the same batches, for the same bits.
    frozen = course.model
    if course.state.step > 0:
        weights_dtype = getattr(torch, settings.weights_dtype)
        frozen = machine.ranks.place(start.load_model(machine), machine.device, weights_dtype=weights_dtype)
    first_batches = itertools.chain.from_iterable(itertools.islice(batches_from(0), order.steps_per_epoch))
    reference = ask_reference(run, frozen, first_batches, kept="pairs", num_pairs=len(pairs), machine=machine)
    heldout_reference = ask_reference(
        run, frozen, heldout_batches, kept="heldout", num_pairs=len(heldout.pairs), machine=machine
    )
    del frozen  # of a training that goes on, a model beside the one that learns
    measure = functools.partial(
        heldout_loss,
        micro_batches=heldout_batches,
        loss_fn=functools.partial(loss_fn, reference=heldout_reference),
        autocast=machine.autocast,
        ranks=machine.ranks,
    )

    last: HeldoutLoss | None = None  # after the last step
    for report in course.steps(
        batches_from,
        functools.partial(loss_fn, reference=reference),
        flops_per_token=flops_per_learned_token(
            course.model, [side for pair in pairs for side in pair.sides]
        ),
        evaluation_tokens=sum(batch.rows.inputs_BT.numel() for batch in heldout_batches),
        sample_tokens=SAMPLE_TOKENS if prompts else 0,
    ):
        if course.is_due(course.setting("eval_every_steps")):
            if heldout_batches:
                with course.evaluating() as policy:
                    last = measure(policy)
                course.note_heldout(last.loss)
                run.emit("metric", step=report.step, **heldout_figures(last))
            with course.sampling() as policy:
                emit_samples(run, report.step, policy, start.tokenizer, prompts)

    if heldout_batches and last is None:  # the last step was an earlier attempt's
        with course.evaluating() as policy:
            last = measure(policy)
    machine.ranks.first_does(lambda: forget_reference(run))  # nobody asks again
    return {
        **course.finish(),
        **source_figures(examples),
        "epochs": settings.epochs,
        **(heldout_figures(last) if last else {}),
        "skipped": encoded.skipped,
    }


def ask_reference(
    run: StageRun,
    frozen: Decoder,
    batches: Iterable[PairBatch],
    *,
    kept: str,
    num_pairs: int,
    machine: Machine,
) -> Reference:
    """What `frozen` thinks of every pair in `batches`; stops when a stop is asked for.

    Answers are written down under the name `kept` as they come: whoever is interrupted asks for the rest only.
    """
    file = run.folder / f"reference-{kept}.safetensors"
    # The first rank writes behind the last answer of a batch and before the first of the next: all read the same.
    reference = load_reference(file, num_pairs, device=machine.device)
    clock = SaveClock(REFERENCE_SECONDS)

    def keep() -> None:
        if machine.ranks.is_first:
            with clock.saving():
                run.when_there_is_room(lambda: save_reference(reference, file))

    with machine.ranks.measuring(frozen):
        for done in reference_likelihoods(
            frozen, batches, into=reference, autocast=machine.autocast, ranks=machine.ranks
        ):
            run.progress(done, num_pairs, "reference pairs")
            if clock.is_due() or done == num_pairs:
                keep()
            try:
                run.check_stop()
            except Stopped:
                keep()
                raise
    return reference


def forget_reference(run: StageRun) -> None:
    """Delete what `ask_reference` wrote down."""
    for file in run.folder.glob("reference-*.safetensors"):
        file.unlink()


def heldout_figures(measured: HeldoutLoss) -> dict[str, float]:
    """The held-out loss and DPO's figures as metrics, each under `val_`."""
    return {"val_loss": measured.loss} | {f"val_{name}": figure for name, figure in measured.extras.items()}
