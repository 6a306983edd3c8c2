from __future__ import annotations

import pytest

from workbench.data.columns import text_of_record
from workbench.data.strict_json import RecordError
from workbench.text_columns import text_columns


@pytest.mark.parametrize(
    ("key", "record", "text"),
    [
        ("text", {"text": "a"}, "a"),
        ("{title}\n\n{body}", {"title": "T", "body": "B"}, "T\n\nB"),
        ("{title}\n\n{body}", {"title": None, "body": "B"}, "\n\nB"),
        ("{{{a b}}} {a b}!", {"a b": "x"}, "{x} x!"),
        ("{a.b[0]}", {"a.b[0]": "x"}, "x"),
    ],
)
def test_columns_are_joined(key: str, record: dict[str, object], text: str) -> None:
    assert text_of_record(text_columns(key), record) == text


@pytest.mark.parametrize(
    ("key", "record", "reason"),
    [
        ("text", {"body": "a"}, "no_text"),
        ("text", {"text": None}, "text_not_a_string"),
        ("{a}{b}", {"a": "x"}, "no_text"),
        ("{a}{b}", {"a": "x", "b": 5}, "text_not_a_string"),
        ("{a}{b}", {"a": "", "b": None}, "no_text"),
    ],
)
def test_what_is_missing_is_said(key: str, record: dict[str, object], reason: str) -> None:
    with pytest.raises(RecordError) as caught:
        text_of_record(text_columns(key), record)
    assert caught.value.reason == reason


@pytest.mark.parametrize("key", ["{", "{}", "}", "{a:>5}", "{a!r}", "{{only braces}}"])
def test_bad_templates_are_refused(key: str) -> None:
    with pytest.raises(ValueError, match=r"write|braces"):
        text_columns(key)
