"""What stands where a stage draws no curve: what the stage is for, and what each stage of the run has made so far."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from textual.content import Content

from tui import words
from tui.gauges import STAGES
from tui.run_seen import RunSeen, StageSeen
from workbench.files import human_bytes, human_count

BAR_CELLS = 16
_LEAST_WIDTH = 70
"""Cells from which on a stage at work has a bar besides its figures."""
_NAME_CELLS, _TIME_CELLS = 11, 8

_PURPOSES = {told.name: told.text for told in STAGES}

_Say = Callable[[Any], str]
_count: _Say = "{:,.0f}".format
_three: _Say = "{:.3f}".format
_share: _Say = "{:.0%}".format

MADE: Mapping[str, tuple[tuple[str, _Say, str], ...]] = {
    "corpus": (
        ("read", _count, "read"),
        ("documents", _count, "documents"),
        ("bytes", human_bytes, ""),
    ),
    "tokenizer": (("vocab_size", _count, "entries"), ("bytes_per_token", "{:.2f}".format, "bytes/token")),
    "pack": (("tokens", human_count, "tokens"), ("documents", _count, "documents")),
    "pretrain": (
        ("steps", _count, "steps"),
        ("tokens", human_count, "tokens"),
        ("best_val_bpb", _three, "bits/byte held-out"),
    ),
    "sft": (("examples", _count, "examples"), ("val_loss", _three, "loss held-out")),
    "reward": (("examples", _count, "pairs"), ("val_rewards/accuracies", _share, "of held-out pairs right")),
    "dpo": (("examples", _count, "pairs"), ("val_rewards/accuracies", _share, "of held-out pairs right")),
}
"""What a finished stage is summed up by: a key of its summary, how the number is written, what it counts."""

MODELS = ("start", "pretrain", "sft", "dpo", "ppo")
"""The stages that make a model."""


def stage_board(seen: RunSeen, shown: str, *, width: int, height: int) -> Content:
    """The stages of `seen`, a line each, in `width` cells; above them what `shown` is for, if `height` allows it."""
    lines = [_line(stage, chosen=stage.name == shown, width=width) for stage in seen.stages]
    purpose = _PURPOSES.get(shown, "")
    rows = -(-len(purpose) // max(width - 4, 1)) + 1
    height -= len(lines)
    if purpose and height > rows:
        lines = [Content.styled(purpose, "$dim"), Content(""), *lines]
        height -= rows + 1
    if not seen.stage:
        told = "The worker is starting." if seen.is_live else "This run never came to a stage."
        lines = [Content.styled(told, "$dim"), Content(""), *lines]
    if height >= 2 and (further := _further(seen)).plain:
        lines += [Content(""), further]
    return Content("\n").join(lines)


def _further(seen: RunSeen) -> Content:
    """Where the keys lead from here: to the model of a run that is done, to the curves of its other stages."""
    done = seen.state == "finished" and any(stage.name in MODELS for stage in seen.stages)
    talk = [("t", "$primary bold"), (" talks to the model; ", "$dim")] if done else []
    curves = [("[", "$primary bold"), (" and ", "$dim"), ("]", "$primary bold")]
    curves += [(" go to the curves and samples of another stage.", "$dim")]
    return Content.assemble(*talk, *curves) if seen.curves else Content("")


def _line(stage: StageSeen, *, chosen: bool, width: int) -> Content:
    sign = words.stage_sign(stage.state)
    waits, works = stage.state == "waiting", stage.state in ("running", "paused")
    took = words.as_planned(stage.planned_seconds) if waits else ""
    if stage.seconds is not None:
        took = words.span(stage.seconds)
    style = "bold" if works or chosen else "$dim" if waits else ""
    if waits:
        told = Content.styled(words.STAGE_TASKS.get(stage.name, ""), "$dim")
    elif works:
        told = _progress(stage, width=width)
    else:
        said = Content(", ".join(_made(stage)))
        if stage.name == "eval" and stage.state in ("finished", "reused"):
            said = Content.assemble(("6", "$primary bold"), " shows the scores")
        word = sign.word if stage.state != "finished" else ""
        told = Content.assemble(
            (word, sign.color), "  " if word and said else "", said if said or word else sign.word
        )
    line = Content.assemble(
        (f"{sign.glyph} ", sign.color), (f"{stage.name:<{_NAME_CELLS}}", style),
        (f"{took:>{_TIME_CELLS}}  ", "$dim"), told,
    )  # fmt: skip
    return line.truncate(width, ellipsis=True)


def _progress(stage: StageSeen, *, width: int) -> Content:
    share = words.share(stage.done, stage.total)
    if not share or stage.done is None or not stage.total:
        return Content.styled(words.STAGE_TASKS.get(stage.name, "at work"), "$primary")
    amount: _Say = human_bytes if stage.unit == "bytes" else human_count
    figures = f"{amount(stage.done)} of {amount(stage.total)}" + (
        f" {stage.unit}" if stage.unit != "bytes" else ""
    )
    cells = BAR_CELLS if width >= _LEAST_WIDTH else 0
    full = round(min(stage.done / stage.total, 1.0) * cells)
    return Content.assemble(
        ("━" * full, "$primary"), ("╌" * (cells - full), "$faint"), "  " if cells else "",
        f"{share:>5}  ", (figures, "$dim"),
    )  # fmt: skip


def _made(stage: StageSeen) -> Iterator[str]:
    for key, written, what in MADE.get(stage.name, ()):
        value = stage.summary.get(key)
        if isinstance(value, int | float):
            yield f"{written(value)} {what}".rstrip()
