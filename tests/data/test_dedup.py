from __future__ import annotations

from pathlib import Path

from workbench.data.dedup import SeenTexts, folded_digest


def test_case_and_white_space_do_not_count_and_words_do() -> None:
    assert folded_digest("The  Fox\n ran ") == folded_digest("the fox ran")
    assert folded_digest("STRASSE") == folded_digest("straße")
    assert folded_digest("the fox ran") != folded_digest("the foxran")


def test_the_first_stays_and_its_file_goes(tmp_path: Path) -> None:
    with SeenTexts(tmp_path) as seen:
        assert seen.first_with(folded_digest("a"), "one") is None
        assert seen.first_with(folded_digest("b"), "two") is None
        assert seen.first_with(folded_digest("A "), "three") == "one"
        assert seen.first_with(folded_digest("a"), "four") == "one"
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())
