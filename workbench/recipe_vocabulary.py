"""The vocabulary of recipes as data: its tables by name, those inside them, and what each key means."""

from __future__ import annotations

from typing import get_args

from pydantic import BaseModel

from workbench.recipe import Recipe
from workbench.recipe_fields import Table, tables_inside


def tables() -> dict[str, type[Table]]:
    """The table class of every TOML table, by name, in recipe order."""
    found = {}
    for name, field in Recipe.model_fields.items():
        for kind in get_args(field.annotation):
            if isinstance(kind, type) and issubclass(kind, Table):
                found[name] = kind
    return found


def all_tables() -> dict[str, type[Table]]:
    """`tables`, each followed by those inside it: `corpus`, `corpus.near_duplicates`, …"""
    found = {}
    for name, table in tables().items():
        found[name] = table
        found |= {f"{name}.{key}": inner for key, inner in tables_inside(table).items()}
    return found


def describe_key(table: type[BaseModel], key: str) -> str:
    """The documentation of a key: its own docstring, else the one it inherits."""
    for kind in table.__mro__:
        if (
            issubclass(kind, BaseModel)
            and key in kind.model_fields
            and (text := kind.model_fields[key].description)
        ):
            return " ".join(text.split())
    return ""
