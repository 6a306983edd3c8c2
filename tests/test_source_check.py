"""Files that vanish, change or cannot be read while a corpus is made of them: what is kept, counted and named."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from tests.corpus.fake_run import prose
from workbench import worker
from workbench.artifacts import ArtifactName, Store, verify
from workbench.data import byte_stream
from workbench.data.corpus_folder import read_artifact_documents
from workbench.errors import ExitCode
from workbench.launcher import frozen_plan
from workbench.plan import Plan, make_plan
from workbench.recipe_file import load_recipe
from workbench.runs import Run, create_run
from workbench.source_watch import SourceWatch

FILES = ("a.jsonl", "b.jsonl", "c.jsonl")
LINES = 40
Before = Callable[[str, Callable[[], object]], None]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    (tmp_path / "texts").mkdir()
    for number, name in enumerate(FILES):
        write(tmp_path / "texts" / name, number)
    (tmp_path / "x.toml").write_text(
        'name = "x"\n[corpus]\nsources = ["texts"]\nworkers = 1\n[tokenizer]\nvocab_size = 300\n'
    )
    return tmp_path


def write(file: Path, seed: int) -> None:
    lines = [json.dumps({"text": prose(1000 * seed + line)}) + "\n" for line in range(LINES)]
    file.write_text("".join(lines))


def planned(project: Path) -> Plan:
    return make_plan(load_recipe(project / "x.toml"))


@pytest.fixture
def before(monkeypatch: pytest.MonkeyPatch) -> Before:
    """Do something in the moment before the file of that name is read."""
    todo: dict[str, Callable[[], object]] = {}
    begins = SourceWatch.begins

    def late(self: SourceWatch, source: str, number: int, file: Path) -> None:
        todo.pop(file.name, lambda: None)()
        begins(self, source, number, file)

    monkeypatch.setattr(SourceWatch, "begins", late)
    return todo.__setitem__


def made(plan: Plan) -> tuple[Run, Plan]:
    """The run after its corpus was made, and the plan it has then."""
    run = create_run(plan.home, plan.name, recipe_text=plan.recipe_text, plan=plan.to_dict())
    worker.work_on(run, until="corpus")
    return run, frozen_plan(run)


def corpus_of(plan: Plan) -> tuple[dict[str, Any], dict[str, int]]:
    """The report of a corpus, and how many documents it has of each file."""
    folder = plan.store.folder(plan.stage("corpus").makes)
    verify(folder)
    documents = [*read_artifact_documents(folder, "train"), *read_artifact_documents(folder, "heldout")]
    files = [document.id.partition(":")[0].removeprefix("texts/") for document in documents]
    return json.loads((folder / "report.json").read_text()), dict(Counter(files))


def warnings_of(run: Run) -> list[str]:
    return [event["text"] for event in run.events() if event["kind"] == "warning"]


def test_a_file_that_vanishes_before_its_turn_is_one_bad_record_and_the_rest_is_kept(
    project: Path, before: Before
) -> None:
    plan = planned(project)
    before("b.jsonl", (project / "texts" / "c.jsonl").unlink)
    run, as_read = made(plan)
    assert run.status()["exit_code"] == ExitCode.FINE, run.status()
    report, documents = corpus_of(as_read)
    assert documents == {"a.jsonl": LINES, "b.jsonl": LINES}
    (bad,) = report["bad_records"]
    assert (Path(bad["place"]).name, bad["reason"]) == ("c.jsonl:1", "vanished"), bad
    said = f"c.jsonl in texts: could not be read any more, or not to the end; {as_read.stage('corpus').makes}"
    assert any(text.startswith(said) for text in warnings_of(run))
    # The corpus has the name that whoever has not that file gives it, and nobody finds it under the other.
    assert not plan.store.exists(plan.stage("corpus").makes)
    today = planned(project)
    assert [stage.makes for stage in as_read.stages] == [stage.makes for stage in today.stages]
    assert [stage.inputs for stage in as_read.stages] == [stage.inputs for stage in today.stages]
    # And it goes on.
    worker.work_on(run)
    assert run.status()["state"] == "finished"


def test_it_is_the_corpus_that_the_other_files_make(project: Path, before: Before, tmp_path: Path) -> None:
    before("a.jsonl", (project / "texts" / "b.jsonl").unlink)
    _, as_read = made(planned(project))
    one = as_read.store.folder(as_read.stage("corpus").makes)
    fresh = dataclasses.replace(planned(project), home=tmp_path / "other")
    _, other = made(fresh)
    two = other.store.folder(other.stage("corpus").makes)
    assert one.name == two.name
    for name in ("train-00000.jsonl.zst", "heldout.jsonl.zst"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_a_file_that_vanishes_after_it_was_read_is_in_the_corpus(project: Path, before: Before) -> None:
    plan = planned(project)
    before("c.jsonl", (project / "texts" / "a.jsonl").unlink)
    run, as_read = made(plan)
    assert run.status()["exit_code"] == ExitCode.FINE, run.status()
    report, documents = corpus_of(as_read)
    assert documents == dict.fromkeys(FILES, LINES)
    assert not report["bad_records"] and not warnings_of(run)
    assert as_read.stages == plan.stages


def test_a_file_that_was_written_to_before_its_turn_is_refused(project: Path, before: Before) -> None:
    plan = planned(project)
    before("c.jsonl", lambda: write(project / "texts" / "c.jsonl", 9))
    run, _ = made(plan)
    assert run.status()["exit_code"] == ExitCode.BAD_INPUT
    assert "c.jsonl in texts changed after this run was planned" in run.status()["error"]
    assert not list((plan.store.path / "documents").glob("corpus-*"))


def test_a_file_written_to_and_then_taken_away_is_refused_too(project: Path, before: Before) -> None:
    file = project / "texts" / "b.jsonl"
    before("b.jsonl", lambda: write(file, 9))
    before("c.jsonl", file.unlink)
    run, _ = made(planned(project))
    assert run.status()["exit_code"] == ExitCode.BAD_INPUT
    assert "b.jsonl in texts changed" in run.status()["error"]


def test_what_came_before_the_disk_failed_is_kept_under_a_name_of_its_own(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing:
        """A file of which only the first 10,000 bytes can be read."""

        def __init__(self, file: BinaryIO) -> None:
            self._file = file

        def read(self, _size: int = -1) -> bytes:
            if self._file.tell() >= 10_000:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return self._file.read(min(_size, 10_000) if _size > 0 else 10_000)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

    whole = byte_stream.open_plain_file

    @contextlib.contextmanager
    def opened(path: Path) -> Iterator[Any]:
        with whole(path) as file:
            yield Failing(file) if path.name == "b.jsonl" else file

    plan = planned(project)
    monkeypatch.setattr(byte_stream, "open_plain_file", opened)
    recipe = (project / "x.toml").read_text().replace("workers", "max_bad_records = 0.1\nworkers")
    (project / "x.toml").write_text(recipe)
    plan = planned(project)
    run, as_read = made(plan)
    assert run.status()["exit_code"] == ExitCode.FINE, run.status()
    report, documents = corpus_of(as_read)
    assert 0 < documents["b.jsonl"] < LINES
    assert [bad["reason"] for bad in report["bad_records"]] == ["cannot_be_read"]
    names = {each.stage("corpus").makes for each in (plan, as_read)}
    (project / "texts" / "b.jsonl").unlink()
    assert len(names | {planned(project).stage("corpus").makes}) == 3


def test_what_was_made_before_of_the_other_files_is_taken(project: Path, before: Before) -> None:
    file = project / "texts" / "c.jsonl"
    content = file.read_bytes()
    file.unlink()
    _, less = made(planned(project))
    made_at = (less.store.folder(less.stage("corpus").makes) / "manifest.json").stat().st_mtime_ns
    file.write_bytes(content)
    before("b.jsonl", file.unlink)
    run, as_read = made(planned(project))
    assert run.status()["exit_code"] == ExitCode.FINE, run.status()
    assert as_read.stages == less.stages
    folder = as_read.store.folder(as_read.stage("corpus").makes)
    assert (folder / "manifest.json").stat().st_mtime_ns == made_at
    assert not list(folder.parent.glob(".building-*"))


def test_killed_between_the_new_plan_and_the_new_name_the_run_goes_on(
    project: Path, before: Before, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def dies(*_: object) -> None:
        raise Killed

    plan = planned(project)
    before("b.jsonl", (project / "texts" / "c.jsonl").unlink)
    with monkeypatch.context() as patch:
        patch.setattr(Store, "rename_building", dies)
        with pytest.raises(Killed):
            made(plan)
    run = Run(plan.home / "runs" / plan.name)
    worker.work_on(run, until="corpus")
    assert run.status()["exit_code"] == ExitCode.FINE, run.status()
    _, documents = corpus_of(frozen_plan(run))
    assert documents == {"a.jsonl": LINES, "b.jsonl": LINES}


def test_what_is_no_source_must_still_be_what_it_was(project: Path, before: Before) -> None:
    words = project / "words.txt"
    words.write_text("rude\n")
    recipe = (project / "x.toml").read_text()
    (project / "x.toml").write_text(
        recipe.replace("workers", 'filters = ["c4"]\nc4 = { bad_words = ["words.txt"] }\nworkers')
    )
    before("c.jsonl", lambda: words.write_text("polite\n"))
    run, _ = made(planned(project))
    assert run.status()["exit_code"] == ExitCode.BAD_INPUT
    assert "words.txt changed after this run was planned" in run.status()["error"]


def test_a_plan_of_another_workbench_is_not_named_anew(project: Path, before: Before) -> None:
    plan = planned(project)
    stages = [dataclasses.replace(plan.stages[0], makes=ArtifactName("documents", "corpus", "0" * 64))]
    before("b.jsonl", (project / "texts" / "c.jsonl").unlink)
    run, _ = made(dataclasses.replace(plan, stages=(*stages, *plan.stages[1:])))
    assert run.status()["exit_code"] == ExitCode.BAD_INPUT
    assert "c.jsonl in texts was taken away after this run was planned" in run.status()["error"]
