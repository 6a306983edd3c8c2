from __future__ import annotations

from pathlib import Path

from workbench.recipe_docs import recipe_reference

ROOT = Path(__file__).parent.parent


def test_the_written_reference_is_the_generated_one() -> None:
    """If this fails: `python -m workbench.recipe_docs > recipes/README.md`, and look at the difference."""
    assert (ROOT / "recipes" / "README.md").read_text(encoding="utf-8") == recipe_reference()


def test_ci_runs_what_the_readme_says() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for part in ('-e ".[dev]"', '-m pytest -n 2 -m "not gpu"'):
        assert part in readme
        assert part in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
