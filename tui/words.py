"""States and figures in few words: what the widgets write. Knows no widget and no colour value."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

from workbench.files import human_count, human_duration


@dataclass(frozen=True, slots=True)
class Sign:
    """A state to see: a glyph, a word, and the theme variable that colours both."""

    glyph: str
    word: str
    color: str

    def __str__(self) -> str:
        return f"{self.glyph} {self.word}"


RUN_SIGNS = {
    "pending": Sign("○", "starting", "$dim"),
    "running": Sign("●", "running", "$primary"),
    "paused": Sign("◐", "paused", "$warning"),
    "finished": Sign("✓", "finished", "$success"),
    "failed": Sign("✗", "failed", "$error"),
    "stopped": Sign("◌", "stopped", "$warning"),
    "crashed": Sign("?", "crashed", "$error"),
}

STAGE_SIGNS = {
    "waiting": Sign("○", "waiting", "$dim"),
    "running": Sign("●", "running", "$primary"),
    "paused": Sign("◐", "paused", "$warning"),
    "finished": Sign("✓", "done", "$success"),
    "reused": Sign("✓", "reused", "$dim"),
    "failed": Sign("✗", "failed", "$error"),
    "stopped": Sign("◌", "stopped", "$warning"),
    "crashed": Sign("?", "crashed", "$error"),
}

STAGE_TASKS = {
    "start": "begins with given weights",
    "corpus": "reads and cleans the text",
    "tokenizer": "learns to cut text in pieces",
    "pack": "lays the pieces in rows",
    "pretrain": "learns to continue a text",
    "sft": "learns to answer",
    "reward": "learns to judge answers",
    "dpo": "learns which answer is better",
    "ppo": "learns from judged answers",
    "eval": "is measured on unseen text",
    "export": "is packed for other programs",
}
"""What a stage does, in TASK_CELLS at the most."""
TASK_CELLS = 29

_UNKNOWN = Sign("?", "unknown", "$warning")


def run_sign(state: str) -> Sign:
    """How a run's state is shown."""
    return RUN_SIGNS.get(state, _UNKNOWN)


def stage_sign(state: str) -> Sign:
    """How a stage's state is shown."""
    return STAGE_SIGNS.get(state, _UNKNOWN)


def figure(value: object, digits: int = 3) -> str:
    """A number to `digits` places, a dash where there is none; what is not a number (`"nan"`) as it is."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.{digits}f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def fit(text: str, cells: int, *, end: int = 0) -> str:
    """`text` in exactly `cells` cells; an ellipsis stands for what is cut out before its last `end` characters."""
    if cell_len(text) <= cells:
        return set_cell_size(text, cells)
    tail = text[-end:] if end and cell_len(text[-end:]) < cells - 1 else ""
    head = set_cell_size(text, max(cells - 1 - cell_len(tail), 0)).rstrip()
    return set_cell_size(f"{head}…{tail}", cells)


def rate(value: object) -> str:
    """Tokens per second: 401000 -> "401k tok/s"."""
    return f"{human_count(value)} tok/s" if isinstance(value, int | float) and value > 0 else "–"


def share(done: float | None, total: float | None) -> str:
    """38 % done as "38 %"; empty when the total is unknown."""
    if done is None or not total:
        return ""
    return f"{min(done / total, 1.0) * 100:.0f} %"


def span(seconds: float | None) -> str:
    """A duration in whole seconds, "2h 46m" from an hour on; a dash where there is none."""
    if seconds is None:
        return "–"
    return f"{max(seconds, 0.0):.0f}s" if seconds < 59.5 else human_duration(seconds)


def about(seconds: float, within: float) -> str:
    """A duration that is not sure: "~2h 41m ±6m"."""
    return f"~{span(seconds)} {give_or_take(within)}".rstrip()


def give_or_take(seconds: float | None) -> str:
    """How unsure a duration is, "±20m"; empty below a second."""
    return f"±{_in_one_unit(seconds)}" if seconds is not None and seconds >= 1 else ""


def as_planned(seconds: float | None) -> str:
    """How long something was planned to take, "~20m"; empty below a second."""
    return f"~{_in_one_unit(seconds)}" if seconds is not None and seconds >= 1 else ""


def _in_one_unit(seconds: float) -> str:
    """More digits would claim to know."""
    for unit, size, most in (("s", 1, 90), ("m", 60, 90 * 60), ("h", 3600, 36 * 3600)):
        if seconds < most:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds / 86400:.0f}d"


def age(seconds: float | None) -> str:
    """How long ago: "just now" below two seconds, "42s ago", "3h 05m ago"."""
    if seconds is None:
        return "–"
    return "just now" if seconds < 2 else f"{span(seconds)} ago"


def coarse_age(seconds: float) -> str:
    """How long ago, in whole minutes, hours or days: what stands beside many lines must rarely change."""
    if seconds < 60:
        return "just now"
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size:.0f}{unit} ago"
    raise AssertionError
