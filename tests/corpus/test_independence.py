"""The bytes of a corpus depend on its sources and settings: not on workers, caches or interruptions."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.corpus.fake_run import FakeRun, build, digests, prose, write_jsonl
from workbench.corpus import assembling, copies, measures, preparing, writing
from workbench.corpus.cache import LayerCache
from workbench.data.corpus_folder import read_artifact_documents
from workbench.errors import Stopped, WorkbenchError
from workbench.stages import corpus

SOURCES = ("a.jsonl", "books", "b.txt.gz")
SETTINGS: dict[str, Any] = {
    "heldout_fraction": 0.1,
    "text_split": "blank-lines",
    "max_bad_records": 0.5,
    "filters": ("gopher_repetition", "gopher_quality"),
    "gopher_quality": {"min_stop_words": 0, "min_words": 60},
    "near_duplicates": {"jaccard": 0.6, "bands": 40, "rows": 3},
}


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files of several kinds, cut into some forty blocks."""
    monkeypatch.setattr(corpus, "BLOCK_BYTES", 4000)
    monkeypatch.setattr(corpus, "INLINE_SIZE", 10_000)
    texts = [prose(seed) for seed in range(150)]
    texts[70] = texts[3].upper()  # copies across blocks, and a near copy
    texts[90] = f"{texts[8]} {prose(8888, 2)}"
    texts[91] = "too few words for this filter, and there is no more to say of it"
    write_jsonl(tmp_path / "a.jsonl", [*texts, "short", texts[5]])
    with (tmp_path / "a.jsonl").open("a") as file:
        file.write('{"tex": "typo"}\nnot json\n')
    (tmp_path / "books").mkdir()
    for number in range(3):
        parts = [prose(1000 * (number + 1) + part) for part in range(12)]
        (tmp_path / "books" / f"{number}.txt").write_text("\n\n\n".join([*parts, texts[7]]))
    packed = "\r\n\r\n\r\n".join(f"Caf\u00e9 {prose(seed)}" for seed in range(9000, 9040))
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(packed.encode(), mtime=0))
    return tmp_path


def built(base: Path, name: str, *, sources: tuple[str, ...] = SOURCES, **more: Any) -> dict[str, str]:
    run = FakeRun(base / name / "out")
    build(run, base, *sources, **{**SETTINGS, **more})
    return digests(run.folder)


def test_the_number_of_workers_changes_nothing(sources: Path) -> None:
    one = built(sources, "one", workers=1)
    assert one == built(sources, "two", workers=2) == built(sources, "three", workers=3)
    report = json.loads((sources / "one" / "out" / "report.json").read_text())
    assert report["rejected"] == {
        "duplicate": 5,
        "gopher_too_few_words": 1,
        "near_duplicate": 1,
        "no_text": 1,
        "not_json": 1,
        "too_short": 1,
    }
    assert {"train-00000.jsonl.zst", "heldout.jsonl.zst", "rejected.jsonl.zst", "report.json"} <= one.keys()


def test_what_is_cached_changes_nothing_and_is_not_done_again(
    sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cold = built(sources, "home", workers=1)
    layers = {path: path.read_bytes() for path in (sources / "home" / "cache").rglob("*") if path.is_file()}
    with monkeypatch.context() as patch:
        forbid_work(patch)
        assert built(sources, "home", workers=1) == cold
    for number, (path, data) in enumerate(layers.items()):  # what is damaged is made again
        if number % 3 == 0:
            path.write_bytes(data[:-1])
        elif number % 3 == 1:
            path.unlink()
    assert built(sources, "home", workers=2) == cold
    assert {path: path.read_bytes() for path in layers} == layers


def test_another_threshold_reads_no_text_again(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = built(sources, "home", workers=1)
    changed: dict[str, Any] = {
        "min_characters": 420,
        "gopher_quality": {"min_stop_words": 0, "min_words": 72},
        "near_duplicates": {"jaccard": 0.9, "bands": 40, "rows": 3},
    }
    forbid_work(monkeypatch)
    after = built(sources, "home", workers=1, **changed)
    assert after != before
    assert after == built_fresh(sources, monkeypatch, **changed)


def test_a_new_source_is_all_that_is_worked_on(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built(sources, "home", workers=1)
    write_jsonl(sources / "new.jsonl", [prose(seed) for seed in range(70_000, 70_040)])
    seen: list[str] = []
    documents, figures = preparing._documents, measures.QualityFigures.figures

    def counted(block: Any, *settings: Any) -> Any:
        seen.append(block.source)
        return documents(block, *settings)

    def counted_texts(self: Any, texts: list[str]) -> Any:
        assert seen and len(texts) <= 40
        seen.append("new.jsonl")
        return figures(self, texts)

    with monkeypatch.context() as patch:
        patch.setattr(preparing, "_documents", counted)
        patch.setattr(measures.QualityFigures, "figures", counted_texts)
        after = built(sources, "home", sources=("new.jsonl", *SOURCES), workers=1)
    assert set(seen) == {"new.jsonl"}
    assert after == built_fresh(sources, monkeypatch, sources=("new.jsonl", *SOURCES))


def forbid_work(patch: pytest.MonkeyPatch) -> None:
    """Let every call to extract, measure, sketch or shingle fail."""
    patch.setattr(preparing, "_documents", None)
    patch.setattr(measures.QualityFigures, "figures", None)
    patch.setattr(measures.NearSketches, "figures", None)
    patch.setattr(copies, "shingle_sets", None)


def built_fresh(base: Path, monkeypatch: pytest.MonkeyPatch, **more: Any) -> dict[str, str]:
    """The same in a home without a cache, as if nothing had been patched away."""
    monkeypatch.undo()
    monkeypatch.setattr(corpus, "BLOCK_BYTES", 4000)
    return built(base, "fresh", workers=1, **more)


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.corpus.fake_run import FakeRun, build
from workbench.corpus import assembling, cache, intake, writing
from workbench.stages import corpus

base, place, count, workers = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
corpus.BLOCK_BYTES, corpus.INLINE_SIZE = 4000, 10_000
left = [count]

def deadly(function):
    def called(*arguments, **named):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **named)
    return called

owner, name = {
    "a layer is kept": (cache.LayerCache, "put"),
    "a block is judged": (intake.Judge, "_take"),
    "a file is renamed": (os, "rename"),
    "copies are left out": (corpus, "_leave_out_copies"),
    "a part is joined": (assembling, "_count"),
    "held-out text is written": (corpus, "_without_near_copies"),
    "the report is written": (corpus, "write_atomic"),
}[place]
setattr(owner, name, deadly(getattr(owner, name)))
build(FakeRun(base / "killed" / "out"), base, *SOURCES, **SETTINGS, workers=workers)
raise SystemExit("it was not killed")
"""


@pytest.mark.parametrize(
    ("place", "count", "workers"),
    [
        ("a layer is kept", 0, 1),
        ("a layer is kept", 31, 1),
        ("a file is renamed", 17, 1),
        ("a block is judged", 12, 2),
        ("copies are left out", 0, 2),
        ("a part is joined", 9, 2),
        ("held-out text is written", 0, 1),
        ("the report is written", 0, 1),
    ],
)
def test_a_kill_anywhere_changes_nothing(sources: Path, place: str, count: int, workers: int) -> None:
    script = KILLED.replace("*SOURCES", f"*{SOURCES!r}").replace("**SETTINGS", f"**{SETTINGS!r}")
    arguments = [str(sources), place, str(count), str(workers)]
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (sources / "killed" / "out" / "report.json").exists()
    assert built(sources, "killed", workers=1) == built(sources, "whole", workers=1)


def test_who_is_stopped_while_writing_goes_on_behind_the_last_block(
    sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = built(sources, "whole", workers=1)
    layer, count = writing.Writing._layer, assembling._count
    made: list[int] = []

    def counted(self: writing.Writing, verdicts: writing.Verdicts) -> Any:
        made.append(verdicts.block.number)
        return layer(self, verdicts)

    def stopped(*arguments: Any) -> None:
        if len(made) == 10:
            raise Stopped("stopped")
        count(*arguments)

    monkeypatch.setattr(writing.Writing, "_layer", counted)
    with monkeypatch.context() as patch:
        patch.setattr(assembling, "_count", stopped)
        with pytest.raises(Stopped):
            built(sources, "home", workers=1)
    before = made.copy()
    made.clear()
    assert built(sources, "home", workers=1) == whole
    assert len(before) == 10 and made and not set(before) & set(made)
    assert not list((sources / "home" / "cache").rglob("written/*/*"))


def test_a_layer_that_vanishes_in_the_middle_is_told_and_made_again(
    sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = built(sources, "whole", workers=1)
    run = FakeRun(sources / "home" / "out")
    check = corpus._check

    def loses_a_layer(*arguments: Any) -> None:
        check(*arguments)
        shutil.rmtree(run.cache_folder / "corpus" / "text")

    with monkeypatch.context() as patch:
        patch.setattr(corpus, "_check", loses_a_layer)
        with pytest.raises(WorkbenchError, match=r"a\.jsonl: the cached text .*workbench resume"):
            build(run, sources, *SOURCES, **SETTINGS)
    assert built(sources, "home", workers=1) == whole


def test_the_cache_stays_within_its_bytes_and_spares_what_is_in_use(sources: Path) -> None:
    whole = built(sources, "home", workers=1)
    cache = LayerCache(sources / "home" / "cache" / "corpus")
    assert built(sources, "home", workers=1, cache_bytes=1) == whole
    in_use = cache.num_bytes()
    assert in_use > 0  # of this very run
    for path in cache.folder.rglob("*"):
        os.utime(path, (1, 1))
    (sources / "home" / "out2").mkdir()
    build(FakeRun(sources / "home" / "out2"), sources, "books", **SETTINGS, cache_bytes=1)
    assert 0 < cache.num_bytes() < in_use


def test_only_so_many_documents_are_read_of_each_source(sources: Path) -> None:
    (sources / "limited").mkdir()
    for workers in (1, 2):
        run = FakeRun(sources / "limited" / "out")
        summary = build(run, sources, "a.jsonl", "b.txt.gz", **SETTINGS, max_documents=17, workers=workers)
        assert summary["read"] == 34
        assert "rejected" in summary and "not_json" not in summary["rejected"]
        ids = [document.id for document in read_artifact_documents(run.folder)]
        assert ids == sorted(ids, key=ids.index) and len(ids) <= 34


def test_what_a_corpus_holds_already_is_not_taken_again(sources: Path) -> None:
    """Against a corpus that is there, only new text is kept, and the old blocks come out of the cache."""
    home = sources / "home"
    first = FakeRun(home / "first")
    build(first, sources, "books", **SETTINGS)
    publish(first.folder)
    more = [prose(seed) for seed in range(200, 230)]
    old = (sources / "books" / "0.txt").read_text().split("\n\n\n")
    near = f"{old[2]} {prose(231, 2)}"
    write_jsonl(sources / "more.jsonl", [*more, old[0].upper(), near])
    for workers in (1, 2):
        run = FakeRun(home / "second")
        against = {**SETTINGS["near_duplicates"], "against": (str(first.folder),)}
        summary = build(
            run, sources, "more.jsonl", **{**SETTINGS, "near_duplicates": against, "workers": workers}
        )
        assert summary["read"] == 32
        assert summary["rejected"] == {"duplicate": 1, "near_duplicate": 1}
        kept = {document.id.split("#")[0] for document in read_artifact_documents(run.folder)}
        assert kept <= {f"more.jsonl:{line}" for line in range(1, 31)}
        report = json.loads((run.folder / "report.json").read_text())
        assert list(report["sources"]) == ["more.jsonl"]
        (copy,) = report["rejected_samples"]["near_duplicate"]
        assert copy["copy_of"].endswith("books/0.txt:7") and 0.6 < copy["figure"] < 1


def publish(folder: Path) -> None:
    """A manifest, which makes a corpus of what was built."""
    facts = {"kind": "documents", "fingerprint": "0" * 16, "files": {}}
    (folder / "manifest.json").write_text(json.dumps(facts))
