"""Values out of a JSON file that somebody else wrote: strict, bounded, each of the type and range we know.

What is wrong is said in one line with the file's name; nothing is guessed or dropped in silence.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

from workbench.errors import BadInput, Damaged, NotFound

MAX_CONFIG_BYTES = 1_000_000


def read_json_object(file: Path, *, most_bytes: int = MAX_CONFIG_BYTES) -> dict[str, Any]:
    """The JSON object in `file`: strict (no NaN, no key twice), bounded in size, anything else is Damaged."""
    if not file.is_file():
        raise NotFound(
            "there is no such file", file=file, fix="a model folder has config.json and model.safetensors"
        )
    if file.stat().st_size > most_bytes:
        raise Damaged(f"is larger than {most_bytes} bytes", file=file, fix="this is no such file of a model")
    return parse_json_object(file.read_bytes(), file)


def parse_json_object(text: bytes, file: Path) -> dict[str, Any]:
    """`text` as a strict JSON object; Damaged, naming `file`, if it is not one."""
    try:
        value = json.loads(text.decode("utf-8"), object_pairs_hook=_no_key_twice, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Damaged(
            f"is not valid JSON ({str(error)[:80]})", file=file, fix="get the folder again"
        ) from None
    if not isinstance(value, dict):
        raise Damaged("is not a JSON object", file=file, fix="get the folder again")
    return value


def count(raw: dict[str, Any], key: str, most: int, file: Path) -> int:
    """`raw[key]`, a whole number from 1 to `most`."""
    value = raw[key]
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        refuse(file, f"{key} = {short(value)} is not a whole number from 1 to {most}", "correct it")
    return value


def number(raw: dict[str, Any], key: str, default: float, low: float, high: float, file: Path) -> float:
    """`raw[key]`, or `default` when it is not there, a number from `low` to `high`."""
    value = raw.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        refuse(file, f"{key} = {short(value)} is not a number from {low:g} to {high:g}", "correct it")
    return float(value)


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def refuse(file: Path, message: str, fix: str) -> NoReturn:
    """Raise BadInput: what is wrong in `file`, and what to do."""
    raise BadInput(message, file=file, fix=fix)


def short(value: Any) -> str:
    """A value from a foreign file, printable and short."""
    text = json.dumps(value, default=str)  # escapes control characters and everything beyond ASCII
    return text if len(text) <= 60 else text[:57] + "..."
