"""What may be changed while a training runs, and how a person writes it: `KEY=VALUE`.

    decay=now                 WSD: begin the decay at the next step and end with it
    learning_rate=3e-4        the peak rate from the next step on
    save_every_seconds=60     changes no result
    sample_every_steps=50     changes no result

The first two make another result than the recipe's; what comes of it is kept apart (see Plan.steered).
"""

from __future__ import annotations

import dataclasses
import tomllib

from pydantic import ValidationError

from workbench.errors import BadInput
from workbench.recipe import Training

STEERING = ("decay", "learning_rate")
"""Keys that change what is learned."""
COSMETIC = ("save_every_seconds", "sample_every_steps")


@dataclasses.dataclass(frozen=True)
class Tuning:
    """A checked request: `value` is "now" for `decay`, else a number that the recipe's key may have."""

    key: str
    value: str | float | int

    @property
    def steers(self) -> bool:
        """Whether it changes what is learned."""
        return self.key in STEERING


def parse_tuning(assignment: str, table: Training) -> Tuning:
    """`learning_rate=3e-4` for the training of `table`. Raises BadInput, in one line, when it cannot be."""
    key, equals, text = (part.strip() for part in assignment.partition("="))
    known = [each for each in (*STEERING, *COSMETIC) if each == "decay" or each in type(table).model_fields]
    if not equals or key not in known:
        raise BadInput(f"{key[:40]!r} cannot be tuned", fix=f"write KEY=VALUE with one of {', '.join(known)}")
    if key == "decay":
        return _decay(text, table)
    try:
        value = tomllib.loads(f"value = {text}")["value"]
        type(table).model_validate(table.model_dump() | {key: value})
    except tomllib.TOMLDecodeError:
        raise BadInput(f"{key} = {text[:40]} is not a number", fix=f"write for example {key}=50") from None
    except ValidationError as error:
        what = str(error.errors()[0]["msg"])
        raise BadInput(
            f"{key} = {text[:40]}: {what[:1].lower()}{what[1:]}", fix="choose another value"
        ) from None
    return Tuning(key, value)


def _decay(text: str, table: Training) -> Tuning:
    if text != "now":
        raise BadInput(f"decay = {text[:40]!r} is not known", fix="write decay=now")
    if table.schedule != "wsd":
        raise BadInput(
            f'decay=now is for schedule = "wsd"; this training has "{table.schedule}", whose rate falls already',
            fix="`workbench stop` ends it with everything saved",
        )
    if not table.decay_ratio:
        raise BadInput(
            "decay=now has nothing to fall over: decay_ratio = 0", fix="branch with another decay_ratio"
        )
    return Tuning("decay", "now")
