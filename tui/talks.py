"""What was said to each model: it outlives the screen that shows it, and the app.

In this window a conversation is there again whenever its model is talked to; of each model the last one also lies in
the home, in the form of `/save`, for the owner's eyes only. A window that only looks keeps nothing there.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from textual.app import App

from tui.widgets.transcript import TURNS_KEPT, Turn
from workbench.errors import WorkbenchError
from workbench.safe_text import SafeStream, one_line
from workbench.saved_chat import read_chat, write_chat

FOLDER = "chats"
MOST_KEPT = 100
"""Conversations in the home: one of each model that was talked to, those of the last ones."""
LONGEST_KEPT = 300_000
"""Characters of one that are kept and told again, the last messages: far more than any model here reads, and less than
one line to it may hold."""
LONGEST_TURN = 100_000
"""Characters of one message that are shown."""
_ROLES = {"you": "user", "model": "assistant"}


@dataclass(eq=False)
class Talk:
    """One conversation: the prompt it began with, its turns, and how its replies are sampled.

    What is shown grows in `turns`; notes are among them, and are no part of what was said.
    """

    reference: str
    system: str = ""
    turns: list[Turn] = field(default_factory=list)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def said(self) -> list[Turn]:
        """What both sides know: without notes, and without what the model refused to hear."""
        return [turn for turn in self.turns if turn.who == "model" or (turn.who == "you" and turn.said)]

    def messages(self, *, without: Collection[Turn | None] = ()) -> list[dict[str, str]]:
        """It as a model is told it, `{"role", "content"}`: the last LONGEST_KEPT characters, from a person's turn on.

        without: turns that it is told otherwise.
        """
        room, kept = LONGEST_KEPT - len(self.system), list[dict[str, str]]()
        for turn in reversed([turn for turn in self.said if turn not in without]):
            room -= len(turn.said)
            if room < 0:
                break
            kept.append({"role": _ROLES[turn.who], "content": turn.said})
        while kept and kept[-1]["role"] != "user":
            kept.pop()
        return [{"role": "system", "content": self.system}] * bool(self.system) + kept[::-1]

    def take(self, messages: Sequence[Mapping[str, str]]) -> None:
        """Be these messages from now on, the last of them."""
        self.system, turns = "", list[Turn]()
        for message in messages:
            who = next((who for who, role in _ROLES.items() if role == message["role"]), None)
            if who is not None:
                clean = SafeStream(limit=LONGEST_TURN)
                shown = clean.feed(message["content"]) + clean.close()
                turns.append(Turn(who, shown, said=message["content"]))
            elif message["role"] == "system":
                self.system = message["content"]
        self.turns[:] = turns[-TURNS_KEPT:]

    def taken_up(self, reference: str = "") -> Talk:
        """A copy to go on with: without notes, every turn at its end. With `reference`, for that other model to hear.

        The other one hears the replies of this one, which say so.
        """
        turns = []
        for turn in self.said:
            footnote = turn.footnote if turn.is_finished else turn.footnote or "not finished"
            if reference and turn.who == "model":
                footnote = f"said by {self.reference}"
            turns.append(Turn(turn.who, turn.text, footnote, said=turn.said))
        return Talk(reference or self.reference, self.system, turns, self.settings)


class Talks:
    """The conversation with each model, in memory; in `folder`, unless it is None, for the next time."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._held: dict[str, Talk] = {}
        self._kept: dict[str, list[dict[str, str]]] = {}

    def take_up(self, reference: str) -> Talk:
        """The conversation with `reference` as it was left; what the view that had it still hears is not for it."""
        held = self._held.get(reference)
        self._held[reference] = held.taken_up() if held is not None else self._read(reference)
        return self._held[reference]

    def keep(self, talk: Talk) -> None:
        """It has changed. Nothing is kept of one that was taken up by another view, or that stands beside one."""
        if self._folder is None or self._held.get(talk.reference) is not talk:
            return
        path, messages = self._path(talk.reference), talk.messages()
        if messages == self._kept.get(talk.reference):
            return
        self._kept[talk.reference] = messages
        with contextlib.suppress(OSError, WorkbenchError):  # a full disk is no reason to stop talking
            if not messages:
                path.unlink(missing_ok=True)
                return
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            is_new = not path.exists()
            write_chat(path, messages, durable=False)
            if is_new:
                self._forget_oldest()

    def _read(self, reference: str) -> Talk:
        talk = Talk(reference)
        if self._folder is not None and self._path(reference).is_file():
            try:
                talk.take(read_chat(self._path(reference)))
            except WorkbenchError as error:
                talk.turns.append(
                    Turn("note", one_line(f"what was said the last time is lost: {error}", 300))
                )
        self._kept[reference] = talk.messages()
        return talk

    def _path(self, reference: str) -> Path:
        """A file name that tells a person which model it is, and that no two models share."""
        assert self._folder is not None
        name = re.sub(r"[^A-Za-z0-9.@-]+", "-", reference).strip("-.")[:60]
        digest = hashlib.blake2b(reference.encode(errors="surrogatepass"), digest_size=4).hexdigest()
        return self._folder / f"{name}-{digest}.json"

    def _forget_oldest(self) -> None:
        assert self._folder is not None
        kept = sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
        for path in kept[:-MOST_KEPT]:
            path.unlink(missing_ok=True)


def talks_of(app: App[Any]) -> Talks:
    """Those of `app`; of an app that has none, new ones."""
    talks = getattr(app, "talks", None)
    return talks if isinstance(talks, Talks) else Talks(None)
