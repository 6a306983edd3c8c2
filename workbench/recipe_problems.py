"""What is wrong with a recipe, in one line for each problem: `FILE:LINE: [table] key ...`, and the nearest good word.

pydantic finds most of it, in words and places of its own; here they become a person's.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from workbench.errors import BadInput
from workbench.recipe import Recipe
from workbench.recipe_fields import Table
from workbench.recipe_vocabulary import all_tables, describe_key, tables


def problem_of(
    path: Path, lines: Mapping[str, int], overrides: Mapping[str, Any], error: dict[str, Any]
) -> BadInput:
    """One line for one pydantic error: `FILE:LINE: [table] key ...`."""
    table, key = _place(error["loc"])
    name = f"{table}.{key}" if table else key
    where: dict[str, Any] = {"file": path, "line": line_of(lines, table or key, key)}
    if {name, ".".join(map(str, error["loc"]))} & set(overrides):
        where = {"file": "--set"}
    label = f"[{table}] {key}".strip() if table else key or "the recipe"
    if any(isinstance(part, str) for part in error["loc"][2:]):
        return _problem_inside(label, name, lines, error, where)
    if error["type"] == "extra_forbidden":
        known = tables()[table].model_fields if table else Recipe.model_fields
        what = "key" if table or not isinstance(error["input"], dict) else "table"
        label = label if what == "key" else f"[{key}]"
        return BadInput(f"{label} is not a {what}", fix=nearest(key, known), **where)
    if error["type"] == "missing":
        return BadInput(
            f"{label} is missing",
            fix=f"add it: {describe_key(tables()[table] if table else Recipe, key)[:120]}",
            **where,
        )
    message = str(error["msg"]).removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if error["type"] == "tuple_type" and isinstance(error["input"], str):
        whole = json.dumps([error["input"]], ensure_ascii=False)
        message = f"write --set '{name}={whole}'" if name in overrides else f"write {whole}"
        return BadInput(f"{label} is a list: {message}", **where)
    if error["type"] in ("model_type", "dict_type") and table:
        inner = _table_inside(table, key)
        wanted = ", ".join(f"{name} = …" for name in inner.model_fields) if inner else '"NAME" = NUMBER'
        return BadInput(f"{label} is a table", fix=f"write {key} = {{ {wanted} }}", **where)
    if error["type"] == "string_pattern_mismatch":
        message = "may only hold letters, digits, dot, dash and underscore, at most 64"
    shown = (
        repr(error["input"])
        if isinstance(error["input"], str | int | float | bool)
        else type(error["input"]).__name__
    )
    if isinstance(
        error["input"], dict
    ):  # a check over the whole table: the message says it all, and names its key
        named = (f"{table}.{word}" for word in re.findall(r"\w+", message))
        where["line"] = next((lines[name] for name in named if name in lines), where["line"])
        return BadInput(f"{label}: {message}", **where)
    return BadInput(f"{label} = {shown[:80]}: {message}", **where)


def nearest(word: str, known: Mapping[str, Any]) -> str:
    """What to do about a word that is none of `known`, for the end of an error."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(list(known)[:12])}"


def line_of(lines: Mapping[str, int], table: str, key: str) -> int:
    """The line of a key, or else that of its table, or the first."""
    return lines.get(f"{table}.{key}", lines.get(f"{table}", lines.get(key, 1)))


def _problem_inside(
    label: str, name: str, lines: Mapping[str, int], error: dict[str, Any], where: dict[str, Any]
) -> BadInput:
    """The same for a value that is itself a table, or a list of them: `[pretrain] curriculum[0] until ...`."""
    *before, last = error["loc"][2:]
    if (table := ".".join(map(str, error["loc"][:2]))) in all_tables():
        label = f"[{table}]"
    label += "".join(f"[{part}]" if isinstance(part, int) else f" {part}" for part in before)
    if "line" in where:
        where["line"] = lines.get(f"{name}.{last}", where["line"])
    inner = _table_inside(*map(str, error["loc"][:2]))
    if error["type"] == "extra_forbidden":
        fix = nearest(str(last), inner.model_fields if inner else {})
        return BadInput(f"{label} {last} is not a key", fix=fix, **where)
    if error["type"] == "missing":
        fix = f"add it: {describe_key(inner, str(last)) if inner else ''}"
        return BadInput(f"{label} {last} is missing", fix=fix, **where)
    message = str(error["msg"])
    if error["type"] == "tuple_type" and isinstance(error["input"], str):
        message = f"write {json.dumps([error['input']], ensure_ascii=False)}"
    return BadInput(f"{label} {last} = {error['input']!r:.80}: {message[:1].lower() + message[1:]}", **where)


def _table_inside(table: str, key: str) -> type[Table] | None:
    """The table that the value of a key is, or is a list of; None for plain values."""

    def found(annotation: Any) -> Iterator[type[Table]]:
        if isinstance(annotation, type) and issubclass(annotation, Table):
            yield annotation
        for argument in get_args(annotation):
            yield from found(argument)

    return next(found(tables()[table].model_fields[key].annotation), None)


def _place(parts: Sequence[str | int]) -> tuple[str, str]:
    """Table and key that pydantic points at; the key is empty when it is the whole table."""
    names = [str(part) for part in parts]
    if len(names) > 1:
        return names[0], names[1]
    if names and names[0] not in tables():
        return "", names[0]
    return (names[0] if names else ""), ""
