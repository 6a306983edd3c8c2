from __future__ import annotations

from dataclasses import fields

import pytest
from pydantic import ValidationError

from workbench.corpus.repeated_parts import PartSettings
from workbench.corpus.sketches import MinHash
from workbench.recipe_dedup import Decontamination, NearDuplicates, RepeatedParts


def test_the_defaults_are_those_of_the_craft() -> None:
    near, parts = NearDuplicates(), RepeatedParts()
    assert MinHash(**{each.name: getattr(near, each.name) for each in fields(MinHash)}) == MinHash()
    assert (
        PartSettings(**{each.name: getattr(parts, each.name) for each in fields(PartSettings)})
        == PartSettings()
    )


def test_the_curve_says_what_is_found_at_the_threshold_and_around_it() -> None:
    curve = NearDuplicates(jaccard=0.77).curve()
    assert list(curve) == sorted(curve)
    assert curve[0.77] > 0.98 and curve[0.9] > 0.9999 and curve[0.5] < 0.3
    assert list(curve.values()) == sorted(curve.values())


@pytest.mark.parametrize(
    ("table", "values", "said"),
    [
        (NearDuplicates, {"bands": 100, "rows": 100}, "bands x rows = 10000 is above 4096"),
        (NearDuplicates, {"jaccard": 0.0}, "greater than 0"),
        (NearDuplicates, {"keep": "best"}, "'first' or 'longest'"),
        (NearDuplicates, {"memory_bytes": 10}, "greater than or equal to 1000000"),
        (Decontamination, {}, "Field required"),
        (Decontamination, {"against": []}, "at least 1"),
    ],
)
def test_what_cannot_be_is_refused(table: type, values: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        table(**values)
