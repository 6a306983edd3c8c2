from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.artifacts import ArtifactName, Store, fingerprint_of, problems_of, verify
from workbench.errors import Damaged, NotFound

NAME = ArtifactName("tokens", "pack", "0123456789abcdef")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def make(store: Store) -> Path:
    folder = store.start(NAME)
    (folder / "inner").mkdir()
    (folder / "inner" / "a.bin").write_bytes(b"abc")
    (folder / "b.json").write_text("{}")
    return store.publish(NAME, stage="pack", settings={"x": 1}, inputs={}, summary={"tokens": 3})


def test_an_artifact_exists_only_when_published(store: Store) -> None:
    store.start(NAME)
    assert not store.exists(NAME)
    folder = make(store) if not (store.building(NAME) / "inner").exists() else store.folder(NAME)
    assert store.exists(NAME)
    assert folder.name == "pack-01234567"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["summary"] == {"tokens": 3}
    assert set(manifest["files"]) == {"inner/a.bin", "b.json"}
    assert not store.building(NAME).exists()


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda f: (f / "b.json").unlink(), "missing"),
        (lambda f: (f / "b.json").write_text("{} "), "3 bytes"),
        (lambda f: (f / "inner" / "a.bin").write_bytes(b"abd"), "digest"),
    ],
)
def test_harm_is_found_and_named(store: Store, harm, says: str) -> None:  # type: ignore[no-untyped-def]
    folder = make(store)
    assert problems_of(folder) == []
    harm(folder)
    with pytest.raises(Damaged, match=says) as caught:
        verify(folder)
    assert "--force" in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"files": 3}', "[" * 99_999])
def test_a_broken_manifest_is_one_line(store: Store, text: str) -> None:
    folder = make(store)
    (folder / "manifest.json").write_text(text)
    with pytest.raises(Damaged) as caught:
        verify(folder)
    assert "\n" not in str(caught.value)


def test_no_manifest_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        problems_of(tmp_path)


def test_one_maker_at_a_time(store: Store) -> None:
    lock = store.lock(NAME)
    assert lock is not None
    assert store.is_being_made(NAME)
    assert not store.is_being_made(ArtifactName("tokens", "pack", "f" * 16))
    lock.close()
    assert not store.is_being_made(NAME)


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5) | st.none(), max_size=5))
def test_fingerprints_do_not_depend_on_order(parts: dict[str, object]) -> None:
    assert fingerprint_of(parts) == fingerprint_of(dict(reversed(parts.items())))
    assert fingerprint_of(parts) != fingerprint_of({**parts, "one more": 1})
