"""`leftovers`: what runs name stays, whatever became of them; what nobody names can go, and only that goes."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from workbench.artifacts import ArtifactName, Store
from workbench.leftovers import Leftover, leftovers, remove
from workbench.runs import Run, create_run


def name_of(kind: str, digits: str) -> ArtifactName:
    return ArtifactName(kind, kind, digits * 16)


def make(home: Path, name: ArtifactName, *, inputs: dict[str, str] | None = None, size: int = 100) -> Path:
    store = Store(home / "store")
    (store.start(name) / "data").write_bytes(b"x" * size)
    return store.publish(name, stage="made", settings={}, inputs=inputs or {}, summary={})


def run_of(home: Path, *names: ArtifactName, state: str = "finished") -> Run:
    makes = [{"makes": {"kind": n.kind, "label": n.label, "fingerprint": n.fingerprint}} for n in names]
    run = create_run(home, f"run-{names[0].fingerprint[:4]}", recipe_text="", plan={"stages": makes})
    (run.path / "status.json").write_text(json.dumps({"state": state}))
    return run


def paths(found: list[Leftover], home: Path) -> list[str]:
    return [each.path.relative_to(home).as_posix() for each in found]


@pytest.mark.parametrize("state", ["finished", "failed", "stopped", "running"])
def test_what_a_run_names_stays_and_what_that_was_made_of(home: Path, state: str) -> None:
    first, second, third, named = (name_of("documents", digits) for digits in "abc1")
    make(home, first)
    make(home, second, inputs={"documents": "documents/documents-aaaaaaaa"})
    make(home, named, inputs={"documents": "documents/documents-bbbbbbbb"})
    make(home, third)
    run_of(home, named, state=state)
    (found,) = leftovers(home)
    assert found.kind == "artifact" and found.path.name == "documents-cccccccc" and found.num_bytes > 100
    assert remove(home, found) and not found.path.exists()
    left = sorted(entry.name for entry in (home / "store" / "documents").iterdir())
    assert [each for each in left if not each.startswith(".")] == [
        "documents-11111111",
        "documents-aaaaaaaa",
        "documents-bbbbbbbb",
    ]


def test_a_plan_that_is_damaged_keeps_what_it_names(home: Path) -> None:
    name = name_of("tokens", "d")
    make(home, name)
    run = run_of(home, name)
    plan = (run.path / "plan.json").read_text()
    (run.path / "plan.json").write_text(plan[: plan.index(name.fingerprint) + 16])
    assert leftovers(home) == []


def test_an_artifact_that_only_a_recipe_names_stays(home: Path) -> None:
    make(home, name_of("checkpoint", "e"))
    create_run(home, "other", recipe_text='path = "store/checkpoint/checkpoint-eeeeeeee"', plan={})
    assert leftovers(home) == []


def test_a_dead_build_goes_when_no_run_will_go_on_with_it(home: Path) -> None:
    store, resumed, dead, living = Store(home / "store"), *(name_of("checkpoint", each) for each in "123")
    for name in (resumed, dead, living):
        (store.start(name) / "half").write_bytes(b"y" * 50)
    run_of(home, resumed, state="stopped")
    with store.lock(living) or pytest.fail("the lock is free"):
        (found,) = leftovers(home)
        assert (found.kind, found.path, found.num_bytes) == ("build", store.building(dead), 50)
        assert remove(home, found)
    assert store.building(resumed).is_dir() and store.building(living).is_dir()


def test_what_came_to_be_needed_since_it_was_listed_stays(home: Path) -> None:
    name, other = name_of("documents", "a"), name_of("tokens", "b")
    folder, kept = make(home, name), make(home, other)
    by_path = {each.path: each for each in leftovers(home)}
    run_of(home, name)
    assert not remove(home, by_path[folder]) and folder.is_dir()
    with Store(home / "store").lock(other) or pytest.fail("the lock is free"):
        assert not remove(home, by_path[kept])
    assert kept.is_dir()


def test_remains_of_killed_processes_go_after_an_hour_and_trash_at_once(home: Path) -> None:
    folder = home / "store" / "tokens"
    folder.mkdir(parents=True)
    for name in (".tmp-old", ".tmp-new", ".trash-x"):
        (folder / name).mkdir()
        (folder / name / "part").write_bytes(b"z" * 10)
    hours_ago = time.time() - 7200
    os.utime(folder / ".tmp-old", (hours_ago, hours_ago))
    found = leftovers(home)
    assert paths(found, home) == ["store/tokens/.tmp-old", "store/tokens/.trash-x"]
    assert all(remove(home, each) for each in found)
    assert [entry.name for entry in folder.iterdir()] == [".tmp-new"]


def test_caches_go_only_while_no_run_is_at_work(home: Path) -> None:
    for name in ("corpus", "compiled"):
        (home / "cache" / name).mkdir(parents=True)
        (home / "cache" / name / "entry").write_bytes(b"c" * 7)
    (home / "cache" / "measured.json").write_text("{}")
    run = run_of(home, name_of("tokens", "f"), state="running")
    found = leftovers(home)
    assert paths(found, home) == ["cache/compiled", "cache/corpus"] and leftovers(home, caches=False) == []
    with run.take_lock():
        assert leftovers(home) == []
        assert not remove(home, found[0]) and found[0].path.is_dir()
    assert remove(home, found[1]) and not found[1].path.exists()
    assert (home / "cache" / "measured.json").exists()


def test_nothing_of_others_is_touched_and_no_link_is_followed(home: Path, tmp_path: Path) -> None:
    elsewhere = make(tmp_path / "other", name_of("documents", "a"))
    folder = home / "store" / "documents"
    folder.mkdir(parents=True)
    (folder / "documents-aaaaaaaa").symlink_to(elsewhere)
    (folder / "mine-12345678").mkdir()
    (folder / "notes.txt").write_text("mine")
    assert leftovers(home) == []
