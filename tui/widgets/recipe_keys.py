"""The keys of a recipe as lines, and one of them told in full: its meaning, its value and where that is from."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

from textual.content import Content

from tui import words
from tui.recipe_check import Checked
from tui.widgets.browser import Row, failed
from workbench.recipe_draft import Key, as_toml, describe_table, written_values
from workbench.safe_text import one_line

Keys = Mapping[str, tuple[Key, ...]]
"""All keys there are, by their table."""


def rows_of(
    keys: Keys, checked: Checked, text: str, *, room: int, words: str, everything: bool
) -> Iterator[Row]:
    """A line a key under a line a table, in `room` cells.

    words: only keys that have them, in any table. everything: keys that the recipe does not write too.
    """
    written = written_values(text)
    tables = {key.rpartition(".")[0] for key in written} | {table for table in keys if f"[{table}]" in text}
    name = min(30, max(20, room // 2))
    for table, inside in keys.items():
        there = not table or table in tables
        matching = [
            key for key in inside
            if all(word in f"{key.whole} {key.meaning}".lower() for word in words.lower().split())
            and (key.whole in written or (there and everything) or words)
        ]  # fmt: skip
        if table and (matching or not words):
            note = "" if there else "  not in this recipe"
            sign = "✗ " if table in checked.problems else ""
            line = Content.assemble(
                (sign, "$error"), (f"[{table}]", "bold" if there else "$dim"), (note, "$faint")
            )
            yield Row(line, ("table", table))
        for key in matching:
            yield Row(_key_line(key, checked, written, name), key.whole)
        yield from _unknown_rows(table, inside, keys, written, name)


def _unknown_rows(
    table: str, inside: Sequence[Key], keys: Keys, written: Mapping[str, Any], width: int
) -> Iterator[Row]:
    """What is written in a table and is no key of it: a slip of the hand, to be seen and taken out."""
    known = {key.name for key in inside} | {name.rpartition(".")[2] for name in keys}
    for whole, value in written.items():
        outer, _, name = whole.rpartition(".")
        if outer == table and name not in known and (table or not isinstance(value, dict)):
            shown = Content.assemble(
                ("✗ ", "$error"), (words.fit(one_line(name, 60), width - 2), "$error"),
                (f" {one_line(as_toml(value), 80)}", "bold"),
            )  # fmt: skip
            yield Row(shown, whole)


def readable(toml: str) -> str:
    """A value with its thousands apart, as TOML may have it: 50_000_000_000."""
    return f"{int(toml):_}" if toml.isascii() and toml.isdecimal() and len(toml) > 4 else toml


def _key_line(key: Key, checked: Checked, written: Mapping[str, Any], width: int) -> Content:
    sign = "✗ " if key.whole in checked.problems else "  "
    if key.whole in written:
        value, color = as_toml(written[key.whole]), "bold"
    else:
        value, color = checked.holds(key)[0] or "–", "$dim"
    return Content.assemble(
        (sign, "$error"), (words.fit(key.name, width - 2), "" if key.whole in written else "$dim"),
        (f" {readable(one_line(value, 80))}", color),
    )  # fmt: skip


def key_of(keys: Keys, name: str) -> Key | None:
    """The key that is written as `name`, as in pretrain.tokens."""
    return next((key for inside in keys.values() for key in inside if key.whole == name), None)


def told_of(keys: Keys, checked: Checked, at: Hashable | None) -> Content | None:
    """All that is known of the row `at`; None where there is none."""
    match at:
        case ("table", str(table)):
            problem = checked.problems.get(table)
            parts = [Content.styled(f"[{table}]", "bold"), Content(""), Content(describe_table(table))]
            return Content("\n").join(
                [*parts, *([Content(""), failed(one_line(problem, 400))] if problem else [])]
            )
        case str(name) if (key := key_of(keys, name)) is not None:
            return _told_of_key(key, checked)
        case str(name):
            said = checked.problems.get(name, "it is no key of this table")
            taken_out = Content.assemble(("⌫", "$primary bold"), (" takes it out.", "$dim"))
            return Content("\n").join(
                [Content.styled(one_line(name, 120), "bold"), Content(""), failed(one_line(said, 400)), Content(""),
                 taken_out]
            )  # fmt: skip
    return None


def _told_of_key(key: Key, checked: Checked) -> Content:
    value, origin = checked.holds(key)
    default = "it has none: it must be written" if key.required else key.default or "none"
    lines = [
        Content.styled(key.whole, "bold"),
        Content.styled("changes no result: changing it makes nothing again", "$dim")
        if key.cosmetic
        else Content(""),
        Content(key.meaning),
        Content(""),
        Content.assemble(("write    ", "$dim"), one_line(key.kind, 200)),
        Content.assemble(("default  ", "$dim"), readable(one_line(default, 200))),
        Content.assemble(
            ("holds    ", "$dim"),
            (readable(one_line(value or "–", 200)), "bold"),
            (f"  {one_line(origin, 80)}", "$dim"),
        ),
    ]
    if problem := checked.problems.get(key.whole):
        lines += [Content(""), failed(one_line(problem, 400))]
    return Content("\n").join(lines)
