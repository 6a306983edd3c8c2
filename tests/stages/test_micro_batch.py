"""A cut that nobody named: chosen by memory, halved where a GPU runs out of it, and the same after a resume."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from workbench.errors import BadInput, WorkbenchError
from workbench.layout import lay_out
from workbench.model_config import ModelConfig
from workbench.recipe import Dpo, Pretrain, Sft
from workbench.stage_run import StageRun
from workbench.stages.micro_batch import choose_micro_batch, halve_until_it_fits, least_of_all
from workbench.train.device import prepare_machine
from workbench.train.ranks import Ranks
from workbench.training_step import cuts, least_bytes, peak_bytes, step_of

SETTINGS = Pretrain(tokens=1_000_000, batch_tokens=65_536, context_length=256)
CONFIG = ModelConfig(
    vocab_size=300,
    hidden_size=64,
    num_hidden_layers=4,
    num_attention_heads=2,
    num_key_value_heads=2,
    intermediate_size=128,
    max_position_embeddings=256,
    head_dim=32,
)


class Listener:
    """Stands in for a run: keeps what is said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)

    warning = note


def chosen(
    folder: Path, *, free_bytes: int, settings: Pretrain = SETTINGS, **more: Any
) -> tuple[int, list[str]]:
    listener = Listener(folder)
    tokens = choose_micro_batch(
        cast(StageRun, listener),
        settings,
        CONFIG,
        machine=prepare_machine("float32"),
        free_bytes=free_bytes,
        **more,
    )
    return tokens, listener.said


def test_all_at_once_where_it_fits(tmp_path: Path) -> None:
    assert chosen(tmp_path, free_bytes=64 << 30) == (65_536, [])


def test_the_largest_cut_that_fits_is_chosen_and_said(tmp_path: Path) -> None:
    tokens, (said,) = chosen(tmp_path, free_bytes=600 << 20)
    assert 65_536 % tokens == 0 and tokens % 256 == 0 and tokens < 65_536
    assert f"{tokens:,}" in said

    def peak(at_once: int) -> int:
        cut = SETTINGS.model_copy(update={"micro_batch_tokens": at_once})
        return peak_bytes(step_of(cut, CONFIG))

    assert peak(tokens) <= 0.9 * (600 << 20) < peak(2 * tokens)


def test_what_fits_only_without_the_copy_of_a_checkpoint_is_taken(tmp_path: Path) -> None:
    row = step_of(SETTINGS.model_copy(update={"micro_batch_tokens": 256}), CONFIG)
    assert least_bytes(row) < peak_bytes(row)
    tokens, (said,) = chosen(tmp_path, free_bytes=round(least_bytes(row) / 0.9) + 9)
    assert tokens == 256 and "256" in said


def test_what_the_recipe_says_is_done(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"micro_batch_tokens": 512})
    assert chosen(tmp_path, free_bytes=1, settings=settings) == (512, [])


def test_who_goes_on_cuts_as_before_whatever_is_free(tmp_path: Path) -> None:
    for step, tokens in ((8, 512), (16, 1024)):
        numbers = tmp_path / f"step-{step:08d}" / "training" / "state.json"
        numbers.parent.mkdir(parents=True)
        numbers.write_text(json.dumps({"environment": {"micro_batch_tokens": tokens}}))
    assert chosen(tmp_path, free_bytes=64 << 30) == (1024, [])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert chosen(elsewhere, free_bytes=64 << 30, begin=tmp_path / "step-00000008") == (512, [])


def test_a_row_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"a single row of 256 tokens needs about .* smaller"):
        chosen(tmp_path, free_bytes=100 << 20)


@pytest.mark.parametrize(
    ("settings", "row", "expected"),
    [
        (Sft(batch_tokens=1000), 128, [2000, 1000, 500, 250, 128]),
        (Dpo(batch_pairs=4), 100, [800, 400, 200]),
        (Pretrain(tokens=9000, batch_tokens=80, context_length=16), None, [80, 16]),
    ],
)
def test_batches_are_cut_down_to_a_row_or_a_pair(settings: Any, row: int | None, expected: list[int]) -> None:
    assert cuts(settings, row=row) == expected


def test_of_several_devices_each_takes_its_share_of_a_cut() -> None:
    settings = SETTINGS.model_copy(update={"batch_tokens": 10 * 256})
    assert cuts(settings, lay_out(4)) == [5 * 256, 2 * 256, 256], "3 rows a device, in parts that divide 10"
    step = step_of(settings, CONFIG, lay_out(4), at_once=5 * 256)
    assert (step.rows, step.micro_batches) == (3, 1)
    assert cuts(Dpo(batch_pairs=4), lay_out(2), 100) == [400, 200]


@pytest.mark.parametrize(("version", "known"), [("2.13.0+cu130", True), ("3.0.1", True), ("2.12.1", False)])
def test_the_installed_torch_decides_whether_documents_need_a_mask(
    version: str, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda package: version)
    monkeypatch.setattr("workbench.training_step.has_gpu", lambda: True)
    step = step_of(SETTINGS.model_copy(update={"micro_batch_tokens": 256}), CONFIG)
    assert step.masked and step.writes_mask is not known


def test_running_out_of_memory_halves_and_leaves_no_trace(tmp_path: Path) -> None:
    tried, listener = [], Listener(tmp_path)

    def try_out(tokens: int) -> None:
        tried.append(tokens)
        torch.rand(3)
        if tokens > 300:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    before = torch.get_rng_state()
    assert halve_until_it_fits(cast(StageRun, listener), 1280, context_length=256, try_out=try_out) == 256
    assert tried == [1280, 512, 256] and len(listener.said) == 2
    assert torch.equal(before, torch.get_rng_state())


def test_a_row_that_runs_out_of_memory_ends_in_one_line(tmp_path: Path) -> None:
    def try_out(tokens: int) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.\nmore")

    with pytest.raises(WorkbenchError, match="a single row") as caught:
        halve_until_it_fits(cast(StageRun, Listener(tmp_path)), 512, context_length=256, try_out=try_out)
    assert "\n" not in str(caught.value)


class OtherRank(Ranks):
    """One of two, of which the other found what it found; 0 for nothing."""

    def __init__(self, found: int) -> None:
        self._found = found

    def smallest(self, value: int) -> int:
        return min(value, self._found)


@pytest.mark.parametrize(("mine", "theirs", "said"), [(512, 512, 0), (512, 256, 1), (256, 512, 0)])
def test_of_several_ranks_the_one_with_least_memory_decides(
    tmp_path: Path, mine: int, theirs: int, said: int
) -> None:
    listener = Listener(tmp_path)
    assert least_of_all(cast(StageRun, listener), OtherRank(theirs), lambda: mine) == min(mine, theirs)
    assert len(listener.said) == said


def test_a_row_that_one_rank_does_not_bear_ends_all(tmp_path: Path) -> None:
    run = cast(StageRun, Listener(tmp_path))
    with pytest.raises(WorkbenchError, match="another rank's GPU does not hold"):
        least_of_all(run, OtherRank(0), lambda: 512)

    def find() -> int:
        raise WorkbenchError("mine does not", fix="")

    with pytest.raises(WorkbenchError, match="mine does not"):
        least_of_all(run, OtherRank(512), find)
