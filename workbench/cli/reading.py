"""What `plan` says of what pretraining reads: steps, epochs, padding and cuts, a line each."""

from __future__ import annotations

import textwrap

from workbench.ramps import Stretch
from workbench.reading_plan import PlannedReading
from workbench.safe_text import one_line


def reading_lines(reading: PlannedReading) -> list[str]:
    """The lines for a person."""
    lines = _wrapped(f"steps    {', then '.join(map(_stretch, reading.stretches))}")
    about = "" if reading.is_exact else "~"
    epochs = (
        f"{about}{_epochs(count)} of {one_line(name, 40) or 'the corpus'}"
        for name, count in reading.epochs.items()
    )
    lines += _wrapped(f"epochs   {', '.join(epochs)}")
    if reading.padding_share is not None and reading.cut_share is not None:
        lines += _wrapped(
            f"rows     {reading.packing}: {_percent(reading.padding_share)} padding, {_percent(reading.cut_share)} of "
            "the tokens cut off from the start of their text"
        )
    return lines


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(line, 80, subsequent_indent=" " * 9)


def _stretch(stretch: Stretch) -> str:
    return f"{stretch.num_steps:,} of {stretch.batch_tokens:,} tokens in rows of {stretch.context_length:,}"


def _epochs(count: float) -> str:
    return f"{count:,.0f}" if count >= 10 else f"{count:.1f}" if count >= 1 else f"{count:.2g}"


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.1 or share == 0 else f"{share:.2%}"
