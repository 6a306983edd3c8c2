"""Ids to text as they come: no half characters, no piece of a stop string, nothing lost.

A token of a byte-level tokenizer may end in the middle of a character; a terminal must never see that half.
And a stop string may be spread over several tokens: what could be its beginning waits until that is decided.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from workbench.errors import BadInput
from workbench.model.generate import Generation


class SpellsTokens(Protocol):
    """What the stream needs of a tokenizer."""

    def token_bytes(self, token_id: int, /) -> bytes:
        """The bytes of text a token stands for: none for a special token."""
        ...


class TextStream:
    """Feed ids, get text; `stopped_by_text` is the stop string that ended it, or None.

    All pieces together are the UTF-8 text of the ids up to the first stop string, which is left out. Bytes
    that are no UTF-8 become U+FFFD, as in `bytes.decode(errors="replace")`.
    """

    def __init__(self, tokenizer: SpellsTokens, *, stop_texts: Sequence[str] = ()) -> None:
        if "" in stop_texts:
            raise BadInput("a stop string is empty", fix="leave it out")
        self._tokenizer = tokenizer
        self._stop_texts = tuple(stop_texts)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._waiting = ""
        self.stopped_by_text: str | None = None

    def feed(self, token: int) -> str:
        """The text that is certain after this token; often empty."""
        return self._take(self._decoder.decode(self._tokenizer.token_bytes(token)))

    def flush(self) -> str:
        """The end: what still waited, an unfinished character as U+FFFD."""
        text = self._take(self._decoder.decode(b"", final=True))
        if self.stopped_by_text is None:
            text, self._waiting = text + self._waiting, ""
        return text

    def _take(self, text: str) -> str:
        if self.stopped_by_text is not None:
            return ""
        self._waiting += text
        found = [(at, stop) for stop in self._stop_texts if (at := self._waiting.find(stop)) >= 0]
        if found:
            at, self.stopped_by_text = min(found)
            certain, self._waiting = self._waiting[:at], ""
        else:
            keep = max((overlap(self._waiting, stop) for stop in self._stop_texts), default=0)
            cut = len(self._waiting) - keep
            certain, self._waiting = self._waiting[:cut], self._waiting[cut:]
        return certain


def overlap(text: str, stop: str) -> int:
    """The length of the longest end of `text` that is a beginning of `stop`, the whole of it excepted."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)


def stream_text(
    generation: Generation,
    tokenizer: SpellsTokens,
    *,
    stop_texts: Sequence[str] = (),
    is_stopped: Callable[[], bool] = lambda: False,
) -> Iterator[str]:
    """The reply in pieces of whole characters. A stop string ends the generation ("stop_text").

    is_stopped: asked after every token, also after one that finishes no character; True ends it ("stopped"), and what
    that token says is left out.
    """
    stream = TextStream(tokenizer, stop_texts=stop_texts)
    if is_stopped():  # before the prompt is read
        generation.stop("stopped")
    for token in generation:
        if is_stopped():
            generation.stop("stopped")
            return
        if piece := stream.feed(token):
            yield piece
        if stream.stopped_by_text is not None:
            generation.stop("stop_text")
            return
    if piece := stream.flush():
        yield piece
