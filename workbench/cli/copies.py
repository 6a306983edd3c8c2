"""What `plan` says of near duplicates: which share of pairs is found at which similarity."""

from __future__ import annotations

import textwrap
from typing import Any

from workbench.plan import Plan
from workbench.recipe_corpus import Corpus
from workbench.recipe_dedup import NearDuplicates


def planned_near_duplicates(planned: Plan) -> NearDuplicates | None:
    """The table [corpus.near_duplicates] of a plan; None where there is none."""
    corpus = next((stage.table() for stage in planned.stages if stage.name == "corpus"), None)
    return corpus.near_duplicates if isinstance(corpus, Corpus) else None


def curve_facts(near: NearDuplicates | None) -> dict[str, Any] | None:
    """The same for a program."""
    if near is None:
        return None
    curve = {f"{jaccard:g}": share for jaccard, share in near.curve().items()}
    return {"jaccard": near.jaccard, "permutations": near.bands * near.rows, "found": curve}


def curve_lines(near: NearDuplicates) -> list[str]:
    """The lines for a person."""
    found = ", ".join(f"{_percent(share)} at {jaccard:g}" for jaccard, share in near.curve().items())
    told = (
        f"copies   near from Jaccard {near.jaccard:g} on, each pair compared exactly; {near.bands} bands of "
        f"{near.rows} rows find, of the pairs there are, {found}"
    )
    return textwrap.wrap(told, 80, subsequent_indent=" " * 9)


def _percent(share: float) -> str:
    if share > 0.999:
        return ">99.9%"
    return f"{share:.1%}" if share < 0.01 or share > 0.99 else f"{share:.0%}"
