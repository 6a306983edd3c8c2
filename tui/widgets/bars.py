"""Counts as bars of text: a histogram with a line a bar, the bar in which a threshold lies marked."""

from __future__ import annotations

from textual.content import Content

from workbench.corpus_report import Histogram

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_LEVELS = "▁▂▃▄▅▆▇█"


def bar(share: float, width: int) -> str:
    """`share` of `width` cells, to an eighth of a cell; what is more than nothing is seen."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    if share > 0:
        eighths = max(eighths, 1)
    return "█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")


def spread(histogram: Histogram) -> str:
    """A histogram in one line."""
    most = max(histogram.counts, default=0) or 1
    return "".join(_LEVELS[min(7, count * 8 // most)] if count else " " for count in histogram.counts)


def histogram_lines(histogram: Histogram, *, width: int, limit: object = None) -> Content:
    """A line a bar in `width` cells; `limit`: the threshold to mark."""
    most = max(histogram.counts, default=0) or 1
    figures = max((len(f"{count:,}") for count in histogram.counts), default=1)
    edges = max((len(short(edge)) for edge in histogram.edges), default=1)
    said = f" ← {short(limit)}" if isinstance(limit, int | float) else ""
    room = max(6, min(40, width - 2 * edges - 5 - figures - len(said)))
    lines = []
    for low, high, count in zip(histogram.edges, histogram.edges[1:], histogram.counts, strict=False):
        marked = isinstance(limit, int | float) and low <= limit < high
        lines.append(
            Content.assemble(
                (f"{short(low):>{edges}} – {short(high):<{edges}} ", "$dim"),
                (f"{bar(count / most, room):<{room}}", "$warning" if marked else "$primary"),
                (f" {count:>{figures},}", "" if count else "$faint"),
                (said if marked else "", "$warning bold"),
            )
        )
    return Content("\n").join(lines)


def short(value: float) -> str:
    """A figure in few characters."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
