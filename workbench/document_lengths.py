"""lengths.json of a `tokens` artifact: how many documents there are of each length, by source.

Written where the tokens are made, read by a plan, which can then tell how often each source will be seen and what
a packing wastes without a look at the tokens. Knows no tensors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from workbench.files import write_atomic
from workbench.packing import Lengths

LENGTHS_FILE = "lengths.json"


def write_lengths(folder: Path, lengths: Mapping[str, Lengths]) -> None:
    """Keep `lengths`, by source, beside the tokens in `folder`."""
    write_atomic(folder / LENGTHS_FILE, json.dumps(lengths) + "\n")


def read_lengths(folder: Path) -> dict[str, dict[int, int]]:
    """The lengths of the documents in `folder`, by source; empty when nobody wrote them down."""
    try:
        found = json.loads((folder / LENGTHS_FILE).read_text(encoding="utf-8"))
        return {
            str(source): {int(length): int(count) for length, count in lengths.items()}
            for source, lengths in found.items()
        }
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def num_tokens(lengths: Lengths) -> int:
    """The tokens of all documents together, a bos each included."""
    return sum(length * count for length, count in lengths.items())
