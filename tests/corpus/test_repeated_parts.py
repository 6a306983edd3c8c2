from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from workbench.corpus.repeated_parts import PartSettings, RepeatedParts, Unit, part_digests, without_parts

NOTICE = "We use cookies to make this page better. Accept all."


def without(folder: Path, texts: list[str], settings: PartSettings) -> list[tuple[str, int]]:
    with RepeatedParts(folder, settings, memory_bytes=1) as parts:
        for number in reversed(range(len(texts))):
            parts.add(np.array([number]), part_digests([texts[number]], settings))
        assert list(parts.decide()) is not None
        gone = dict(parts.repeated())
        assert list(gone) == sorted(gone) and dict(parts.repeated()) == gone
    found = [
        (without_parts(text, settings.unit, gone.get(number, [])), len(gone.get(number, [])))
        for number, text in enumerate(texts)
    ]
    assert not folder.exists()
    return found


@pytest.mark.parametrize("memory", [1, 3])
def test_the_first_copies_stay_and_later_ones_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: int
) -> None:
    monkeypatch.setattr("workbench.corpus.sorted_records._SMALLEST_READ", memory)
    texts = [f"Story {n}.\n\n{NOTICE.upper() if n == 1 else NOTICE}\n\nThe end of {n}." for n in range(4)]
    one = without(tmp_path / "parts", texts, PartSettings())
    assert one == [(texts[0], 0), *((f"Story {n}.\n\nThe end of {n}.", 1) for n in (1, 2, 3))]
    two = without(tmp_path / "parts", texts, PartSettings(copies=2))
    assert two == [(texts[0], 0), (texts[1], 0), *((f"Story {n}.\n\nThe end of {n}.", 1) for n in (2, 3))]


def test_repeats_within_a_document_go_too_and_short_parts_stay(tmp_path: Path) -> None:
    lines = [NOTICE, "}", NOTICE, "}", "  indented stays as it is, and so do blank lines", "", "}"]
    settings = PartSettings(unit="line", min_characters=10)
    ((text, count),) = without(tmp_path / "parts", ["\n".join(lines)], settings)
    assert (text, count) == ("\n".join([*lines[:2], *lines[3:]]), 1)


@pytest.mark.parametrize("unit", ["line", "paragraph"])
def test_a_document_of_nothing_new_is_empty(tmp_path: Path, unit: Unit) -> None:
    found = without(tmp_path / "parts", [NOTICE, f"{NOTICE}\n\n{NOTICE}"], PartSettings(unit=unit))
    assert found == [(NOTICE, 0), ("", 2)]
