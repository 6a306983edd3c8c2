"""How long a training takes, from what its parts take: one arithmetic for a plan, a probe and the run itself.

    steps + evaluations + samples + checkpoints + the rest, which comes once

Seconds in, seconds out: it knows no recipe and no machine.
"""

from __future__ import annotations

from dataclasses import dataclass

LARGEST_SAVING_SHARE = 0.02
"""Of the time, what saving may take from training; the clock of checkpoints (train/checkpoint.py) keeps it."""
FORWARD_SHARE = 1 / 3
"""Of the FLOPs of training on a token, those of reading it: the backward pass has two products for each of its."""
SECONDS_PER_LAYER = 8e-4
"""What a layer takes at the least when a reply is written, token by token: starting its kernels (recipes/LOG.md)."""
WEIGHT_BYTES_PER_SECOND = {False: 1e10, True: 1e12}
"""How fast a reply's every token reads all weights of a large model: about a core's share of the memory; on a GPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartSeconds:
    """What each part of a training takes, once, in seconds.

    step: of full size, the wait for its batch included. evaluation: of the held-out side. samples: of all prompts.
    save: what one checkpoint takes from the training. rest: reading, building and compiling, and the package.
    """

    step: float
    evaluation: float = 0.0
    samples: float = 0.0
    save: float = 0.0
    rest: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepsLeft:
    """What is still to be done of a training: the steps after `done` up to `last`, and what comes between them.

    full_steps: as how many steps of full size these count; fewer than they are where batches grow.
    sample_every_steps: None where samples come with every evaluation.
    """

    done: int = 0
    last: int
    full_steps: float
    eval_every_steps: int
    sample_every_steps: int | None = None
    save_every_seconds: float

    def rounds(self, every_steps: int) -> int:
        """How often something is done that is done every so many steps, and after the last one."""
        if self.done >= self.last:
            return 0
        return self.last // every_steps - self.done // every_steps + (self.last % every_steps > 0)


def seconds_of(parts: PartSeconds, left: StepsLeft) -> float:
    """The time that is left.

    Checkpoints come by the clock, as rarely as keeps them to their share, and after every evaluation: while a model
    learns, each is the best so far.
    """
    evaluations = left.rounds(left.eval_every_steps)
    samples = left.rounds(left.sample_every_steps or left.eval_every_steps)
    busy = left.full_steps * parts.step + evaluations * parts.evaluation + samples * parts.samples
    by_the_clock = busy / max(left.save_every_seconds, parts.save / LARGEST_SAVING_SHARE)
    return busy + (by_the_clock + evaluations) * parts.save + parts.rest


def sampling_seconds(*, tokens: int, layers: int, weight_bytes: int, on_gpu: bool) -> float:
    """About what a reply of so many tokens takes, written one after the other: a guess where none was measured."""
    return tokens * (layers * SECONDS_PER_LAYER + weight_bytes / WEIGHT_BYTES_PER_SECOND[on_gpu])
