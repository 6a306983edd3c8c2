"""What must not reach the weights: numbers that are not finite, and spikes far outside of what was usual.

One poisoned step can undo hours: clipping turns an infinite gradient into NaN and AdamW writes it into every
weight; a spike that is finite throws the model to where it never was. Leaving one batch out costs nothing.
Six sigma of the last 128 steps is the rule of OLMo (OLMo Team 2024). Knows no tensors and no files.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Any

WINDOW = 128
"""Steps that say what is usual."""
FEWEST = 32
"""Steps before anything can be unusual: the first ones fall too fast to have a spread."""
SIGMAS = 6.0
LEAST_SPREAD = {"loss": 0.03, "gradient norm": 0.25}
"""A spread below this share of the mean is taken for this much. A calm curve is allowed a hiccup; and the norm has
long tails by nature, while clipping makes what is not far outside harmless."""


class SpikeGuard:
    """Remembers the last losses and gradient norms, says which step stands out, and counts refusals in a row.

    What stood out is remembered too: after a lasting change, such as another kind of data, the new level becomes
    the usual one instead of being refused for ever.
    """

    def __init__(self) -> None:
        self._seen: dict[str, deque[float]] = {name: deque(maxlen=WINDOW) for name in LEAST_SPREAD}
        self.skips_in_a_row = 0

    def reason_to_skip(self, loss: float, grad_norm: float) -> str:
        """Why a step of this loss and gradient norm must not be taken; empty when it may. Takes note of both."""
        figures = dict(zip(LEAST_SPREAD, (loss, grad_norm), strict=True))
        for name, figure in figures.items():
            if not math.isfinite(figure):
                return f"the {name} is {figure}" + (f" (the loss {loss:.4g})" if name != "loss" else "")
        reasons = [self._against_the_usual(name, figure) for name, figure in figures.items()]
        return next(filter(None, reasons), "")

    def __repr__(self) -> str:
        return f"SpikeGuard({self.memory()})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SpikeGuard) and self.memory() == other.memory()

    __hash__ = None  # type: ignore[assignment]  # it changes

    def memory(self) -> dict[str, Any]:
        """All that its next answers depend on, in plain values, for a checkpoint."""
        return {"skips_in_a_row": self.skips_in_a_row} | {
            name: list(seen) for name, seen in self._seen.items()
        }

    def remember(self, memory: Mapping[str, Any]) -> None:
        """Go on as the guard would whose `memory` this is; an empty one forgets everything."""
        self.skips_in_a_row = int(memory.get("skips_in_a_row", 0))
        for name, seen in self._seen.items():
            seen.clear()
            seen.extend(float(figure) for figure in memory.get(name, ()))

    def _against_the_usual(self, name: str, figure: float) -> str:
        seen = self._seen[name]
        reason = ""
        if len(seen) >= FEWEST:
            mean = math.fsum(seen) / len(seen)
            variance = math.fsum((each - mean) ** 2 for each in seen) / len(seen)
            sigma = max(math.sqrt(variance), LEAST_SPREAD[name] * abs(mean))
            if figure > mean + SIGMAS * sigma:
                far = (figure - mean) / sigma if sigma else math.inf
                reason = f"the {name} of {figure:.4g} is {far:.0f} sigma above the usual {mean:.4g}"
        seen.append(figure)
        return reason
