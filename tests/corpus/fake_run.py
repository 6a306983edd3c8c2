"""What a StageRun does for the corpus stage, without a run folder; and a corpus built with it."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from pathlib import Path
from typing import Any, cast

from workbench.errors import Stopped
from workbench.recipe_corpus import Corpus
from workbench.source_watch import SourceWatch
from workbench.stage_run import StageInputs, StageRun
from workbench.stages import corpus


class FakeRun:
    """Builds in `folder`; the cache lies beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder.parent
        self.cache_folder = folder.parent / "cache"
        self.said: list[str] = []
        self.stop_after: int | None = None

    def start_over(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)

    def progress(self, done: float, total: float | None, unit: str) -> None:
        assert unit.rsplit(maxsplit=1)[-1] in (
            "documents",
            "read",
            "compared",
            "sketched",
            "found",
            "written",
            "cut",
        )
        assert total is None or done <= total

    def check_stop(self) -> None:
        if self.stop_after is not None:
            self.stop_after -= 1
            if self.stop_after < 0:
                raise Stopped("stopped")

    def tell_cost(self, **figures: float) -> None:
        assert all(value >= 0 for value in figures.values())

    def watched(self, watch: SourceWatch) -> None:
        self.watch = watch

    def note(self, text: str) -> None:
        self.said.append(text)

    warning = note


def prose(seed: int, sentences: int = 8) -> str:
    """Sentences of words that no other seed has."""
    draw = random.Random(seed)
    return " ".join(
        " ".join("".join(draw.choices("etaoinshrdlu", k=draw.randint(2, 8))) for _ in range(9)) + "."
        for _ in range(sentences)
    )


def write_jsonl(path: Path, texts: list[str]) -> None:
    """`texts` as JSON lines."""
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))


def build(run: FakeRun, base: Path, *sources: str, **settings: Any) -> dict[str, Any]:
    """The stage's work on files below `base`; gives back its figures."""
    return corpus.run(Corpus(sources=sources, **settings), StageInputs(base), cast(StageRun, run))


def digests(folder: Path) -> dict[str, str]:
    """The digest of every file of an artifact, by name."""
    return {
        path.relative_to(folder).as_posix(): hashlib.blake2b(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
