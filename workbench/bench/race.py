"""Side by side: every system trains on the same tokens for the same seconds, each in its own process, in turn.

What is asked of the curves: how far ours is at the end, and how soon it is where a peer ends.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from workbench.bench.peers import PeerName
from workbench.bench.process import measure_apart
from workbench.bench.race_tokens import RaceTokens
from workbench.bench.settings import OurSettings
from workbench.bench.workload import Workload

Row = dict[str, Any]


def race(
    peers: Sequence[PeerName],
    tokens: RaceTokens,
    workload: Workload,
    settings: OurSettings,
    *,
    seconds: float,
    our_seconds: Sequence[float],
    every: float,
    say: Callable[[str], None],
) -> list[Row]:
    """One row a system, peers first. Ours runs for `seconds` and once more for each of `our_seconds`.

    every: seconds between points of a curve; measuring is not on the clock.
    """
    rows: list[Row] = []

    def run(name: str, system: Mapping[str, Any], seconds: float, python: str | None = None) -> None:
        rows.append(
            _turn(name, system, tokens, workload, seconds=seconds, every=every, say=say, python=python)
        )

    for peer in peers:
        place = None if peer.place is None else str(peer.place)
        run(peer.name, {"system": peer.name, "place": place}, seconds, peer.python)
    for budget in dict.fromkeys((seconds, *our_seconds)):
        name = "workbench" if budget == seconds else f"workbench {budget:g} s"
        run(name, _ours(settings), budget)
    return rows


def race_wins(
    rungs: Sequence[tuple[str, OurSettings]],
    whole: Row,
    tokens: RaceTokens,
    workload: Workload,
    *,
    seconds: float,
    every: float,
    say: Callable[[str], None],
) -> list[Row]:
    """What each win gave: a row a rung, trained for `seconds`; `whole` is the row of the last, which has raced.

    `gives` is by how many bits per byte a row is ahead of the one before it, None for the first.
    """
    *partial, (last, _) = rungs
    rows = [
        _turn(name, _ours(settings), tokens, workload, seconds=seconds, every=every, say=say)
        for name, settings in partial
    ]
    rows.append({**whole, "name": last})
    before: list[Row | None] = [None, *rows]
    return [
        {**row, "gives": None if earlier is None else earlier["bits_per_byte"] - row["bits_per_byte"]}
        for earlier, row in zip(before, rows, strict=False)
    ]


def _ours(settings: OurSettings) -> Row:
    return {"system": "ours", "settings": settings.to_json()}


def _turn(
    name: str,
    system: Mapping[str, Any],
    tokens: RaceTokens,
    workload: Workload,
    *,
    seconds: float,
    every: float,
    say: Callable[[str], None],
    python: str | None = None,
) -> Row:
    """One system's turn, in a process of its own."""

    def tell(point: Mapping[str, Any]) -> None:
        say(
            f"{name}: {point['seconds']:.0f} s, {point['tokens']:,} tokens, {point['bits_per_byte']:.3f} bits/byte"
        )

    job = {
        "kind": "race",
        "tokens": str(tokens.train),
        "heldout": str(tokens.heldout),
        "every": every,
        "workload": workload.to_json(),
        **system,
        "name": name,
        "seconds": seconds,
    }
    measured = measure_apart(job, tell=tell, **({} if python is None else {"python": python}))
    return {"name": name, "budget_seconds": seconds, **measured}


@dataclasses.dataclass(frozen=True, slots=True)
class Comparison:
    """Ours beside one peer. bits_per_byte_ratio: at the end, over all windows; below 1 is better.

    reached_at: seconds after which ours is where the peer ends; None when it never is. `time_ratio` is that as a
    share of the peer's time.
    """

    ours: str
    peer: str
    bits_per_byte_ratio: float
    reached_at: float | None
    time_ratio: float | None
    tokens_per_second_ratio: float
    peak_memory_ratio: float


def compare(ours: Row, peer: Row) -> Comparison:
    """What there is to say about two rows of one race."""
    reached = seconds_to_reach(ours["curve"], peer["curve"][-1]["bits_per_byte"])
    return Comparison(
        ours=ours["name"],
        peer=peer["name"],
        bits_per_byte_ratio=ours["bits_per_byte"] / peer["bits_per_byte"],
        reached_at=reached,
        time_ratio=None if reached is None else reached / peer["seconds"],
        tokens_per_second_ratio=ours["tokens_per_second"] / peer["tokens_per_second"],
        peak_memory_ratio=ours["peak_mb"] / peer["peak_mb"],
    )


def seconds_to_reach(curve: Sequence[Mapping[str, float]], figure: float) -> float | None:
    """When a curve is first at or below `figure`, on a straight line between its points; None if it never is."""
    before: Mapping[str, float] | None = None
    for point in curve:
        if point["bits_per_byte"] <= figure:
            if before is None:
                return point["seconds"]
            fallen = before["bits_per_byte"] - point["bits_per_byte"]
            share = (before["bits_per_byte"] - figure) / fallen
            return before["seconds"] + share * (point["seconds"] - before["seconds"])
        before = point
    return None
