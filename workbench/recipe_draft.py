"""A recipe while it is edited: every key there is, and one value written into the text as a person would write it.

Comments and order stay. What cannot be written safely is refused with the line to edit by hand: after each edit the
text is parsed again and must say what was asked, and otherwise what it said before. Knows no screen.
"""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from workbench.errors import BadInput
from workbench.recipe import Recipe, Training
from workbench.recipe_fields import Table, is_cosmetic
from workbench.recipe_file import key_lines
from workbench.recipe_vocabulary import all_tables, describe_key

_TABLE = re.compile(r"^\s*\[{1,2}")
_STRING = re.compile(r'"(?:\\.|[^"\\])*"|\'[^\']*\'')


@dataclasses.dataclass(frozen=True, slots=True)
class Key:
    """One key of a recipe: what may be written there, what stands for it when it is left out, and what it means."""

    table: str
    name: str
    kind: str
    default: str
    required: bool
    meaning: str
    cosmetic: bool

    @property
    def whole(self) -> str:
        """`TABLE.KEY`."""
        return f"{self.table}.{self.name}" if self.table else self.name


def keys_of_recipes() -> dict[str, tuple[Key, ...]]:
    """Every key by table, in the order of the recipe; those that stand above all tables under "".

    What a table alone has (its sources, its tokens) comes before what it shares with others (rates, saving).
    """
    tables = all_tables()
    kinds: dict[str, type[BaseModel]] = {"": Recipe, **tables}
    return {
        name: tuple(
            Key(
                table=name,
                name=key,
                kind=_kind(field),
                default=_default(field),
                required=field.is_required(),
                meaning=describe_key(table, key),
                cosmetic=issubclass(table, Table) and is_cosmetic(table.model_construct(), key),
            )
            for key, field in sorted(
                table.model_fields.items(), key=lambda each: each[0] in Training.model_fields
            )
            if (f"{name}.{key}" if name else key) not in tables
        )
        for name, table in kinds.items()
    }


def describe_table(name: str) -> str:
    """What a table is for, in its own words."""
    kind = all_tables()[name] if name else Recipe
    return " ".join((kind.__doc__ or "").split())


def written_values(text: str) -> dict[str, Any]:
    """What the text says, by `TABLE.KEY`; of a text that is not TOML, nothing."""
    try:
        values = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, ValueError, RecursionError):
        return {}
    found: dict[str, Any] = {}
    names = all_tables()
    for table, content in values.items():
        if not isinstance(content, dict):
            found[table] = content
            continue
        for key, value in content.items():
            if f"{table}.{key}" in names and isinstance(value, dict):
                found |= {f"{table}.{key}.{inner}": each for inner, each in value.items()}
            else:
                found[f"{table}.{key}"] = value
    return found


def as_toml(value: Any) -> str:
    """A value as it is written in a recipe."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(as_toml, value))}]"
    if isinstance(value, dict):
        return (
            f"{{ {', '.join(f'{json.dumps(str(key))} = {as_toml(each)}' for key, each in value.items())} }}"
        )
    return json.dumps(value)


def with_value(text: str, key: str, typed: str) -> str:
    """`text` with `key` (`TABLE.KEY`) set to what was typed: TOML, or a bare word that is meant as text.

    Raises BadInput where the place cannot be edited without touching more than the value.
    """
    value = typed.strip()
    if not value or "\n" in value:
        raise BadInput("a value is one line of text", fix="type a value, or take the key out")
    try:
        wanted = tomllib.loads(f"value = {value}")["value"]
    except (tomllib.TOMLDecodeError, ValueError, RecursionError):
        value, wanted = json.dumps(value, ensure_ascii=False), value
    lines = text.split("\n")
    if (line := key_lines(text).get(key)) is not None:
        lines[line - 1 : _end(lines, line - 1)] = [_replaced(lines[line - 1], value)]
    else:
        table, _, name = key.rpartition(".")
        _insert(lines, table, f"{name} = {value}")
    return _checked(text, "\n".join(lines), key, wanted)


def without(text: str, key: str) -> str:
    """`text` with `key` taken out, so that its default holds. Raises BadInput as `with_value`."""
    line = key_lines(text).get(key)
    if line is None:
        return text
    lines = text.split("\n")
    del lines[line - 1 : _end(lines, line - 1)]
    return _checked(text, "\n".join(lines), key, None)


def with_table(text: str, table: str) -> str:
    """`text` with an empty [table] at its end, if it has none."""
    return text if table in key_lines(text) else f"{text.rstrip()}\n\n[{table}]\n"


def key_at(text: str, line: int) -> str:
    """The key or table that is written on `line` (from 1), or above it: where a problem belongs."""
    found = [(at, name) for name, at in key_lines(text).items() if at <= line]
    return max(found)[1] if found else ""


def _replaced(line: str, value: str) -> str:
    """The line with another value; what stands in front of it and the comment behind it stay."""
    before, _, rest = line.partition("=")
    masked = _STRING.sub(lambda found: "x" * len(found[0]), rest)
    comment = masked.find("#")
    behind = "" if comment < 0 else rest[comment:]
    start = f"{before.rstrip()} = {value}"
    if not behind:
        return start
    column = len(line) - len(behind)
    return f"{start:<{column}}{behind}" if len(start) < column else f"{start}  {behind}"


def _end(lines: list[str], start: int) -> int:
    """The line after the value that begins on line `start` (from 0): lists may go over several."""
    for end in range(start + 1, len(lines) + 1):
        try:
            tomllib.loads("\n".join(lines[start:end]))
        except tomllib.TOMLDecodeError:
            continue
        return end
    return start + 1


def _insert(lines: list[str], table: str, line: str) -> None:
    """`line` as the last of its table; a table that is not there is added at the end."""
    known = key_lines("\n".join(lines))
    if table and table not in known:
        while lines and not lines[-1].strip():
            lines.pop()
        lines += ["", f"[{table}]", line, ""]
        return
    start = known.get(table, 0)
    after = next((at for at in range(start, len(lines)) if _TABLE.match(lines[at])), len(lines))
    while after > start and not lines[after - 1].strip():
        after -= 1
    lines.insert(after, line)


def _checked(before: str, after: str, key: str, wanted: Any) -> str:
    """`after`, once it is sure that it says what `before` said and `wanted` at `key`; None: nothing there."""
    told = written_values(before)
    told.pop(key, None)
    expected = told if wanted is None else told | {key: wanted}
    if written_values(after) == expected:
        return after
    line = key_lines(before).get(key) or key_lines(before).get(key.rpartition(".")[0], 1)
    raise BadInput(
        f"{key} cannot be changed from here", line=line, fix=f"edit line {line} of the file by hand"
    )


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined or field.default is None:
        return ""
    return as_toml(field.default)


def _kind(field: FieldInfo) -> str:
    """What may be written, in words: `a whole number above 0`."""
    said = list(dict.fromkeys(_words(field.annotation, list(field.metadata))))
    return " or ".join(said)


def _words(kind: Any, rules: list[Any]) -> Iterator[str]:
    origin = get_origin(kind)
    if hasattr(kind, "__metadata__"):  # Annotated: the rules are its own
        inner = [
            rule
            for each in kind.__metadata__
            for rule in (each.metadata if isinstance(each, FieldInfo) else [each])
        ]
        yield from _words(kind.__origin__, [*inner, *rules])
    elif origin in (UnionType, Union):
        for each in get_args(kind):
            if each is not NoneType:
                yield from _words(each, rules)
    elif origin is Literal:
        yield "one of " + ", ".join(as_toml(each) for each in get_args(kind))
    elif origin in (tuple, list):
        inside = [word for each in get_args(kind) if each is not Ellipsis for word in _words(each, [])]
        yield f"a list, each {' or '.join(inside)}"
    elif origin is dict or (isinstance(kind, type) and issubclass(kind, Table)):
        yield "a table { … }"
    elif kind is bool:
        yield "true or false"
    elif kind in (int, float):
        yield _number(kind, rules)
    else:
        yield "a text"


def _number(kind: type, rules: list[Any]) -> str:
    parsers = [getattr(rule, "func", None) for rule in rules]
    called = "a whole number" if kind is int else "a number"
    for parser in parsers:
        name = getattr(parser, "__name__", "")
        called = {"_count": 'a count, such as "2M"', "_bytes": 'a size, such as "32MB"'}.get(name, called)
    bounds: list[str] = []
    for word, sign in (("gt", "above"), ("ge", "from"), ("lt", "below"), ("le", "to")):
        limit = next((getattr(rule, word) for rule in rules if getattr(rule, word, None) is not None), None)
        if word == "ge" and limit is not None:
            bounds.clear()  # a count from a million on need not be told to be above 0
        if limit is not None and limit < 2**31 - 1:
            bounds.append(f"{sign} {limit:g}")
    return " ".join([called, *bounds])
