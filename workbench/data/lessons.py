"""Examples as token ids, and the batches they are learned in.

A lesson is a conversation in ids with a mask of what is learned. Conversations share rows, so that little of a
batch is padding, and say which is which, so that attention stays inside of each. The sides of preference pairs
have rows of their own, because a reward is the sum of a row; there rows of like length go together:

    a step's conversations, shuffled   ->   packed into rows
    ▇▇▇ ▁ ▇▇▇▇▇▇ ▁▁ ▇▇▇▇▇                   [▇▇▇▇▇▇▁▁  ▇▇▇▇▇▇▇▇ ▁░]
    a step's pairs                     ->   sorted by length, cut into micro-batches, padded to the longest of each

Which lessons a step holds is a pure function of (seed, step): resuming needs one integer. Knows no loss.

Shapes: B rows, T positions.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from workbench.data.conversations import Conversation, Message
from workbench.data.loader import NOT_LEARNED, Batch
from workbench.data.order import shuffled
from workbench.data.preferences import Preference
from workbench.tokenizer import Rendered, Tokenizer, render

SHORTEST_ROW = 128
"""Rows that conversations share: short enough for attention, which costs their square, to be cheap."""
ROW_STEP = 64
# A micro-batch of fewer tokens than this spends its time on overhead: padding is then the lesser waste.
WIDTH_STEP = 16
SMALL_GROUP_TOKENS = 512
# Rows shorter than this share of the longest start a group of their own, once the group is not small.
LIKE_LENGTH = 0.75


@dataclass(frozen=True, slots=True)
class Lesson:
    """Token ids, and for each whether the model is taught to produce it."""

    ids: NDArray[np.int32]
    learned: NDArray[np.bool_]

    @property
    def num_inputs(self) -> int:
        """Positions the model reads: all ids but the last, which is only predicted."""
        return len(self.ids) - 1

    @property
    def num_learned(self) -> int:
        """Tokens the model learns from."""
        return int(self.learned[1:].sum())


@dataclass(frozen=True, slots=True)
class Pair:
    """The same prompt with the better and with the worse reply; only the replies are learned."""

    chosen: Lesson
    rejected: Lesson

    @property
    def sides(self) -> tuple[Lesson, Lesson]:
        """Both lessons, the chosen first."""
        return self.chosen, self.rejected


@dataclass(frozen=True, slots=True)
class EncodedConversations:
    """Lessons in order. `cut`: how many lost their end; `skipped`: those with nothing left to learn."""

    lessons: tuple[Lesson, ...]
    cut: int
    skipped: int


@dataclass(frozen=True, slots=True)
class EncodedPreferences:
    """Pairs in order. `skipped`: how many did not fit into `context_length` whole."""

    pairs: tuple[Pair, ...]
    skipped: int


def encode_conversations(
    tokenizer: Tokenizer, conversations: Sequence[Conversation], *, context_length: int
) -> EncodedConversations:
    """Each conversation in the chat format, cut to `context_length` inputs.

    Learned is what the assistant says, its stop token included, and nothing else.
    """
    known: dict[tuple[Message, ...], Rendered] = {}  # examples that are repeated are encoded once
    lessons: list[Lesson] = []
    cut = skipped = 0
    for conversation in conversations:
        messages = conversation.messages
        rendered = known.get(messages) or known.setdefault(messages, render(tokenizer, messages))
        whole = _lesson(rendered)
        fitting = _lesson(rendered, limit=context_length + 1)
        cut += fitting.num_learned < whole.num_learned
        if fitting.num_learned:
            lessons.append(fitting)
        else:
            skipped += 1
    return EncodedConversations(tuple(lessons), cut, skipped)


def encode_preferences(
    tokenizer: Tokenizer, preferences: Sequence[Preference], *, context_length: int
) -> EncodedPreferences:
    """Each pair in the chat format, only the last reply and its stop token learned.

    A pair of which either side does not fit whole is skipped, never cut: with one reply short of its stop
    token, the model would learn that replies are better or worse for stopping.
    """
    pairs: list[Pair] = []
    for preference in preferences:
        start = len(render(tokenizer, preference.prompt, add_generation_prompt=True).ids)
        sides = [
            _lesson(render(tokenizer, (*preference.prompt, Message("assistant", reply))), learn_from=start)
            for reply in (preference.chosen, preference.rejected)
        ]
        if all(side.num_inputs <= context_length for side in sides):
            pairs.append(Pair(*sides))
    return EncodedPreferences(tuple(pairs), len(preferences) - len(pairs))


def _lesson(rendered: Rendered, *, limit: int | None = None, learn_from: int = 0) -> Lesson:
    """The first `limit` ids, ending with the last one that is learned: what follows it teaches nothing."""
    ids = np.asarray(rendered.ids[:limit], dtype=np.int32)
    learned = np.asarray(rendered.learned[:limit], dtype=np.bool_)
    learned[:learn_from] = False
    (places,) = learned.nonzero()
    end = int(places[-1]) + 1 if len(places) else len(ids)
    return Lesson(ids[:end], learned[:end])


# -- which items a step holds ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StepOrder:
    """`num_items` shuffled anew in every epoch and dealt evenly over the epoch's steps."""

    num_items: int
    steps_per_epoch: int
    seed: int

    def __post_init__(self) -> None:
        assert 1 <= self.steps_per_epoch <= self.num_items

    def num_steps(self, epochs: float) -> int:
        """Optimizer steps of that many epochs, at least one."""
        return max(1, round(epochs * self.steps_per_epoch))

    def from_step(self, step: int) -> Iterator[NDArray[np.int64]]:
        """The items of `step` and of every step after it, without end."""
        epoch, step_of_epoch = divmod(step, self.steps_per_epoch)
        while True:
            items = shuffled(self.num_items, key=(self.seed, epoch))
            yield from np.array_split(items, self.steps_per_epoch)[step_of_epoch:]
            epoch, step_of_epoch = epoch + 1, 0


def order_conversations(lessons: Sequence[Lesson], *, batch_tokens: int, seed: int) -> StepOrder:
    """An order in which a step holds about `batch_tokens` input tokens."""
    steps = math.ceil(sum(lesson.num_inputs for lesson in lessons) / batch_tokens)
    return StepOrder(len(lessons), min(max(steps, 1), len(lessons)), seed)


def order_pairs(pairs: Sequence[Pair], *, batch_pairs: int, seed: int) -> StepOrder:
    """An order in which a step holds at most `batch_pairs` pairs."""
    return StepOrder(len(pairs), math.ceil(len(pairs) / batch_pairs), seed)


def longest_step(order: StepOrder, lengths: Sequence[int]) -> int:
    """The step of the first epoch whose items, of these lengths, are longest together."""
    steps = itertools.islice(order.from_step(0), order.steps_per_epoch)
    totals = [sum(lengths[item] for item in items) for items in steps]
    return totals.index(max(totals))


# -- micro-batches -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PairBatch:
    """P pairs as 2P rows: the chosen in the first half, the rejected, in the same order, in the second.

    `places` says which pairs these are, for looking up what the reference model thinks of them.
    """

    rows: Batch
    places: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, pairs: slice) -> PairBatch:
        """Some of the pairs, both sides of each."""
        chosen, rejected = self.rows[: len(self)][pairs], self.rows[len(self) :][pairs]
        rows = Batch(
            torch.cat((chosen.inputs_BT, rejected.inputs_BT)),
            torch.cat((chosen.targets_BT, rejected.targets_BT)),
        )
        return PairBatch(rows, self.places[pairs])


def conversation_batches(
    lessons: Sequence[Lesson], steps: Iterable[NDArray[np.int64]], *, max_tokens: int, pad_id: int
) -> Iterator[list[Batch]]:
    """For each step the micro-batches of at most `max_tokens` positions that hold its lessons."""
    for items in steps:
        yield lessons_in_rows([lessons[item] for item in items], max_tokens=max_tokens, pad_id=pad_id)


def lessons_in_rows(lessons: Sequence[Lesson], *, max_tokens: int, pad_id: int) -> list[Batch]:
    """All `lessons`, packed into rows of one width, in batches of at most `max_tokens` positions.

    A row longer than that is a batch of its own.
    """
    if not lessons:
        return []
    lengths = [lesson.num_inputs for lesson in lessons]
    width = shared_width(lengths, max_tokens=max_tokens)
    rows = pack(lengths, width=width)
    num_batches = -(-len(rows) // max(1, max_tokens // width))
    return [
        _filled(
            [[lessons[place] for place in row] for row in rows[number::num_batches]], width, pad_id=pad_id
        )
        for number in range(num_batches)
    ]


def shared_width(lengths: Sequence[int], *, max_tokens: int) -> int:
    """The width of rows that lessons of these lengths share; of few different ones, so that shapes are few."""
    longest = max(lengths)
    if longest >= SHORTEST_ROW or max_tokens >= SHORTEST_ROW:
        return -(-max(SHORTEST_ROW, longest) // ROW_STEP) * ROW_STEP
    return max(row_width(longest), max_tokens // WIDTH_STEP * WIDTH_STEP)


def pack(lengths: Sequence[int], *, width: int) -> list[list[int]]:
    """Places 0..n-1 in rows of at most `width`: the longest first, each into the first row it fits in.

    First-fit decreasing: at most 11/9 of the fewest rows possible, and one more (Johnson 1973).
    """
    rows: list[list[int]] = []
    left: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        row = next((row for row, free in enumerate(left) if free >= lengths[place]), len(rows))
        if row == len(rows):
            rows.append([])
            left.append(width)
        rows[row].append(place)
        left[row] -= lengths[place]
    return rows


def pair_batches(
    pairs: Sequence[Pair], steps: Iterable[NDArray[np.int64]], *, max_tokens: int, pad_id: int
) -> Iterator[list[PairBatch]]:
    """For each step the micro-batches of at most `max_tokens` positions, both sides counted, of its pairs."""
    for items in steps:
        lengths = [max(side.num_inputs for side in pairs[item].sides) for item in items]
        groups = group_by_length(lengths, max_tokens=max_tokens // 2)
        yield [_pair_batch(pairs, items[group], pad_id=pad_id) for group in groups]


def _pair_batch(pairs: Sequence[Pair], places: NDArray[np.int64], *, pad_id: int) -> PairBatch:
    chosen = [pairs[place].chosen for place in places]
    rejected = [pairs[place].rejected for place in places]
    return PairBatch(pad([*chosen, *rejected], pad_id=pad_id), places)


def group_by_length(lengths: Sequence[int], *, max_tokens: int) -> list[list[int]]:
    """Places 0..n-1 in groups of like length, the longest first; rows x longest is at most `max_tokens`.

    A single row longer than that is a group of its own.
    """
    groups: list[list[int]] = []
    longest = 0
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        rows = len(groups[-1]) + 1 if groups else 0
        full = rows * longest > max_tokens
        unlike = lengths[place] < LIKE_LENGTH * longest and (rows - 1) * longest >= SMALL_GROUP_TOKENS
        if not groups or full or unlike:
            groups.append([])
            longest = row_width(lengths[place])
        groups[-1].append(place)
    return groups


def row_width(longest: int) -> int:
    """The width of the rows that hold a lesson of `longest` inputs: the next multiple of WIDTH_STEP.

    Matrix libraries prepare and keep code for every shape they meet: with any width there are thousands, and
    training holds gigabytes of them (measured: 1.3 GB after 40 steps instead of 0.55).
    """
    return max(1, -(-longest // WIDTH_STEP)) * WIDTH_STEP


def pad(lessons: Sequence[Lesson], *, pad_id: int) -> Batch:
    """Each lesson as a row of one batch."""
    width = row_width(max(lesson.num_inputs for lesson in lessons))
    return _filled([[lesson] for lesson in lessons], width, pad_id=pad_id)


def _filled(rows: Sequence[Sequence[Lesson]], width: int, *, pad_id: int) -> Batch:
    """The lessons of each row one behind the other; padding behind them, where causal attention never looks."""
    inputs_BT = np.full((len(rows), width), pad_id, dtype=np.int64)
    targets_BT = np.full((len(rows), width), NOT_LEARNED, dtype=np.int64)
    documents_BT = np.zeros((len(rows), width), dtype=np.int64)
    for row, lessons in enumerate(rows):
        end = 0
        for number, lesson in enumerate(lessons):
            start, end = end, end + lesson.num_inputs
            inputs_BT[row, start:end] = lesson.ids[:-1]
            targets_BT[row, start:end] = np.where(lesson.learned[1:], lesson.ids[1:], NOT_LEARNED)
            documents_BT[row, start:] = number
    alone = all(len(lessons) == 1 for lessons in rows)
    return Batch(
        inputs_BT=torch.from_numpy(inputs_BT),
        targets_BT=torch.from_numpy(targets_BT),
        documents_BT=None if alone else torch.from_numpy(documents_BT),
    )


def padding_share(lessons: Sequence[Lesson], order: StepOrder, *, max_tokens: int) -> float:
    """Share of the positions of the first epoch that are padding."""
    steps = order.from_step(0)
    read = computed = 0
    for _ in range(order.steps_per_epoch):
        lengths = [lessons[item].num_inputs for item in next(steps)]
        width = shared_width(lengths, max_tokens=max_tokens)
        read += sum(lengths)
        computed += len(pack(lengths, width=width)) * width
    return 1 - read / computed
