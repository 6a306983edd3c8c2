"""The stages of a run in one line: `✓ corpus ─ ✓ tokenizer ─ ● pretrain 38 % ─ ○ sft`."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from tui import words
from tui.feed import StageSeen
from tui.widgets.still import StillText

_SAY_THE_WORD = frozenset({"paused", "failed", "stopped", "crashed"})
_SILENT = frozenset({"waiting", "finished", "reused"})
_GLYPHS = frozenset(sign.glyph for sign in words.STAGE_SIGNS.values())


class StageRail(StillText):
    """What is done, what is running, what waits. A stage chosen by hand is underlined."""

    DEFAULT_CSS = "StageRail { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }"

    def show(self, stages: Sequence[StageSeen], *, shown: str = "") -> None:
        """Show `stages`; `shown` is the one chosen by hand, if any."""
        line = rail(stages, shown=shown)
        self.put(line if line.cell_length <= self.size.width else short_rail(stages, shown=shown))


def rail(stages: Sequence[StageSeen], *, shown: str = "") -> Content:
    """Every stage by name."""
    return Content.styled(" ─ ", "$faint").join(_named(stage, shown=shown) for stage in stages)


def short_rail(stages: Sequence[StageSeen], *, shown: str = "") -> Content:
    """Names only where something happens: `✓✓✓ ● pretrain 38 % ○○○`."""
    parts: list[Content] = []
    for stage in stages:
        named = stage.name == shown or stage.state not in _SILENT
        sign = words.stage_sign(stage.state)
        space = " " if parts and (named or parts[-1].plain.strip() not in _GLYPHS) else ""
        parts.append(
            Content.assemble(space, _named(stage, shown=shown) if named else (sign.glyph, sign.color))
        )
    return Content.assemble(*parts)


def _named(stage: StageSeen, *, shown: str) -> Content:
    sign = words.stage_sign(stage.state)
    bold = " bold" if stage.state == "running" else ""
    name_color = "$dim" if stage.state in ("waiting", "reused") else "$foreground"
    underline = " underline" if stage.name == shown else ""
    if stage.state in _SAY_THE_WORD:
        said = f" {sign.word}"
    else:
        share = words.share(stage.done, stage.total) if stage.state == "running" else ""
        said = f" {share}" if share else ""
    return Content.assemble(
        (f"{sign.glyph} ", sign.color + bold),
        (stage.name, name_color + bold + underline),
        (said, sign.color + bold),
    )
