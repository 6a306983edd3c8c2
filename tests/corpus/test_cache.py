from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from workbench.corpus.cache import LayerCache, key_of
from workbench.corpus.layers import Strings, packed, strings_to_arrays, unpacked


def arrays() -> dict[str, np.ndarray]:
    return {"a": np.arange(5, dtype=np.uint64), "b": np.ones((2, 3), dtype=np.float32)}


def test_a_layer_comes_back_as_it_was(tmp_path: Path) -> None:
    cache = LayerCache(tmp_path)
    key = key_of("x", [1, {"b": 2.5, "a": None}], b"\x00\xff")
    assert cache.get("text", key) is None
    cache.put("text", key, arrays())
    found = cache.get("text", key)
    assert found is not None and found.keys() == {"a", "b"}
    assert all(
        (found[name] == array).all() and found[name].dtype == array.dtype for name, array in arrays().items()
    )


def test_strings_of_any_kind() -> None:
    texts = ["", "plain", "é\0\n", "\ud800", "𝄞" * 100, ""]
    found = unpacked(packed(strings_to_arrays("t", texts)))
    assert found is not None
    assert list(Strings(found, "t")) == texts
    assert Strings(found, "t")[1:3] == texts[1:3]
    assert list(Strings(strings_to_arrays("t", []), "t")) == []


def test_every_damage_is_noticed(tmp_path: Path) -> None:
    data = packed(arrays())
    assert unpacked(data) is not None
    for place in range(len(data)):
        assert unpacked(data[:place]) is None
        flipped = bytearray(data)
        flipped[place] ^= 0x10
        found = unpacked(bytes(flipped))
        # A bit of the header may say the same in another way; what is given out is never wrong.
        assert found is None or all((found[name] == array).all() for name, array in arrays().items())
    assert unpacked(b"") is None and unpacked(b"not zstandard") is None


def test_keys_differ_where_what_they_digest_does() -> None:
    keys = [
        key_of("a", "b"),
        key_of("ab"),
        key_of(["a"], "b"),
        key_of("a", 1),
        key_of("a", 1.0),
        key_of("a", "1"),
    ]
    assert len(set(keys)) == len(keys)
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})


def test_what_was_not_used_for_longest_goes_first_and_what_is_in_use_stays(tmp_path: Path) -> None:
    cache = LayerCache(tmp_path)
    for number in range(4):
        cache.put("text", key_of(number), arrays())
        path = next(path for path in tmp_path.rglob(key_of(number)))
        os.utime(path, (1000 + number, 1000 + number))
    one = cache.num_bytes() // 4
    assert cache.shrink(to_bytes=2 * one, unused_since=1001) == one  # the second is spared
    assert [cache.has("text", key_of(number)) for number in range(4)] == [False, True, True, True]
    cache.get("text", key_of(1))  # used now
    assert cache.shrink(to_bytes=one, unused_since=1e12) == 2 * one
    assert [cache.has("text", key_of(number)) for number in range(4)] == [False, True, False, False]
