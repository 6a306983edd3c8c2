"""What `plan` says of a corpus: the steps in order, and what of earlier work lies in the cache."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench.files import human_bytes
from workbench.plan import Plan
from workbench.recipe_corpus import Corpus


def corpus_facts(plan: Plan) -> dict[str, Any] | None:
    """The steps, and the bytes of each cached layer; None without a corpus."""
    settings = _settings(plan)
    if settings is None:
        return None
    return {
        "steps": list(_steps(settings)),
        "cached_bytes_by_layer": cached_layers(plan.home / "cache" / "corpus"),
    }


def corpus_lines(plan: Plan) -> list[str]:
    """The lines for a person; none where the corpus is as simple as can be."""
    settings, lines = _settings(plan), []
    if settings is None or not _is_worth_telling(settings):
        return []
    lines += _wrapped(f"corpus   {', '.join(each.replace('_', ' ') for each in _steps(settings))}")
    if cached := cached_layers(plan.home / "cache" / "corpus"):
        layers = ", ".join(f"{name.replace('_', ' ')} {human_bytes(size)}" for name, size in cached.items())
        lines += _wrapped(
            f"cached   {layers}: what follows from the same bytes and settings is not made again"
        )
    return lines


def _is_worth_telling(settings: Corpus) -> bool:
    """Whether more than the usual is done to the text."""
    return bool(settings.filters or settings.near_duplicates or settings.decontamination or settings.c4_lines)


def cached_layers(folder: Path) -> dict[str, int]:
    """Bytes on disk of each layer in the cache of corpora."""
    layers: dict[str, int] = {}
    for root, _, names in os.walk(folder):
        parts = Path(root).relative_to(folder).parts
        if parts:
            size = sum((Path(root) / name).stat().st_size for name in names)
            layers[parts[0]] = layers.get(parts[0], 0) + size
    return {name: size for name, size in sorted(layers.items()) if size}


def _settings(plan: Plan) -> Corpus | None:
    table = next((stage.table() for stage in plan.stages if stage.name == "corpus"), None)
    return table if isinstance(table, Corpus) else None


def _steps(settings: Corpus) -> Iterator[str]:
    """What is done, in order."""
    if settings.c4_lines is not None:
        yield "c4_lines"
    if settings.pii is not None:
        yield "pii"
    yield "length"
    yield from settings.filters
    if settings.deduplicate == "exact":
        yield "exact_duplicates"
    for name in ("near_duplicates", "decontamination", "repeated_parts"):
        if getattr(settings, name, None) is not None:
            yield name
    yield "held_out"


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(line, 80, subsequent_indent=" " * 9)
