"""What `workbench bench` measured, as tables for a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.cli.output import print_table, result
from workbench.files import human_bytes

Row = dict[str, Any]


def print_speed(facts: dict[str, Any]) -> None:
    """The ladder and peers, then the parts of a step and the cost of Muon."""
    header = ("step", "tokens/s", "lowest-highest", "gives", "MFU", "limit GFLOP/s", "peak MB")
    print_table(header, [_speed_cells(row) for row in facts["rows"]], right=(1, 2, 3, 4, 5, 6))
    shares = ", ".join(f"{part} {share:.0%}" for part, share in facts["parts"].items())
    result(f"\nA step of ours: {shares}.")
    result(f"A step with Muon takes {facts['muon_cost']:.2f} times one with AdamW.")


def _speed_cells(row: Row) -> tuple[str, ...]:
    return (
        row["name"],
        f"{row['tokens_per_second']:,.0f}",
        f"{row['tokens_per_second_min']:,.0f}-{row['tokens_per_second_max']:,.0f}",
        "" if row["times"] is None else f"×{row['times']:.2f}",
        f"{row['mfu']:.2f}",
        f"{row['limit'] / 1e9:,.0f}",
        f"{row['peak_mb']:,.0f}",
    )


def print_scaling(rows: Sequence[Row]) -> None:
    """Step time against size."""
    result("")
    header = ("size", "parameters", "tokens a step", "step s", "tokens/s", "MFU", "time per FLOP")
    cells = [
        (
            row["name"],
            f"{row['parameters']:,}",
            f"{row['tokens']:,}",
            f"{row['step_seconds']:.3f}",
            f"{row['tokens_per_second']:,.0f}",
            f"{row['mfu']:.2f}",
            f"×{row['relative_cost']:.2f}",
        )
        for row in rows
    ]
    print_table(header, cells, right=range(1, 7))


def print_corpus(rows: Sequence[Row]) -> None:
    """What makes a corpus: a table for each area, ours first, and what its judge found."""
    for area in dict.fromkeys(row["area"] for row in rows):
        of_area = [row for row in rows if row["area"] == area]
        figures = list(dict.fromkeys(name for row in of_area for name in row["figures"]))
        header = (area, "MB/s", "lowest-highest", "times", "MB", "peak MB", *figures)
        print_table(header, [_corpus_cells(row, of_area[0], figures) for row in of_area], right=range(1, 99))
        result("")


def _corpus_cells(row: Row, ours: Row, figures: Sequence[str]) -> tuple[str, ...]:
    return (
        row["name"],
        f"{row['mb_per_second']:.3g}",
        f"{row['mb_per_second_min']:.3g}-{row['mb_per_second_max']:.3g}",
        f"×{row['mb_per_second'] / ours['mb_per_second']:.2g}",
        f"{row['bytes'] / 1e6:.1f}",
        f"{row['peak_mb']:,.0f}",
        *(f"{row['figures'][name]:.4g}" if name in row["figures"] else "" for name in figures),
    )


def print_race(facts: dict[str, Any]) -> None:
    """How far every system came, and what that makes of ours."""
    header = ("system", "bits/byte", "seconds", "steps", "tokens", "tokens/s", "MFU", "parameters", "peak MB")
    cells = [
        (
            row["name"],
            f"{row['bits_per_byte']:.3f}",
            f"{row['seconds']:.0f}",
            f"{row['steps']:,}",
            f"{row['tokens']:,}",
            f"{row['tokens_per_second']:,.0f}",
            f"{row['mfu']:.2f}",
            f"{row['parameters']:,}",
            f"{row['peak_mb']:,.0f}",
        )
        for row in facts["rows"]
    ]
    print_table(header, cells, right=tuple(range(1, 9)))
    beside = ", ".join(f"{name} {figure:.3f}" for name, figure in facts["text"]["baselines"].items())
    result(f"\nWithout a network, on the same held-out documents read whole: {beside} bits/byte.")
    ours = [row["tokens"] for row in facts["rows"] if row["name"].startswith("workbench")]
    read = max(ours) / facts["text"]["train_tokens"]
    if read > 1 and facts["settings"]["course"]["initializer"] == "bigrams":
        result(
            f"Ours read the text {read:.1f} times: --settings race is for text that is read once at most; "
            "give more --data, or --settings plain."
        )
    if facts["wins"]:
        _print_wins(facts["wins"])
    for each in facts["comparisons"]:
        result(f"{each['ours']} beside {each['peer']}: {_compared(each)}.")


def _print_wins(rows: Sequence[Row]) -> None:
    """What each win of ours gave, after the same seconds."""
    result("")
    header = ("ours", "bits/byte", "gives", "tokens", "tokens/s", "parameters", "peak MB")
    cells = [
        (
            row["name"],
            f"{row['bits_per_byte']:.3f}",
            "" if row["gives"] is None else f"{row['gives']:+.3f}",
            f"{row['tokens']:,}",
            f"{row['tokens_per_second']:,.0f}",
            f"{row['parameters']:,}",
            f"{row['peak_mb']:,.0f}",
        )
        for row in rows
    ]
    print_table(header, cells, right=range(1, 7))
    result("")


def _compared(each: dict[str, Any]) -> str:
    when = (
        "its final bits per byte is not reached"
        if each["time_ratio"] is None
        else f"its final bits per byte after {each['reached_at']:.0f} s, {each['time_ratio']:.2f} of its time"
    )
    return (
        f"{when}; {each['bits_per_byte_ratio']:.3f} of its bits per byte at the end, "
        f"{each['tokens_per_second_ratio']:.2f} of its tokens/s, {each['peak_memory_ratio']:.2f} of its memory"
    )


def _with_interval(facts: dict[str, Any], name: str) -> str:
    between = facts[f"{name}_interval"]
    told = "" if between is None else f" ({between[0]:.1%} to {between[1]:.1%} in 95 of 100 cases)"
    return f"{facts[f'{name}_by']:.1%}{told}"


def print_tui(facts: dict[str, Any]) -> None:
    """What an open app costs the training that it shows."""
    cells = [
        (row["app"], f"{row['tokens_per_second']:,.0f}", f"{row['tokens_per_cpu_second']:,.0f}")
        for row in facts["rows"]
    ]
    print_table(("app", "tok/s", "tok per CPU s"), cells, right=(1, 2))
    result(
        f"\nA token takes the worker {_with_interval(facts, 'more_cpu')} more CPU time with the app open "
        f"(limit {facts['limit']:.0%}): what the app costs a training that has its cores for itself."
    )
    result(
        f"By the clock training is slower by {_with_interval(facts, 'slower')}, whatever else ran meanwhile."
    )
    memory = human_bytes(facts["app_resident_bytes"])
    result(
        f"The app itself takes {facts['app_cpu_share']:.1%} of a core, which comes on top where none is spare; "
        f"it holds {memory} of memory and writes {facts['app_bytes_per_second']:,.0f} bytes/s."
    )
    if facts["keys"]:
        half, most, limit = (
            f"{1000 * facts[f'echo_{name}_seconds']:.0f} ms" for name in ("p50", "p90", "limit")
        )
        result(
            f"A key is answered within {half} (half of {facts['keys']}), {most} (nine in ten; limit {limit})."
        )
