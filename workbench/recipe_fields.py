"""What the tables of a recipe are made of: typed fields with their ranges, and what all tables share."""

from __future__ import annotations

from types import UnionType
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from workbench.errors import BadInput
from workbench.files import parse_bytes, parse_count


def _count(value: Any) -> Any:
    return _parsed(value, parse_count)


def _bytes(value: Any) -> Any:
    return _parsed(value, parse_bytes)


def _parsed(value: Any, parse: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return parse(value)
    except BadInput as error:
        raise ValueError(error.one_line()) from None


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("contains control characters; write plain text")
    return text


Count = Annotated[int, BeforeValidator(_count), Field(gt=0, lt=2**53, strict=True)]
Bytes = Annotated[int, BeforeValidator(_bytes), Field(gt=0, lt=2**60, strict=True)]
PositiveInt = Annotated[int, Field(gt=0, lt=2**31, strict=True)]
NaturalInt = Annotated[int, Field(ge=0, lt=2**31, strict=True)]
Flag = Annotated[bool, Field(strict=True)]
Rate = Annotated[float, Field(gt=0, lt=100, allow_inf_nan=False, strict=True)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, strict=True)]
Milestone = PositiveInt | Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False, strict=True)]
NaturalFloat = Annotated[float, Field(ge=0, lt=1e6, allow_inf_nan=False, strict=True)]
Text = Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(_printable)]
Prompt = Annotated[str, Field(min_length=1, max_length=4096)]
Sources = Annotated[tuple[Text, ...], Field(min_length=1, max_length=256)]

COSMETIC = {"cosmetic": True}
ADDED_LATER = {"added_later": True}
"""Of a key that artifacts were made without: its default means what was done then, and stays out of their names."""


class Table(BaseModel):
    """What all tables share: unknown keys are errors, values never change, no silent conversion."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True
    )


def is_cosmetic(table: Table, key: str) -> bool:
    """Whether `key` of `table` cannot change a result and stays out of its fingerprint."""
    extra = type(table).model_fields[key].json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("cosmetic"))


def defaults_of_later_keys(table: type[Table]) -> dict[str, Any]:
    """The keys that artifacts were made without, with the values that mean what was done then."""
    return {
        key: field.default
        for key, field in table.model_fields.items()
        if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("added_later")
    }


def identifying_values(table: Table) -> dict[str, Any]:
    """The plain values of `table` that can change a result, those of tables inside it too."""
    plain, later = table.model_dump(mode="json"), defaults_of_later_keys(type(table))
    for key in type(table).model_fields:
        inner = getattr(table, key)
        if is_cosmetic(table, key) or (key in later and inner == later[key]):
            del plain[key]
        elif isinstance(inner, Table):
            plain[key] = identifying_values(inner)
    return plain


def tables_inside(table: type[Table]) -> dict[str, type[Table]]:
    """The keys of `table` whose value is a table, such as `near_duplicates` of [corpus.near_duplicates]."""
    found = {}
    for key, field in table.model_fields.items():
        kinds = get_args(field.annotation) if isinstance(field.annotation, UnionType) else [field.annotation]
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, Table):
                found[key] = kind
    return found
