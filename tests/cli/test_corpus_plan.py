from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Workbench

RECIPE = """name = "web"
[corpus]
sources = ["text.txt"]
filters = ["gopher_quality", "c4"]
[corpus.near_duplicates]
[corpus.c4]
min_sentences = 3
"""


def test_the_plan_tells_the_steps_and_what_is_cached(
    workbench: Workbench, tmp_path: Path, home: Path
) -> None:
    (tmp_path / "text.txt").write_text("some text\n" * 50)
    recipe = tmp_path / "web.toml"
    recipe.write_text(RECIPE)
    layer = home / "cache" / "corpus" / "figures" / "ab"
    layer.mkdir(parents=True)
    (layer / "abcd").write_bytes(bytes(2_000_000))
    out = workbench("plan", recipe, "--set", "corpus.c4.max_lorem_ipsum=1").out
    told = " ".join(out.split())
    assert "length, gopher quality, c4, exact duplicates, near duplicates, held out" in told
    assert "figures 2 MB" in told
    assert "[corpus.c4] max_lorem_ipsum = 1 (--set) min_sentences = 3" in told
    assert max(map(len, out.splitlines())) <= 110
    facts = json.loads(workbench("plan", recipe, "--json").out)
    assert facts["corpus"]["cached_bytes_by_layer"] == {"figures": 2_000_000}
    assert facts["corpus"]["steps"][0] == "length"
