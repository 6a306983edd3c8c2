"""Which charts a stage is worth, and which of them have a place."""

from __future__ import annotations

from pathlib import Path

from textual.app import App, ComposeResult

from tui.chart.picture import Held, View, picture
from tui.chart.track import StageCurves
from tui.plots import plots_of
from tui.state import State
from tui.theme import THEMES
from tui.widgets.chart import Chart
from tui.widgets.charts import Charts

PREFERENCES = ("loss", "rewards/margins", "rewards/accuracies", "rewards/chosen", "rewards/rejected")


def curves_of(*metrics: str, steps: int = 20) -> StageCurves:
    curves = StageCurves()
    for step in range(1, steps + 1):
        row = {name: step + place / 10 for place, name in enumerate(metrics)}
        curves.training.add(step, step * 10, step, row)
    return curves


def titles(stage: str, *metrics: str) -> list[str]:
    return [plot.title for plot in plots_of(stage, curves_of(*metrics))]


def test_chosen_and_rejected_stand_in_one_chart() -> None:
    plots = plots_of("dpo", curves_of(*PREFERENCES, "tokens_per_second"))
    assert [plot.title for plot in plots] == [
        "dpo loss", "reward margin", "reward accuracy", "chosen, rejected", "tokens/s",
    ]  # fmt: skip
    both = plots[3]
    head = picture(both.title, both.lines, View(smoothing=0), width=38, height=7, held=Held())[0][0]
    assert "chosen, rejected  ● 20.3 ▲ 20.4" in head, "its title says which is which"
    assert titles("dpo", "loss", "rewards/chosen") == ["dpo loss", "reward of chosen"], (
        "one alone has its own"
    )


def test_a_training_that_is_judged_shows_its_reward_first() -> None:
    assert titles("ppo", "loss", "kl", "entropy", "tokens_per_second", "reward")[:4] == [
        "reward", "ppo loss", "KL", "entropy",
    ]  # fmt: skip


class _App(App[None]):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.state = State(folder / "state.json")

    def compose(self) -> ComposeResult:
        yield Charts()


async def test_no_metric_is_shown_twice_while_another_is_shown_nowhere(tmp_path: Path) -> None:
    app = _App(tmp_path)
    for theme in THEMES.values():
        app.register_theme(theme)
    app.theme = THEMES["dark"].name
    async with app.run_test(size=(80, 12)) as pilot:
        charts = app.query_one(Charts)

        def shown() -> list[str]:
            return [chart.title for chart in charts.query(Chart) if chart.display]

        charts.show(plots_of("sft", curves_of("loss", "tokens_per_second", "grad_norm")))
        await pilot.pause()
        assert shown() == ["sft loss", "tokens/s"]
        for expected in ("gradient norm", "sft loss", "gradient norm"):
            await pilot.press("m")
            assert shown() == [expected, "tokens/s"]
        charts.show(plots_of("dpo", curves_of("loss", "tokens_per_second", "grad_norm")))
        await pilot.pause()
        assert shown() == ["dpo loss", "tokens/s"], "another stage begins with what is telling there"
        await pilot.press("m", "z", "m")
        assert shown() == ["dpo loss"], "alone it goes through all of them"
