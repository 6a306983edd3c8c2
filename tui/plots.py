"""Which charts a stage is worth: the known metrics of each kind of training first, then whatever else it measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tui.chart.picture import Line
from tui.chart.track import StageCurves
from tui.widgets.charts import Plot

TITLES = {
    "loss": "loss",
    "tokens_per_second": "tokens/s",
    "grad_norm": "gradient norm",
    "learning_rate": "learning rate",
    "mfu": "MFU",
    "data_wait_share": "data wait",
    "core_wait_share": "core wait",
    "rewards/margins": "reward margin",
    "rewards/accuracies": "reward accuracy",
    "rewards/chosen": "reward of chosen",
    "rewards/rejected": "reward of rejected",
    "kl": "KL",
}
TOGETHER = ("rewards/chosen", "rewards/rejected")
"""Two metrics that tell something only beside each other: in one chart, whose title names them in their order."""
HELD_OUT = {"val_loss": "held-out loss", "val_bpb": "bits per byte"}
FIRST = (
    "reward",  # of a training that is judged: its loss says nothing of how well it goes
    "loss",
    "rewards/margins",
    "rewards/accuracies",
    "rewards/chosen",
    "rewards/rejected",
    "kl",
    "entropy",
)
LATER = ("tokens_per_second", "grad_norm", "learning_rate", "mfu", "data_wait_share", "core_wait_share")


def title_of(stage: str, metric: str) -> str:
    """`pretrain loss`, `gradient norm`: the loss alone differs in meaning from stage to stage."""
    name = TITLES.get(metric, metric)
    return f"{stage} {name}" if metric == "loss" else name


def metrics_of(curves: StageCurves) -> list[str]:
    """The metrics that can be plotted, the telling ones first."""
    known = curves.training.metrics
    found = [name for name in (*FIRST, *LATER) if name in known]
    others = sorted(name for name in known if name not in found)
    only_measured = sorted(
        name
        for name in curves.measured.metrics
        if name.removeprefix("val_") not in known and name not in known
    )
    return [*found, *others, *only_measured]


def plots_of(stage: str, curves: StageCurves | None) -> list[Plot]:
    """The charts of one stage, in the order in which they get a place."""
    return list(_plots(stage, curves)) if curves is not None else []


def _plots(stage: str, curves: StageCurves) -> Iterator[Plot]:
    found = metrics_of(curves)
    together = set(TOGETHER) <= set(found)
    for metric in found:
        if not (together and metric in TOGETHER):
            yield Plot(title_of(stage, metric), (_line(curves, metric),))
        elif metric == TOGETHER[0]:
            lines = (Line(curves, each, f"val_{each}", number=number) for number, each in enumerate(TOGETHER))
            yield Plot("chosen, rejected", tuple(lines))


def compared(stage: str, runs: Sequence[tuple[int, str, StageCurves]]) -> list[Plot]:
    """One chart a metric that any of the runs (number, label, curves) has, with a line for each of them."""
    names: dict[str, None] = {}
    for _, _, curves in runs:
        names |= dict.fromkeys(metrics_of(curves))
    held_out = [
        name for name in ("val_loss", "val_bpb") if any(name in one.measured.metrics for _, _, one in runs)
    ]
    plots = [
        Plot(
            title_of(stage, metric),
            tuple(Line(curves, metric, "", label, number) for number, label, curves in runs),
        )
        for metric in names
        if metric not in held_out
    ]
    measured = [
        Plot(HELD_OUT[name], tuple(Line(curves, name, name, label, number) for number, label, curves in runs))
        for name in held_out
    ]
    return [*plots[:1], *measured, *plots[1:]]


def _line(curves: StageCurves, metric: str) -> Line:
    if metric in curves.training.metrics:
        return Line(curves, metric, f"val_{metric}")
    return Line(curves, metric, metric)
