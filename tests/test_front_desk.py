from __future__ import annotations

import workbench


def test_all_is_sorted_and_true() -> None:
    assert workbench.__all__ == sorted(workbench.__all__)
    for name in workbench.__all__:
        assert getattr(workbench, name) is not None
    assert set(workbench.__all__) <= set(dir(workbench))


def test_unknown_names_are_attribute_errors() -> None:
    assert not hasattr(workbench, "nonsense")
