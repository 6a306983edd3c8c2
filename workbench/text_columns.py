"""Which columns of a record make its text: one name, or a template such as `{title}\\n\\n{body}`. Ground: words only.

Paper asks it whether a template is well written, craft to join a record's columns.
"""

from __future__ import annotations

import string
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TextColumns:
    """The pieces of a text in order: (what stands before, the column that follows or None at the end)."""

    pieces: tuple[tuple[str, str | None], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The columns, each once, in the order they are used."""
        return tuple(dict.fromkeys(name for _, name in self.pieces if name is not None))

    @property
    def is_one(self) -> bool:
        """Whether the text is simply what one column holds."""
        return len(self.pieces) == 1 and not self.pieces[0][0]


def text_columns(key: str) -> TextColumns:
    """The columns that `key` means: with `{NAME}` in it a template (`{{` is a brace), else one column's name.

    Raises ValueError with what is wrong.
    """
    if "{" not in key and "}" not in key:
        return TextColumns((("", key),))
    try:
        parsed = list(string.Formatter().parse(key))
    except ValueError as error:
        raise ValueError(f"is not a template: {error}; write {{NAME}}, and {{{{ for a brace") from None
    pieces: list[tuple[str, str | None]] = []
    for literal, name, form, conversion in parsed:
        if form or conversion:
            raise ValueError(f"{{{name}}} has a format; write only the name of a column in braces")
        if name == "":
            raise ValueError("has empty braces; write the name of a column in them")
        pieces.append((literal, name))
    if not any(name for _, name in pieces):
        raise ValueError("names no column; write {NAME}")
    return TextColumns(tuple(pieces))
