"""Named settings of our side: `race`, which goes furthest in minutes on much text, and `plain`, without its wins.

A win is what `--set` would take, so a race can add them one at a time and tell what each gave. They were found in
short races on a CPU (recipes/LOG.md, "what a short training gains"); recipes/sprint.toml is the same as a recipe.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Literal

from workbench.bench.ladder import can_compile
from workbench.bench.settings import OurSettings, parse_settings
from workbench.bench.workload import Workload
from workbench.model_config import MOST_BIGRAM_VOCABULARY

Preset = Literal["race", "plain"]

BIGRAM_ROWS_PER_TOKEN = 3
"""As many parameters as value embeddings in three of six layers, and more gained."""


@dataclasses.dataclass(frozen=True, slots=True)
class Win:
    """One thing that helps, and the assignments that switch it on."""

    name: str
    assignments: tuple[str, ...]


def wins(workload: Workload) -> list[Win]:
    """Those of `race` that mean something for this workload, in the order in which they were found."""
    found: list[Win] = []
    if workload.rows > 1:  # more steps teach more than smoother ones
        half = workload.rows // 2 * workload.context_length
        found.append(Win("half the tokens a step", (f"batch_tokens={half}",)))
    rows = BIGRAM_ROWS_PER_TOKEN * workload.vocab_size
    found += [
        Win("a head of its own", ("tie_word_embeddings=false", "matrix_learning_rate=0.015")),
        Win("layers begin as the identity", ("initializer=zero-residual",)),
        Win("rows for bigrams", (f"bigram_embedding_rows={rows}",)),
    ]
    if workload.vocab_size <= MOST_BIGRAM_VOCABULARY:  # weights that know much already bear smaller steps
        found.append(Win("first weights from bigrams", ("initializer=bigrams", "learning_rate=0.004")))
    if workload.compiled and can_compile(workload.device):
        found.append(Win("compiled layers", ("compiled=true",)))
    return found


def settings_of(preset: Preset, workload: Workload, changes: Sequence[str]) -> OurSettings:
    """Our settings: the preset's, with `changes` of --set on top.

    Raises BadInput for a change that is no key, no value, or contradicts another setting.
    """
    found = wins(workload) if preset == "race" else []
    return parse_settings([*(each for win in found for each in win.assignments), *changes])


def rungs(workload: Workload, changes: Sequence[str]) -> list[tuple[str, OurSettings]]:
    """From `plain` to `race`, one win more each time, with `changes` on top of all: a name and the settings."""
    found = wins(workload)
    names = ["plain", *(f"+ {win.name}" for win in found)]
    sums = itertools.accumulate((win.assignments for win in found), initial=())
    return [(name, parse_settings([*sum_, *changes])) for name, sum_ in zip(names, sums, strict=True)]
