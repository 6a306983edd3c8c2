"""What may be changed while a training runs, and how a person writes it: `KEY=VALUE`.

    decay=now                 WSD: begin the decay at the next step and end with it
    learning_rate=3e-4        the peak rate from the next step on
    eval_every_steps=50       how often the held-out loss is measured
    save_every_seconds=60     changes no result
    sample_every_steps=50     changes no result
    sample_prompts=["A", "B"] changes no result; a text without brackets is one prompt, [] means held-out documents

The first three make another result than the recipe's; what comes of it is kept apart (see Plan.steered). Whether a key
does is what its table says of it: what enters the name of an artifact steers. How often is measured moves no weight,
but decides which step is the best one (`RUN/STAGE@best`), and equal names promise the same best step.
"""

from __future__ import annotations

import dataclasses
import tomllib
from typing import Any

from pydantic import ValidationError

from workbench.errors import BadInput
from workbench.recipe import Training
from workbench.safe_text import one_line

STEERING = ("decay", "learning_rate", "eval_every_steps")
"""Keys that change what is made."""
COSMETIC = ("save_every_seconds", "sample_every_steps", "sample_prompts")
MOST_CHARACTERS = 100_000
"""Of a request: sixteen prompts of 4,096 characters, and room."""
EXAMPLES = {"sample_prompts": 'sample_prompts=["Once upon a time", "The sea"]'}
"""How keys are written whose value is no number."""


@dataclasses.dataclass(frozen=True)
class Tuning:
    """A checked request: `value` is "now" for `decay`, texts for `sample_prompts`, else a number the key may have."""

    key: str
    value: str | float | int | tuple[str, ...]

    @property
    def steers(self) -> bool:
        """Whether it changes what is made."""
        return self.key in STEERING

    def __str__(self) -> str:
        if not isinstance(self.value, tuple):
            return f"{self.key} = {self.value}"
        if not self.value:
            return f"{self.key} = the beginnings of held-out documents"
        return f"{self.key} = {len(self.value)} prompt{'s' if len(self.value) > 1 else ''}"


def tunable_keys(table: Training) -> list[str]:
    """The keys that may be tuned in the training of `table`, those that steer it first."""
    return [each for each in (*STEERING, *COSMETIC) if each == "decay" or each in type(table).model_fields]


def parse_tuning(assignment: str, table: Training) -> Tuning:
    """`learning_rate=3e-4` for the training of `table`. Raises BadInput, in one line, when it cannot be."""
    if len(assignment) > MOST_CHARACTERS:
        raise BadInput(
            f"{len(assignment):,} characters are too many to tune with", fix="ask for less at once"
        )
    key, equals, text = (part.strip() for part in assignment.partition("="))
    known = tunable_keys(table)
    if not equals or key not in known:
        raise BadInput(
            f"{one_line(key, 40)!r} cannot be tuned", fix=f"write KEY=VALUE with one of {', '.join(known)}"
        )
    if key == "decay":
        return _decay(text, table)
    written = f"{key} = {one_line(text, 40)}"
    try:
        text.encode()  # a terminal may have sent bytes that are no text: no tokenizer takes those
        value = _value(key, text)
        checked = type(table).model_validate(table.model_dump() | {key: value})
    except ValidationError as error:
        what = str(error.errors()[0]["msg"])
        raise BadInput(f"{written}: {what[:1].lower()}{what[1:]}", fix="choose another value") from None
    except (ValueError, RecursionError):  # of TOML, of text, of a number or a list that has no end
        what = "a list of texts" if key in EXAMPLES else "a number"
        raise BadInput(
            f"{written} is not {what}", fix=f"write for example {EXAMPLES.get(key, f'{key}=50')}"
        ) from None
    return Tuning(key, getattr(checked, key) if isinstance(value, list) else value)


def _value(key: str, text: str) -> Any:
    """What is written, as TOML; a prompt alone needs no quotes. Raises ValueError, RecursionError."""
    if key == "sample_prompts" and not text.startswith(("[", '"', "'")):
        return [text]
    value = tomllib.loads(f"value = {text}")["value"]
    return [value] if key == "sample_prompts" and isinstance(value, str) else value


def _decay(text: str, table: Training) -> Tuning:
    if text != "now":
        raise BadInput(f"decay = {one_line(text, 40)!r} is not known", fix="write decay=now")
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
