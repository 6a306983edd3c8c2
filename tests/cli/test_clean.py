"""`clean`: lists, removes when told to, and says what it did in one line."""

from __future__ import annotations

import json

from workbench.plan import Plan

from .conftest import Workbench, write_run


def test_what_a_run_names_is_not_listed(workbench: Workbench, plan: Plan) -> None:
    write_run(plan)
    told = workbench("clean")
    assert (told.code, told.out, told.err) == (0, "nothing can go\n", "")


def test_it_lists_and_removes_only_when_told_to(workbench: Workbench, plan: Plan) -> None:
    run = write_run(plan)
    for file in run.path.iterdir():
        if file.is_file():
            file.unlink()
    listed = json.loads(workbench("clean", "--json").out)
    assert listed["removed"] is False and listed["at_work"] == []
    assert {item["path"].split("/")[1] for item in listed["items"]} == {"documents", "tokenizer", "tokens"}
    assert listed["bytes"] == sum(item["bytes"] for item in listed["items"]) > 0
    assert all((plan.home / item["path"]).is_dir() and not item["removed"] for item in listed["items"])
    told = workbench("clean")
    assert "3 things can go" in told.out.splitlines()[-1] and "--yes" in told.out
    told = workbench("clean", "--yes")
    assert told.code == 0 and told.out.splitlines()[-1].startswith("removed 3 things, ")
    assert not any((plan.home / item["path"]).exists() for item in listed["items"])
    assert workbench("clean").out == "nothing can go\n"


def test_caches_can_be_kept(workbench: Workbench, plan: Plan) -> None:
    (plan.home / "cache" / "corpus").mkdir(parents=True)
    (plan.home / "cache" / "corpus" / "layer").write_bytes(b"1234")
    assert workbench("clean", "--yes", "--keep-caches").out == "nothing can go\n"
    assert "removed 1 thing, 4 B" in workbench("clean", "--yes").out
    assert not (plan.home / "cache" / "corpus").exists()
