"""The stages of a run in one line: `✓ corpus ─ ✓ tokenizer ─ ● pretrain 38 % ─ ○ sft ~4m`."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.content import Content

from tui import words
from tui.run_seen import StageSeen
from tui.widgets.still import StillText

_SAY_THE_WORD = frozenset({"paused", "failed", "stopped", "crashed"})
_SILENT = frozenset({"waiting", "finished", "reused"})
_GLYPHS = frozenset(sign.glyph for sign in words.STAGE_SIGNS.values())


class StageRail(StillText):
    """What is done, what is running, what waits: as much as fits, first the marks, then names, figures, planned times.

    A stage chosen by hand is underlined.
    """

    DEFAULT_CSS = "StageRail { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }"

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._stages: Sequence[StageSeen] = ()
        self._shown = ""

    def show(self, stages: Sequence[StageSeen], *, shown: str = "") -> None:
        """Show `stages`; `shown` is the one chosen by hand, if any."""
        self._stages, self._shown = stages, shown
        lines = (
            rail(stages, shown=shown, planned=True),
            rail(stages, shown=shown),
            rail(stages, shown=shown, figures=False),
            short_rail(stages, shown=shown),
            short_rail(stages, shown=shown, figures=False),
        )
        self.put(next((line for line in lines if line.cell_length <= self.size.width), lines[-1]))

    def on_resize(self, _: events.Resize) -> None:
        """Fit again."""
        self.show(self._stages, shown=self._shown)


def rail(
    stages: Sequence[StageSeen], *, shown: str = "", figures: bool = True, planned: bool = False
) -> Content:
    """Every stage by name; `planned`: with what the plan foresaw for those that wait."""
    return Content.styled(" ─ ", "$faint").join(
        _named(stage, shown=shown, figures=figures, planned=planned) for stage in stages
    )


def short_rail(stages: Sequence[StageSeen], *, shown: str = "", figures: bool = True) -> Content:
    """Names only where something happens: `✓✓✓ ● pretrain 38 % ○○○`."""
    parts: list[Content] = []
    for stage in stages:
        named = stage.name == shown or stage.state not in _SILENT
        sign = words.stage_sign(stage.state)
        space = " " if parts and (named or parts[-1].plain.strip() not in _GLYPHS) else ""
        parts.append(
            Content.assemble(
                space,
                _named(stage, shown=shown, figures=figures) if named else (sign.glyph, sign.color),
            )
        )
    return Content.assemble(*parts)


def _named(stage: StageSeen, *, shown: str, figures: bool, planned: bool = False) -> Content:
    sign = words.stage_sign(stage.state)
    bold = " bold" if stage.state == "running" else ""
    name_color = "$dim" if stage.state in ("waiting", "reused") else "$foreground"
    underline = " underline" if stage.name == shown else ""
    said = ""
    if stage.state in _SAY_THE_WORD:
        said = f" {sign.word}"
    elif figures and stage.state == "running" and (share := words.share(stage.done, stage.total)):
        said = f" {share}"
    elif planned and stage.state == "waiting" and (seconds := words.as_planned(stage.planned_seconds)):
        said = f" {seconds}"
    return Content.assemble(
        (f"{sign.glyph} ", sign.color + bold),
        (stage.name, name_color + bold + underline),
        (said, sign.color + bold),
    )
