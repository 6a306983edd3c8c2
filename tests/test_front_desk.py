from __future__ import annotations

from pathlib import Path

import workbench


def test_all_is_sorted_and_true() -> None:
    assert workbench.__all__ == sorted(workbench.__all__)
    for name in workbench.__all__:
        assert getattr(workbench, name) is not None
    assert set(workbench.__all__) <= set(dir(workbench))


def test_unknown_names_are_attribute_errors() -> None:
    assert not hasattr(workbench, "nonsense")


def test_no_room_hides_a_public_name() -> None:
    """`import workbench.launch` would put a module where `workbench.launch` is a function."""
    rooms = {path.stem for path in Path(workbench.__file__).parent.iterdir()}
    assert not rooms & set(workbench.__all__)
