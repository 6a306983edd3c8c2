"""What makes replies in a chat: a trained model, or anything that speaks as one. Knows no protocol and no terminal."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from workbench.data.conversations import Message
from workbench.errors import BadInput


@dataclasses.dataclass(frozen=True)
class Spoken:
    """How a reply ended."""

    text: str
    stopped_by: str
    new_tokens: int
    tokens_per_second: float
    context_tokens: int


class Speaker(Protocol):
    """What makes replies: the pieces of one as they come, then how it ended."""

    context_length: int

    def reply(
        self, messages: Sequence[Message], settings: Mapping[str, Any], stop: Callable[[], bool]
    ) -> Iterator[str | Spoken]:
        """Pieces of text, and a `Spoken` last."""
        ...


class ModelSpeaker:
    """A trained model and its tokenizer as a speaker."""

    def __init__(self, folder: Path) -> None:
        from workbench.model import load_model
        from workbench.tokenizer import Tokenizer
        from workbench.train.crowding import watch_for_crowds

        watch_for_crowds()
        self._model = load_model(folder)
        self._tokenizer = Tokenizer.load(folder)
        self.context_length = self._model.config.max_position_embeddings

    def reply(
        self, messages: Sequence[Message], settings: Mapping[str, Any], stop: Callable[[], bool]
    ) -> Iterator[str | Spoken]:
        """Stream the reply; when the conversation is longer than the context, its oldest turns are left out."""
        from workbench.model import stream_text
        from workbench.model.generate import generate
        from workbench.tokenizer import stop_ids

        room = min(int(settings["max_new_tokens"]), self.context_length // 2)
        prompt = self._prompt(messages, room)
        generation = generate(
            self._model,
            prompt,
            max_new_tokens=min(int(settings["max_new_tokens"]), self.context_length - len(prompt)),
            sampling=sampling_of(settings),
            stop_ids=stop_ids(self._tokenizer),
        )
        text = ""
        for piece in stream_text(generation, self._tokenizer, stop_texts=settings["stop"], is_stopped=stop):
            text += piece
            yield piece
        new_tokens = len(generation.reply.ids)
        yield Spoken(
            text=text,
            stopped_by=str(generation.reply.stopped_by),
            new_tokens=new_tokens,
            tokens_per_second=round(generation.tokens_per_second, 1),
            context_tokens=len(prompt) + new_tokens,
        )

    def _prompt(self, messages: Sequence[Message], room: int) -> list[int]:
        from workbench.tokenizer import render

        kept = list(messages)
        while True:
            ids = render(self._tokenizer, kept, add_generation_prompt=True).ids
            if len(ids) <= self.context_length - room:
                return ids
            oldest = next((i for i, message in enumerate(kept[:-1]) if message.role != "system"), None)
            if oldest is None:
                raise BadInput(
                    f"the message is too long: {len(ids)} tokens, and the model reads {self.context_length - room}",
                    fix="shorten it, or /set max_new_tokens to less",
                )
            del kept[oldest]


def sampling_of(settings: Mapping[str, Any]) -> Any:
    """The sampling that settings ask for. Raises BadInput for a value out of range."""
    from workbench.model import Sampling

    keys = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed")
    return Sampling(**{key: settings[key] for key in keys})
