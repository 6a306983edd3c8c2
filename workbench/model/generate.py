"""Text from a model, one token at a time: prompt ids in, reply ids out.

`generate` streams one reply; `generate_batch` writes many at once, with the same greedy tokens as one by one.
The prompt is read in one pass (prefill), then every token costs one position of work (decode) thanks to the
KV cache. Knows ids only: what they spell is `stream.py`'s business.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from workbench.errors import BadInput
from workbench.model.memory import KVCache
from workbench.model.sampling import GREEDY, Sampling, sample_next
from workbench.model.transformer import Decoder

StoppedBy = Literal["stop_token", "max_new_tokens", "stop_text", "context", "stopped"]


@dataclass
class GeneratedReply:
    """What a model said. `ids` leaves out the prompt and the stop token.

    stopped_by is None while it still speaks, then one of: "stop_token" (it ended by itself), "max_new_tokens"
    (cut by the caller), "stop_text" (a stop string appeared), "context" (the model can read no further), "stopped"
    (a person had enough).
    """

    ids: list[int] = field(default_factory=list)
    stopped_by: StoppedBy | None = None


class Generation(Iterator[int]):
    """One reply as it is written: iterate over it for ids. Whoever stops iterating stops the work.

    Seconds count the model's work only, not what the consumer does between two tokens.
    """

    def __init__(self, decoding: Decoding) -> None:
        self._decoding = decoding
        self.reply = decoding.replies[0]
        self.prompt_tokens = len(decoding.prompts[0])
        self.first_token_seconds = 0.0
        self.seconds = 0.0

    def __next__(self) -> int:
        if self.reply.stopped_by is not None:
            raise StopIteration
        started_at = time.perf_counter()
        before = len(self.reply.ids)
        self._decoding.step()
        spent = time.perf_counter() - started_at
        self.seconds += spent
        if len(self.reply.ids) == before:
            raise StopIteration
        if before == 0:
            self.first_token_seconds = spent
        return self.reply.ids[-1]

    def stop(self, reason: StoppedBy) -> None:
        """Say nothing more, for `reason`; the memory of the cache is given back."""
        self.reply.stopped_by = self.reply.stopped_by or reason
        self._decoding.finish()

    @property
    def tokens_per_second(self) -> float:
        """Decode speed: tokens after the first over the seconds after the first; 0 before there are two."""
        decoding = self.seconds - self.first_token_seconds
        return (len(self.reply.ids) - 1) / decoding if len(self.reply.ids) > 1 and decoding > 0 else 0.0


def generate(
    model: Decoder,
    ids: Sequence[int],
    *,
    max_new_tokens: int,
    sampling: Sampling = GREEDY,
    stop_ids: Collection[int] = (),
) -> Generation:
    """An iterator over the ids of the reply to the prompt `ids`; how it ended is in `.reply.stopped_by`.

    Raises BadInput when the prompt is empty or leaves no room in the model's context.
    """
    return Generation(
        Decoding(model, [ids], max_new_tokens=max_new_tokens, sampling=sampling, stop_ids=stop_ids)
    )


def generate_batch(
    model: Decoder,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    sampling: Sampling = GREEDY,
    stop_ids: Collection[int] = (),
    rows_at_once: int = 64,
) -> list[GeneratedReply]:
    """The replies to all prompts, in order. Row i draws with seed + i, whatever rows stand beside it.

    `rows_at_once` bounds the memory of the cache. Raises BadInput like `generate`.
    """
    replies: list[GeneratedReply] = [GeneratedReply() for _ in prompts]
    by_length = sorted(
        range(len(prompts)), key=lambda row: len(prompts[row])
    )  # neighbours need little padding
    for start in range(0, len(by_length), rows_at_once):
        rows = by_length[start : start + rows_at_once]
        decoding = Decoding(
            model,
            [prompts[row] for row in rows],
            max_new_tokens=max_new_tokens,
            sampling=sampling,
            stop_ids=stop_ids,
            rows=rows,
        )
        while not decoding.finished:
            decoding.step()
        for row, reply in zip(rows, decoding.replies, strict=True):
            replies[row] = reply
    return replies


class Decoding:
    """Prompts being answered together: `step` adds one token to every reply that is still being written."""

    def __init__(
        self,
        model: Decoder,
        prompts: Sequence[Sequence[int]],
        *,
        max_new_tokens: int,
        sampling: Sampling,
        stop_ids: Collection[int],
        rows: Sequence[int] = (0,),
    ) -> None:
        if max_new_tokens < 1:
            raise BadInput(f"max_new_tokens = {max_new_tokens} must be at least 1")
        self.model, self.sampling, self.stop_ids = model, sampling, frozenset(stop_ids)
        self.max_new_tokens, self.context = max_new_tokens, model.config.longest_context
        self.prompts = [self._checked(prompt) for prompt in prompts]
        self.replies = [GeneratedReply() for _ in prompts]
        # A slot is a row of the cache; slots[i] is the reply it writes. Finished slots run idle for a while.
        self.slots = list(range(len(prompts)))
        self.generators = [] if sampling.greedy else [sampling.generator(row) for row in rows]
        self.cache: KVCache | None = None
        self.next_B: Tensor | None = None
        self.seen_BV: Tensor | None = None

    @property
    def finished(self) -> bool:
        """Whether every reply has ended."""
        return not self.slots

    def finish(self) -> None:
        """No more steps; the memory of the cache is given back."""
        self.slots, self.cache, self.next_B, self.seen_BV = [], None, None, None

    @torch.inference_mode()
    def step(self) -> None:
        """Read what is new (at first the prompts), choose a token for every slot, let go of the ended."""
        logits_BV = self._read_prompts() if self.next_B is None else self._read_next(self.next_B)
        self.next_B = self._choose(logits_BV)
        for row, token in zip(self.slots, self.next_B.tolist(), strict=True):
            if self.replies[row].stopped_by is None:
                self._append(row, token)
        running = [slot for slot, row in enumerate(self.slots) if self.replies[row].stopped_by is None]
        if not running:
            self.finish()
        elif (
            len(running) <= len(self.slots) // 2
        ):  # copying the cache at every ending would cost more than it saves
            self._keep(running)

    def _read_prompts(self) -> Tensor:
        """logits_BV after the last token of each prompt; one pass over all of them, padded on the right."""
        lengths = [len(prompt) for prompt in self.prompts]
        weight = self.model.embed_tokens.weight
        self.cache = KVCache(
            self.model.config,
            rows=len(lengths),
            capacity=max(lengths) + self.max_new_tokens,
            heads=self.model.num_key_value_heads,
            device=weight.device,
            dtype=weight.dtype,
        )
        rows = [torch.tensor(prompt) for prompt in self.prompts]
        ids_BT = pad_sequence(rows, batch_first=True).to(weight.device)
        lengths_B = torch.tensor(lengths, device=weight.device)
        self.cache.expect(lengths)
        x_BTD = self.model.hidden(ids_BT, cache=self.cache)
        if self.sampling.repetition_penalty != 1:
            self.seen_BV = torch.zeros(len(rows), self.model.config.vocab_size, dtype=torch.bool)
            for slot, prompt in enumerate(rows):
                self.seen_BV[slot, prompt] = True
            self.seen_BV = self.seen_BV.to(weight.device)
        return self.model.head(x_BTD[torch.arange(len(rows), device=weight.device), lengths_B - 1])

    def _read_next(self, next_B: Tensor) -> Tensor:
        """logits_BV after the tokens chosen last."""
        logits_BTV: Tensor = self.model(next_B[:, None], cache=self.cache)
        return logits_BTV[:, 0]

    def _choose(self, logits_BV: Tensor) -> Tensor:
        next_B = sample_next(logits_BV, self.sampling, generators=self.generators, seen_BV=self.seen_BV)
        if self.seen_BV is not None:
            self.seen_BV.scatter_(1, next_B[:, None], True)
        return next_B

    def _append(self, row: int, token: int) -> None:
        """Note the token in the reply of `row`, and whether that ends it."""
        reply = self.replies[row]
        if token in self.stop_ids:
            reply.stopped_by = "stop_token"
            return
        reply.ids.append(token)
        if len(reply.ids) >= self.max_new_tokens:
            reply.stopped_by = "max_new_tokens"
        elif len(self.prompts[row]) + len(reply.ids) >= self.context:
            reply.stopped_by = "context"

    def _keep(self, running: list[int]) -> None:
        """Let go of all slots but these."""
        assert self.cache is not None and self.next_B is not None
        kept_N = torch.tensor(running, device=self.next_B.device)
        self.cache.keep(kept_N)
        self.next_B = self.next_B[kept_N]
        self.seen_BV = None if self.seen_BV is None else self.seen_BV[kept_N]
        self.slots = [self.slots[slot] for slot in running]
        self.generators = [self.generators[slot] for slot in running] if self.generators else []

    def _checked(self, prompt: Sequence[int]) -> list[int]:
        vocab_size = self.model.config.vocab_size
        if not prompt:
            raise BadInput("the prompt is empty", fix="begin with at least one token")
        if len(prompt) >= self.context:
            raise BadInput(
                f"the prompt has {len(prompt)} tokens, the model reads at most {self.context}",
                fix="shorten it so that the reply has room",
            )
        assert min(prompt) >= 0 and max(prompt) < vocab_size, "ids of another tokenizer"
        return list(prompt)
