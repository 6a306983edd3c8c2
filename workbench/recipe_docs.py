"""recipes/README.md from the docstrings of the recipe's keys: `python -m workbench.recipe_docs > recipes/README.md`.

A test pins the file to this output, so the documentation of a key is written once, where the key is.
"""

from __future__ import annotations

import json
from typing import Any, get_args

from pydantic_core import PydanticUndefined

from workbench.recipe_fields import Table, is_cosmetic, tables_inside
from workbench.recipe_vocabulary import all_tables, describe_key

INTRODUCTION = """\
# Recipes

A recipe is a TOML file: one table per stage, and only the tables that are there run. `workbench recipes` lists
the shipped ones, `workbench new NAME` copies one, `workbench check NAME.toml` finds every mistake at once. Counts
may be written `"2M"`, sizes `"32MB"`; paths are relative to the recipe. Every key has a default except those
marked **required**. Keys marked * cannot change a result, so changing them makes nothing again.

Made from the docstrings in `workbench/recipe*.py` by `python -m workbench.recipe_docs`; measured
results are in
[LOG.md](LOG.md).
"""


def recipe_reference() -> str:
    """Every table and key with default and meaning, as Markdown."""
    parts = [INTRODUCTION]
    for name, table in all_tables().items():
        parts.append(f"## [{name}]\n\n{' '.join((table.__doc__ or '').split())}\n")
        parts.append("| key | default | meaning |\n| --- | --- | --- |")
        inside = tables_inside(table)
        parts += [
            _row(table, key, f" A table of its own: [{name}.{key}] below." if key in inside else "")
            for key in table.model_fields
        ]
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"


def _row(table: type[Table], key: str, more: str) -> str:
    star = "\\*" if is_cosmetic(table.model_construct(), key) else ""
    meaning = describe_key(table, key).replace("|", "\\|")
    return f"| `{key}`{star} | {_default(table, key)} | {meaning}{_choices(table, key)}{more} |"


def _default(table: type[Table], key: str) -> str:
    default: Any = table.model_fields[key].get_default(call_default_factory=True)
    if default is PydanticUndefined:
        return "**required**"
    if default is None:
        return ""
    return f"`{json.dumps(list(default) if isinstance(default, tuple) else default)}`"


def _choices(table: type[Table], key: str) -> str:
    values = [value for value in get_args(table.model_fields[key].annotation) if isinstance(value, str)]
    return f" One of {', '.join(f'`{value}`' for value in values)}." if values else ""


if __name__ == "__main__":
    print(recipe_reference(), end="")
