"""The same corpus, byte for byte, when its blocks were prepared by an engine for many machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.corpus.fake_run import FakeRun, build, digests, prose, write_jsonl
from workbench.corpus import preparing
from workbench.recipe_corpus import Corpus
from workbench.stages import corpus

executor = pytest.importorskip("datatrove.executor")


@pytest.mark.filterwarnings("ignore")  # the engine's own
def test_two_workers_of_the_engine_make_what_a_run_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workbench.stages.corpus_engine import block_step

    monkeypatch.setattr(corpus, "BLOCK_BYTES", 4000)
    texts = [prose(seed) for seed in range(120)]
    write_jsonl(tmp_path / "a.jsonl", [*texts, texts[3], f"{texts[4]} {prose(999, 1)}", "short"])
    (tmp_path / "b.txt").write_text("\n\n\n".join(prose(seed) for seed in range(500, 520)))
    settings = {
        "filters": ("gopher_repetition",),
        "near_duplicates": {"jaccard": 0.6},
        "text_split": "blank-lines",
    }
    alone, after = FakeRun(tmp_path / "alone" / "out"), FakeRun(tmp_path / "engine" / "out")
    build(alone, tmp_path, "a.jsonl", "b.txt", **settings)
    table = Corpus(sources=("a.jsonl", "b.txt"), **settings)
    step = block_step(table, base=tmp_path, home=after.home, block_bytes=4000)
    executor.LocalPipelineExecutor(
        [step], tasks=3, workers=2, logging_dir=str(tmp_path / "logs"), skip_completed=False
    ).run()
    monkeypatch.setattr(preparing, "_documents", None)  # a block that the engine left out would fail
    build(after, tmp_path, "a.jsonl", "b.txt", **settings)
    assert digests(after.folder) == digests(alone.folder)
