"""The first line of a run: its name, its state in a glyph and a word, and how old what is shown is."""

from __future__ import annotations

from textual.content import Content

from tui import words
from tui.run_seen import RunSeen
from tui.widgets.still import StillText

STALE_SECONDS = 10.0
"""The worker's heart beats every second; ten missed beats of a live run are worth a look."""
STALE_TIMES = 3.0
"""So many times the usual silence without a step, while the heart beats on, are worth one too."""


class RunHeader(StillText):
    """Name, state, times."""

    DEFAULT_CSS = "RunHeader { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }"

    def show(self, seen: RunSeen, *, now: float, frozen: bool = False) -> None:
        """Show the run; `frozen` says that the person wants the screen to stand still."""
        lines = [headline(seen, now=now, frozen=frozen, times=times) for times in (4, 3, 2, 1)]
        room = self.size.width or self.app.size.width
        self.put(next((line for line in lines if line.cell_length <= room), lines[-1]))


def headline(seen: RunSeen, *, now: float, frozen: bool = False, times: int = 4) -> Content:
    """The line itself, with so many `times`: when it was heard of, how long it took, still takes, when it was saved."""
    sign = words.run_sign(seen.state)
    parts: list[Content | str | tuple[str, str]] = [
        (seen.name, "bold"),
        "  ",
        (str(sign), f"{sign.color} bold"),
    ]
    if frozen:
        parts.append(("  frozen: p goes on", "$warning"))
    if seen.told_at is not None and times > 1:
        works = seen.is_live and seen.ended_at is None
        parts.append((f"  {words.span(seen.seconds + (now - seen.told_at if works else 0.0))}", "$dim"))
    if seen.left is not None and times > 2:
        parts.append((f"  left {words.about(*seen.left)}", "$dim"))
    if seen.checkpoint_at is not None and seen.is_live and times > 3:
        parts.append((f"  saved {words.age(now - seen.checkpoint_at)}", "$dim"))
    if seen.behind:
        parts.append((f"  reading… {seen.read_share:.0%}", "$dim"))
    elif seen.heard_at is not None:
        silent = now - seen.heard_at
        stale = seen.is_live and silent > STALE_SECONDS
        verb = (
            "! silent, heard"
            if stale
            else "ended"
            if seen.ended_at is not None and not seen.is_live
            else "heard"
        )
        told = words.age(silent) if seen.is_live else words.coarse_age(silent)  # what is over stands still
        parts.append((f"  {verb} {told}", "$warning" if stale else "$dim"))
        if not stale and (stuck := stuck_for(seen, now=now)) is not None:
            parts.append((f"  ! no news for {words.span(stuck)}", "$warning"))
    return Content.assemble(*parts)


def stuck_for(seen: RunSeen, *, now: float) -> float | None:
    """How long a run that works has told nothing, where that is much longer than usual; None where all is well."""
    if seen.state != "running" or seen.told_at is None or seen.usual_silence is None:
        return None
    silent = now - seen.told_at
    return silent if silent > max(STALE_TIMES * seen.usual_silence, STALE_SECONDS) else None
