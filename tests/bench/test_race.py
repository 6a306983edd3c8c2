from __future__ import annotations

import contextlib
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.bench.conftest import VOCAB, race_job
from workbench.bench import race
from workbench.bench.jobs import run_job
from workbench.bench.ours import Ours
from workbench.bench.process import measure_apart
from workbench.bench.race import compare, race_wins, seconds_to_reach
from workbench.bench.race_tokens import RaceTokens, prepare_tokens, standard_library
from workbench.bench.settings import OurSettings, parse_settings
from workbench.bench.windows import HeldOut
from workbench.bench.workload import Workload
from workbench.data.shards import TokenShards
from workbench.errors import BadInput, WorkbenchError


def points(*pairs: tuple[float, float]) -> list[dict[str, float]]:
    return [{"seconds": seconds, "bits_per_byte": figure} for seconds, figure in pairs]


def test_a_curve_reaches_a_figure_between_its_points() -> None:
    curve = points((10, 3.0), (20, 2.0), (30, 2.5), (40, 1.0))
    assert seconds_to_reach(curve, 2.25) == pytest.approx(17.5)
    assert seconds_to_reach(curve, 3.5) == 10
    assert seconds_to_reach(curve, 0.9) is None


def test_ratios_are_ours_over_theirs() -> None:
    ours = {"name": "workbench", "bits_per_byte": 1.5, "tokens_per_second": 300.0, "peak_mb": 70.0}
    theirs = {"name": "nanogpt", "bits_per_byte": 2.0, "tokens_per_second": 200.0, "peak_mb": 100.0}
    found = compare(
        ours | {"curve": points((10, 3.0), (20, 2.0), (60, 1.5)), "seconds": 60.0},
        theirs | {"curve": points((60, 2.0)), "seconds": 60.0},
    )
    assert (found.bits_per_byte_ratio, found.tokens_per_second_ratio, found.peak_memory_ratio) == (
        0.75,
        1.5,
        0.7,
    )
    assert found.reached_at == 20 and found.time_ratio == pytest.approx(1 / 3)


def test_each_win_gives_what_its_row_is_ahead_of_the_row_before(
    workload: Workload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def turn(job: Any, **_: Any) -> dict[str, Any]:
        asked.append(job)
        return {"bits_per_byte": 3.0 - len(asked) / 2}

    monkeypatch.setattr(race, "measure_apart", turn)
    plain, half, whole = (parse_settings([f"batch_tokens={count}"]) for count in (64, 32, 16))
    rows = race_wins(
        [("plain", plain), ("+ one", half), ("+ two", whole)],
        {"name": "workbench", "bits_per_byte": 2.25},
        RaceTokens(tmp_path, tmp_path, {}),
        workload,
        seconds=5,
        every=1,
        say=lambda _: None,
    )
    assert [(row["name"], row["bits_per_byte"], row["gives"]) for row in rows] == [
        ("plain", 2.5, None),
        ("+ one", 2.0, 0.5),
        ("+ two", 2.25, -0.25),  # has raced already
    ]
    assert [job["settings"] for job in asked] == [plain.to_json(), half.to_json()]
    assert {job["seconds"] for job in asked} == {5}


def test_the_text_that_is_everywhere_is_pythons_own_library() -> None:
    files = standard_library()
    names = {file.name for file in files}
    assert {"argparse.py", "random.py"} <= names and len(files) > 200
    assert not any({"site-packages", "test", "tests"} & set(file.parts) for file in files)


def test_a_model_that_knows_nothing_needs_all_bits_of_every_byte(token_folder: Path) -> None:
    heldout = HeldOut.open(token_folder, context_length=16)
    figure = heldout.bits_per_byte(
        lambda ids_BT: torch.zeros(*ids_BT.shape, VOCAB), device=torch.device("cpu"), all_windows=True
    )
    assert figure == pytest.approx(math.log2(VOCAB) / 2)  # two bytes a token; the bos is not counted


def test_ours_learns_in_a_race(workload: Workload, token_folder: Path) -> None:
    told: list[Any] = []
    job = race_job(workload, token_folder, system="ours", settings=OurSettings().to_json())
    row = run_job(job, told.append)
    first, last = row["curve"][0], row["curve"][-1]
    assert last["bits_per_byte"] < first["bits_per_byte"] / 2
    assert row["seconds"] >= 0.3
    # (the last token of an epoch has no successor to learn)
    assert row["steps"] <= row["tokens"] / (workload.batch_tokens - 1) and row["tokens"] <= (
        row["steps"] * workload.batch_tokens
    )
    assert told == row["curve"] and row["mfu"] > 0 and row["peak_mb"] > 10


def test_first_weights_from_bigrams_are_fitted_on_the_clock_and_anew_after_a_restart(
    workload: Workload, token_folder: Path
) -> None:
    settings = parse_settings(["initializer=bigrams", "tie_word_embeddings=false"])
    ours, tokens = Ours(workload, settings), TokenShards.open(token_folder)
    heldout = HeldOut.open(token_folder, context_length=16)

    def figure() -> float:
        return heldout.bits_per_byte(ours.logits, device=torch.device("cpu"), all_windows=True)

    unfitted, fitted = figure(), []
    assert unfitted > 4
    for _ in range(2):
        ours.restart()
        assert figure() == unfitted
        with contextlib.closing(
            ours.steps(tokens, lambda: 1.0)
        ) as steps:  # at the end of its time a rate is 0
            next(steps)
        fitted.append(figure())
    assert fitted[0] == fitted[1] < 1


def test_a_peer_learns_on_the_same_tokens_in_a_process_of_its_own(
    workload: Workload, token_folder: Path, checkout: Path
) -> None:
    job = race_job(workload, token_folder, system="nanogpt", place=str(checkout))
    row = measure_apart(job)
    assert row["parameters"] == 2 * VOCAB * workload.hidden_size
    assert row["curve"][-1]["bits_per_byte"] < row["curve"][0]["bits_per_byte"]


def test_what_a_checkout_fails_with_is_one_line(
    workload: Workload, token_folder: Path, checkout: Path
) -> None:
    (checkout / "model.py").write_text("import something_they_need\n", encoding="utf-8")
    with pytest.raises(WorkbenchError, match=r"^nanogpt: .*something_they_need") as caught:
        measure_apart(race_job(workload, token_folder, system="nanogpt", place=str(checkout)))
    assert "\n" not in str(caught.value)


def test_text_becomes_tokens_once(tmp_path: Path) -> None:
    texts = [" ".join(str(number * word % 1009) for word in range(40)) for number in range(1, 400)]
    file = tmp_path / "texts.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    said: list[str] = []

    def prepare(vocab_size: int = 400) -> Any:
        folder = tmp_path / "kept"
        return prepare_tokens([str(file)], folder, vocab_size=vocab_size, context_length=8, say=said.append)

    made = prepare()
    train, heldout = TokenShards.open(made.train), TokenShards.open(made.heldout)
    assert train.num_documents + heldout.num_documents == len(texts)
    assert made.facts["train_tokens"] == train.num_tokens > heldout.num_tokens > 8
    sizes = np.load(made.heldout / "token-bytes.npy", allow_pickle=False)
    assert sizes[heldout.read(0, heldout.num_tokens)].sum() == made.facts["heldout_bytes"]
    assert all(0 < figure < 8 for figure in made.facts["baselines"].values())
    assert prepare() == made and len(said) == 1
    with pytest.raises(BadInput, match="tokens of other text"):
        prepare(vocab_size=500)


def test_too_little_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(" ".join(str(word * 7919) for word in range(900)), encoding="utf-8")
    with pytest.raises(BadInput, match="do not fill a window"):
        prepare_tokens(
            [str(tmp_path / "text.txt")], tmp_path, vocab_size=320, context_length=8, say=lambda _: None
        )


def test_a_measurement_ends_with_whoever_wanted_it(workload: Workload, token_folder: Path) -> None:
    job = race_job(workload, token_folder, system="ours", settings=OurSettings().to_json()) | {
        "seconds": 3600
    }
    command = [sys.executable, "-m", "workbench.bench.process"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None and child.stdout is not None
        child.stdin.write(json.dumps(job) + "\n")
        child.stdin.flush()
        assert "point" in json.loads(child.stdout.readline())  # it is at work
        child.stdin.close()
        assert child.wait(timeout=60) == 1
