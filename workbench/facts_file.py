"""A JSON file that a stage left, read without trust."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from workbench.errors import BadInput


def read_facts(path: Path) -> dict[str, Any]:
    """The object in `path`. Raises BadInput when it is missing or none."""
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise BadInput("is missing", file=path) from None
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"cannot be read ({error})", file=path) from None
    if not isinstance(value, dict):
        raise BadInput("is not a JSON object", file=path)
    return value
