from __future__ import annotations

import pytest

from workbench.data.strict_json import RecordError, parse_object


def test_an_object_is_an_object() -> None:
    assert parse_object(b'{"text": "caf\xc3\xa9", "n": [1, {"text": 2}]}') == {
        "text": "café",
        "n": [1, {"text": 2}],
    }


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"text": "half', "not_json"),
        (b'{"text": NaN}', "not_json"),
        (b'{"n": 1e999}', "not_json"),
        (b'{"text": ' + b"9" * 5000 + b"}", "not_json"),
        (b'{"a": 1} {"b": 2}', "not_json"),
        (b"[1, 2]", "not_an_object"),
        (b"null", "not_an_object"),
        (b'"text"', "not_an_object"),
        (b"true", "not_an_object"),
        (b'{"text": "\xff"}', "invalid_utf8"),
        (b'{"text": "\\ud800 x"}', "lone_surrogate"),
        (b'{"text": ' + b"[" * 100_000 + b"}", "nested_too_deep"),
        (b'{"text": ' + b"[" * 1010 + b"]" * 1010 + b"}", "nested_too_deep"),
        (b'{"text": "a", "text": "b"}', "duplicate_key"),
        (b'{"a": {"b": 1, "b": 1}}', "duplicate_key"),
    ],
)
def test_everything_else_is_refused_with_its_reason(line: bytes, reason: str) -> None:
    with pytest.raises(RecordError) as caught:
        parse_object(line)
    assert caught.value.reason == reason
    assert caught.value.detail
    assert len(caught.value.detail) < 200
