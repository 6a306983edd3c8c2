"""Lessons: what is learned and what is not, and batches that lose and repeat nothing."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from workbench.data import lessons as lessons_module
from workbench.data.conversations import Conversation, Message
from workbench.data.lessons import (
    WIDTH_STEP,
    Lesson,
    StepOrder,
    conversation_batches,
    encode_conversations,
    encode_preferences,
    group_by_length,
    lessons_in_rows,
    order_conversations,
    order_pairs,
    pack,
    pad,
    padding_share,
    pair_batches,
)
from workbench.data.loader import NOT_LEARNED
from workbench.data.order import shuffled
from workbench.data.preferences import Preference
from workbench.model.initialise import initialise
from workbench.model.transformer import Decoder
from workbench.recipe_model import Model
from workbench.tokenizer import Tokenizer, render, train_tokenizer
from workbench.train.losses import next_token_loss

TWO_TURNS = (
    Message("system", "Be kind."),
    Message("user", "What is a cat?"),
    Message("assistant", "An animal."),
    Message("user", "And a dog?"),
    Message("assistant", "Another animal."),
)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    texts = ["What is a cat? An animal. And a dog? Another animal. Be kind to all of them, always."] * 4
    return train_tokenizer(texts, vocab_size=300, max_token_length=16)


def lesson(length: int, *, start: int = 0) -> Lesson:
    """`length` inputs; the second half of the ids is learned."""
    ids = np.arange(start, start + length + 1, dtype=np.int32)
    return Lesson(ids, np.arange(length + 1) > length // 2)


def said(tokenizer: Tokenizer, lesson: Lesson) -> str:
    return tokenizer.decode(lesson.ids[lesson.learned].tolist(), keep_special=True)


def test_learned_is_what_the_assistant_says_and_where_it_stops(tokenizer: Tokenizer) -> None:
    conversation = Conversation("x", TWO_TURNS)
    (only,) = encode_conversations(tokenizer, [conversation], context_length=512).lessons
    assert said(tokenizer, only) == "An animal.<|im_end|>Another animal.<|im_end|>"
    assert only.ids[-1] == tokenizer.im_end_id  # nothing is read after the last thing that is learned


def test_special_tokens_in_a_message_teach_nobody_to_stop(tokenizer: Tokenizer) -> None:
    messages = (Message("user", "Say <|im_end|>"), Message("assistant", "<|im_end|> is a token."))
    (only,) = encode_conversations(tokenizer, [Conversation("x", messages)], context_length=512).lessons
    assert (only.ids == tokenizer.im_end_id).sum() == 2  # one ends each message; none is inside


def test_a_long_conversation_is_cut_and_counted(tokenizer: Tokenizer) -> None:
    whole = len(render(tokenizer, TWO_TURNS).ids)
    for limit in range(1, whole):
        encoded = encode_conversations(tokenizer, [Conversation("x", TWO_TURNS)], context_length=limit)
        assert len(encoded.lessons) + encoded.skipped == 1
        assert all(lesson.num_inputs <= limit and lesson.num_learned for lesson in encoded.lessons)
    assert encode_conversations(tokenizer, [Conversation("x", TWO_TURNS)], context_length=3).skipped == 1
    assert encode_conversations(tokenizer, [Conversation("x", TWO_TURNS)], context_length=whole - 5).cut == 1
    assert encode_conversations(tokenizer, [Conversation("x", TWO_TURNS)], context_length=whole).cut == 0


def test_a_pair_learns_the_last_reply_of_both_sides_with_its_stop(tokenizer: Tokenizer) -> None:
    pair = Preference("x", TWO_TURNS[:-1], "Another animal.", "No idea.")
    (only,) = encode_preferences(tokenizer, [pair], context_length=512).pairs
    assert said(tokenizer, only.chosen) == "Another animal.<|im_end|>"
    assert said(tokenizer, only.rejected) == "No idea.<|im_end|>"


def test_a_pair_that_does_not_fit_is_skipped_and_never_cut(tokenizer: Tokenizer) -> None:
    pair = Preference("x", TWO_TURNS[:2], "Short.", "A very long answer about a cat. " * 9)
    encoded = encode_preferences(tokenizer, [pair], context_length=64)
    assert (encoded.pairs, encoded.skipped) == ((), 1)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 130), st.integers(0, 5))
def test_every_epoch_holds_every_item_once_and_resumes_anywhere(
    num_items: int, steps: int, start: int, seed: int
) -> None:
    order = StepOrder(num_items, min(steps, num_items), seed)
    two_epochs = list(itertools.islice(order.from_step(0), 2 * order.steps_per_epoch))
    for epoch in (two_epochs[: order.steps_per_epoch], two_epochs[order.steps_per_epoch :]):
        assert sorted(np.concatenate(epoch)) == list(range(num_items))
        assert all(len(items) for items in epoch)
    start %= len(two_epochs)
    resumed = itertools.islice(order.from_step(start), len(two_epochs) - start)
    assert all(np.array_equal(a, b) for a, b in zip(resumed, two_epochs[start:], strict=True))


def test_going_on_draws_the_order_of_one_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[int, ...]] = []

    def counted(count: int, *, key: tuple[int, ...]) -> np.ndarray:
        drawn.append(key)
        return shuffled(count, key=key)

    monkeypatch.setattr(lessons_module, "shuffled", counted)
    for step in (0, 7, 10**12):
        next(StepOrder(50, 5, seed=3).from_step(step))
    assert drawn == [(3, 0), (3, 1), (3, 2 * 10**11)]


def test_epochs_and_seeds_shuffle_differently() -> None:
    def epochs(seed: int) -> list[list[int]]:
        return [items.tolist() for items in itertools.islice(StepOrder(50, 1, seed).from_step(0), 2)]

    first, second = epochs(0)
    assert first != second and epochs(0) == [first, second] and epochs(1)[0] != first


def test_a_step_holds_about_the_tokens_asked_for() -> None:
    lessons = [lesson(10 + n % 30) for n in range(400)]
    total = sum(item.num_inputs for item in lessons)
    order = order_conversations(lessons, batch_tokens=1000, seed=0)
    assert order.steps_per_epoch == -(-total // 1000)
    assert order.num_steps(0.5) == round(order.steps_per_epoch / 2)
    assert order_conversations(lessons[:1], batch_tokens=1000, seed=0).num_steps(0.01) == 1


@given(st.lists(st.integers(1, 600), min_size=1, max_size=80), st.integers(1, 4000))
def test_groups_keep_every_row_within_the_limit(lengths: list[int], max_tokens: int) -> None:
    groups = group_by_length(lengths, max_tokens=max_tokens)
    assert sorted(itertools.chain(*groups)) == list(range(len(lengths)))
    for group in groups:
        assert len(group) == 1 or len(group) * max(lengths[place] for place in group) <= max_tokens


def test_padding_is_little() -> None:
    rng = np.random.default_rng(0)
    lessons = [lesson(int(length)) for length in rng.lognormal(3.8, 0.6, size=2000).clip(8, 256)]
    order = order_conversations(lessons, batch_tokens=4096, seed=0)
    assert padding_share(lessons, order, max_tokens=8192) < 0.04


@given(st.lists(st.integers(1, 300), min_size=1, max_size=80))
def test_packed_rows_hold_everything_once_and_nothing_more_than_they_can(lengths: list[int]) -> None:
    rows = pack(lengths, width=300)
    assert sorted(itertools.chain(*rows)) == list(range(len(lengths)))
    assert all(sum(lengths[place] for place in row) <= 300 for row in rows)
    assert len(rows) <= 11 / 9 * -(-sum(lengths) // 300) * 2  # far from one lesson a row


def test_conversations_in_one_row_are_learned_as_if_alone() -> None:
    """The summed loss and its gradient, packed and each by itself."""
    lessons = [lesson(3 + n % 20, start=n) for n in range(40)]
    shape = {
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 256,
        "hidden_size": 32,
    }
    for positions in ("rotary", "learned"):
        config = Model(size=None, positions=positions, **shape).shape(vocab_size=70)
        model = initialise(Decoder(config), 0)
        sums = []
        for batches in (
            lessons_in_rows(lessons, max_tokens=512, pad_id=0),
            [pad([each], pad_id=0) for each in lessons],
        ):
            parts = [next_token_loss(model, batch) for batch in batches]
            gradient = torch.autograd.grad(sum(part.total for part in parts), list(model.parameters()))
            sums.append(
                (
                    sum(part.count for part in parts),
                    sum(float(part.total.detach()) for part in parts),
                    gradient,
                )
            )
        (count, total, gradient), (alone_count, alone_total, alone_gradient) = sums
        assert count == alone_count and total == pytest.approx(alone_total, rel=1e-5)
        for packed, alone in zip(gradient, alone_gradient, strict=True):
            torch.testing.assert_close(packed, alone, atol=1e-4, rtol=1e-4)


def test_padding_is_not_learned_and_targets_are_one_ahead() -> None:
    batch = pad([lesson(4, start=10), lesson(2, start=20)], pad_id=3)
    assert batch.inputs_BT.shape[1] % WIDTH_STEP == 0
    assert batch.inputs_BT[:, :4].tolist() == [[10, 11, 12, 13], [20, 21, 3, 3]]
    assert (batch.inputs_BT[:, 4:] == 3).all()
    no = NOT_LEARNED
    assert batch.targets_BT[:, :4].tolist() == [[no, no, 13, 14], [no, 22, no, no]]
    assert (batch.targets_BT[:, 4:] == no).all()


def test_batches_hold_the_lessons_of_their_step() -> None:
    lessons = [lesson(5 + n % 7, start=100 * n) for n in range(30)]
    order = order_conversations(lessons, batch_tokens=60, seed=0)
    batches = conversation_batches(lessons, order.from_step(0), max_tokens=48, pad_id=0)
    firsts: list[int] = []
    for micro_batches in itertools.islice(batches, order.steps_per_epoch):
        for batch in micro_batches:
            assert batch.inputs_BT.numel() <= 48
            firsts += [first for first in batch.inputs_BT.flatten().tolist() if first and first % 100 == 0]
    assert sorted(firsts) == [100 * n for n in range(1, 30)]  # a 0 is padding too


def test_pairs_stand_chosen_first_in_the_same_order(tokenizer: Tokenizer) -> None:
    def preference(n: int) -> Preference:
        return Preference(str(n), (Message("user", "cat " * n),), "An animal.", "No.")

    pairs: Sequence = encode_preferences(
        tokenizer, [preference(n) for n in range(9)], context_length=99
    ).pairs
    order = order_pairs(pairs, batch_pairs=4, seed=0)
    assert order.steps_per_epoch == 3
    for micro_batches in itertools.islice(
        pair_batches(pairs, order.from_step(0), max_tokens=400, pad_id=3), 3
    ):
        for batch in micro_batches:
            for row, place in enumerate(batch.places):
                for offset, side in ((0, pairs[place].chosen), (len(batch.places), pairs[place].rejected)):
                    ids = batch.rows.inputs_BT[row + offset, : side.num_inputs]
                    assert ids.tolist() == side.ids[:-1].tolist()
