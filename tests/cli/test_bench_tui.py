"""What `bench tui` makes of its windows; the measuring itself takes minutes."""

from __future__ import annotations

from typing import Any

import pytest

from workbench.cli.bench_tables import print_tui
from workbench.cli.bench_tui import Window, summed_up


def windows(*speeds: float) -> list[Window]:
    """Closed, open, open, closed, …"""
    return [
        Window(number % 4 in (1, 2), speed, speed / 2, 0.02, 5000.0) for number, speed in enumerate(speeds)
    ]


def test_the_headline_is_the_share_that_is_lost() -> None:
    facts = summed_up(windows(1000, 990, 970, 1000))
    assert facts["slower_by"] == pytest.approx(0.02) and facts["stderr"] == pytest.approx(0.01)
    assert facts["more_cpu_by"] == pytest.approx(1 / 0.98 - 1) and facts["more_cpu_stderr"] == pytest.approx(
        0.01
    )
    assert facts["app_cpu_share"] == pytest.approx(0.02)


def test_a_drift_weighs_on_both_alike() -> None:
    assert summed_up(windows(1000, 1010, 1020, 1030))["slower_by"] == pytest.approx(0.0)


def test_it_is_told_with_its_error(capsys: pytest.CaptureFixture[str]) -> None:
    facts: dict[str, Any] = summed_up(windows(1000, 990, 970, 1000))
    print_tui(facts)
    said = capsys.readouterr().out
    assert (
        "slower by 2.0% ± 1.0%" in said
        and "2.0% ± 1.0% more CPU time" in said
        and "limit 1%" in said
        and "2.0% of a core" in said
    )
