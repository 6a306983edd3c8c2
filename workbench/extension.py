"""The same training, asked for fewer tokens: where in the store it is, and from which step a longer one may go on.

A schedule such as WSD does not know its end until the decay begins. Up to there a training for 10 hours and one for 20
take the same steps to the bit, so that the longer one need not take them again; a training says in its summary up to
which kept checkpoint that is so (`extendable_at`). Reads manifests, no tensors.
"""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

from workbench.artifacts import ArtifactName, Store, fingerprint_of, read_manifest
from workbench.errors import WorkbenchError

LENGTH = "tokens"
"""The key that says how long; all others together are the family of a training."""
KIND = "checkpoint"


@dataclasses.dataclass(frozen=True)
class Shorter:
    """A finished training of the same family for fewer tokens; `step` is where a longer one goes on, None: nowhere."""

    artifact: ArtifactName
    tokens: int
    step: int | None

    def in_words(self) -> str:
        """What it means for the longer one."""
        if self.step is None:
            return (
                f"starts over: {self.artifact} is the same for {self.tokens:,} tokens, but went towards that end from "
                'the beginning; schedule = "wsd" would go on, `--from` branches'
            )
        return f"goes on from step {self.step:,} of {self.artifact}, the same for {self.tokens:,} tokens"


def family_of(parts: dict[str, Any]) -> str | None:
    """The fingerprint of what fingerprints a stage but for how long it trains; None where no key says how long."""
    settings = dict(parts["settings"])
    if settings.pop(LENGTH, None) is None:
        return None
    return fingerprint_of({**parts, "settings": settings})


def find_shorter(store: Store, family: str, *, label: str, tokens: int) -> Shorter | None:
    """The finished training of `family` for fewer than `tokens` from which most can be kept; None without one."""
    found: list[Shorter] = []
    for folder in (store.path / KIND).glob(f"{label}-*"):
        with contextlib.suppress(
            WorkbenchError, OSError, KeyError, TypeError, ValueError
        ):  # damaged: not one of ours
            found += _shorter(folder, family, label=label, tokens=tokens)
    return max(found, key=lambda each: (each.step or 0, each.tokens), default=None)


def _shorter(folder: Path, family: str, *, label: str, tokens: int) -> list[Shorter]:
    manifest = read_manifest(folder)
    if manifest.get("family") != family or not manifest["settings"][LENGTH] < tokens:
        return []
    step = manifest["summary"].get("extendable_at")
    if step is not None and not step_folder(folder, int(step)).is_dir():
        step = None
    name = ArtifactName(KIND, label, manifest["fingerprint"])
    return [Shorter(name, int(manifest["settings"][LENGTH]), step)]


def step_folder(artifact: Path, step: int) -> Path:
    """Where the checkpoint of a step lies in an artifact of training."""
    return artifact / f"step-{step:08d}"
