"""What a plan says of the reading to come: guessed before the tokens are there, exact after."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.cli.reading import reading_lines
from workbench.document_lengths import LENGTHS_FILE, read_lengths, write_lengths
from workbench.plan import Plan, make_plan
from workbench.reading_plan import planned_reading
from workbench.recipe_file import load_recipe

RECIPE = """name = "x"
[corpus]
sources = ["web.txt", "book.txt"]
[tokenizer]
[pack]
[model]
size = "1m"
[pretrain]
tokens = "1M"
"""


@pytest.fixture
def planned(write_recipe: Callable[[str], Path], tmp_path: Path, home: Path) -> Callable[..., Plan]:
    (tmp_path / "web.txt").write_bytes(b"x" * 1_440_000)
    (tmp_path / "book.txt").write_bytes(b"x" * 360_000)

    def plan(keys: str = "") -> Plan:
        return make_plan(load_recipe(write_recipe(RECIPE + keys)))

    return plan


def make_tokens(plan: Plan, lengths: dict[str, dict[int, int]]) -> None:
    """Leave what the pack stage leaves for a plan to read."""
    folder = plan.store.folder(plan.stage("pack").makes)
    folder.mkdir(parents=True)
    write_lengths(folder, lengths)


def test_before_the_tokens_are_there_epochs_are_guessed(planned: Callable[..., Plan]) -> None:
    reading = planned_reading(planned('mixture = { "book.txt" = 3 }\n'))
    assert reading is not None
    # 400k tokens of the web once for every three times 100k of the book
    assert reading.epochs == pytest.approx({"web.txt": 1 / 0.7, "book.txt": 3 / 0.7}, rel=0.01)
    assert not reading.is_exact
    assert reading_lines(reading) == [
        "steps    488 of 2,048 tokens in rows of 256",
        "epochs   ~1.4 of web.txt, ~4.3 of book.txt",
    ]


def test_after_they_are_there_it_is_exact(planned: Callable[..., Plan]) -> None:
    plan = planned('packing = "best-fit"\nbatch_ramp = { start = 1024, until = 0.5 }\n')
    make_tokens(plan, {"web.txt": {100: 2000}, "book.txt": {1000: 200}})
    reading = planned_reading(plan)
    assert reading is not None and reading.is_exact
    # Two of 100 tokens share a row of 256; 1,000 are three rows and a rest of 232, each in a row of its own.
    rows = 1000 + 200 * 4
    assert reading.epochs == pytest.approx({"": 488 * 2048 / 256 / rows}, rel=1e-6)
    assert reading.padding_share == pytest.approx(1 - 400_000 / (rows * 256))
    assert reading.cut_share == pytest.approx(200 * 744 / 400_000)
    assert reading_lines(reading) == [
        "steps    488 of 1,024 tokens in rows of 256, then 244 of 2,048 tokens in rows of",
        "         256",
        "epochs   2.2 of the corpus",
        "rows     best-fit: 13% padding, 37% of the tokens cut off from the start of",
        "         their text",
    ]


def test_lengths_that_cannot_be_read_are_none(tmp_path: Path) -> None:
    assert read_lengths(tmp_path) == {}
    for text in ("{", "[1]", '{"a": {"x": 1}}', '{"a": 3}'):
        (tmp_path / LENGTHS_FILE).write_text(text)
        assert read_lengths(tmp_path) == {}
    write_lengths(tmp_path, {"a": {3: 2, 500: 1}})
    assert read_lengths(tmp_path) == {"a": {3: 2, 500: 1}}
