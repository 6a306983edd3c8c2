from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as some

from workbench import layout
from workbench.errors import BadInput
from workbench.layout import (
    Layout,
    Seat,
    check_devices,
    check_engine,
    check_moment_blocks,
    check_rows,
    check_slices,
    lay_out,
    part_of,
)
from workbench.model_config import ModelConfig


@given(some.integers(0, 1000), some.integers(1, 64))
def test_parts_are_all_of_it_in_order_and_about_equal(count: int, parts: int) -> None:
    dealt = [part_of(count, part, parts) for part in range(parts)]
    assert [number for part in dealt for number in part] == list(range(count))
    sizes = {len(part) for part in dealt}
    assert max(sizes) - min(sizes) <= 1


def test_what_slices_and_copies_leave_is_sharded() -> None:
    assert lay_out(8, tensor_parallel=2, replicate=2) == Layout(replicate=2, shard=2, tensor=2)
    assert lay_out(4) == Layout(shard=4)
    assert lay_out(1, tensor_parallel=2, replicate=3) == Layout()
    assert str(lay_out(1)) == "1" and str(lay_out(4, replicate=2)) == "4 (2 x 2 x 1)"


@pytest.mark.parametrize(
    ("ranks", "keys"), [(0, {}), (-1, {}), (3, {"replicate": 2}), (2, {"tensor_parallel": 4})]
)
def test_what_cannot_be_laid_out(ranks: int, keys: dict[str, int]) -> None:
    with pytest.raises(BadInput):
        lay_out(ranks, **keys)


def test_a_batch_has_rows_for_all() -> None:
    check_rows(2, lay_out(4, tensor_parallel=2), what="rows")
    with pytest.raises(BadInput, match="4 processes share a batch of 3 rows"):
        check_rows(3, lay_out(4), what="rows")


@pytest.mark.parametrize(
    ("shape", "shards"),
    [
        ((300, 64), 2),  # 150 rows are 37.5 blocks
        ((4096,), 3),
        ((4, 1024), 3),  # two rows, two rows and none
    ],
)
def test_shards_must_not_cut_blocks_of_moments(shape: tuple[int, ...], shards: int) -> None:
    with pytest.raises(BadInput, match=f"cannot cut {' x '.join(map(str, shape))} parameters into {shards}"):
        check_moment_blocks(shape, shards)
    check_moment_blocks(shape, 1)


@pytest.mark.parametrize(
    ("shape", "shards"),
    [((304, 64), 2), ((43, 256), 3), ((4096,), 2), ((63, 64), 2), ((100, 65), 3)],
    ids=["even", "uneven", "vector", "small", "no whole blocks anyway"],
)
def test_shards_between_blocks(shape: tuple[int, ...], shards: int) -> None:
    check_moment_blocks(shape, shards)


def test_slices_are_sharded_evenly_along_columns() -> None:
    model = ModelConfig(
        vocab_size=300,
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        intermediate_size=64,
        max_position_embeddings=16,
        head_dim=12,
    )
    check_slices(model, lay_out(6, tensor_parallel=2))
    check_slices(model, lay_out(5))
    with pytest.raises(BadInput, match="5 shards of slices do not divide hidden_size = 48"):
        check_slices(model, lay_out(10, tensor_parallel=2))
    with_values = dataclasses.replace(model, value_embeddings=True)
    with pytest.raises(BadInput, match=r"3 shards of slices do not divide what a gate .* reads = 32"):
        check_slices(with_values, lay_out(6, tensor_parallel=2))


def test_more_processes_than_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "NVIDIA", tmp_path / "gpus")
    check_devices(9)  # no GPU: processes share the cores
    for name in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / "gpus" / name).mkdir(parents=True)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    check_devices(2)
    with pytest.raises(BadInput, match=r"--nproc 3 is more than the 2 GPUs of this machine"):
        check_devices(3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    with pytest.raises(BadInput, match="the 1 GPU of"):
        check_devices(2)


def test_a_seat_is_what_torchrun_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Seat.here() == Seat()
    for name, value in {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    assert Seat.here() == Seat(rank=5, ranks=8, local_rank=1, local_ranks=4)


@pytest.mark.parametrize(
    ("key", "value", "fix"),
    [
        ("optimizer", "muon", "choose 'adamw'"),
        ("ema_decay", 0.9, "leave it out"),
        ("dtype", "float8", "choose 'auto'"),
    ],
)
def test_what_deepspeed_does_not_do(key: str, value: object, fix: str) -> None:
    settings = SimpleNamespace(**{"engine": "deepspeed", "optimizer": "adamw", key: value})
    check_engine(settings, lay_out(1))
    with pytest.raises(
        BadInput, match=f'engine = "deepspeed" has no {key} = .*; {fix}, or take engine = "fsdp"'
    ):
        check_engine(settings, lay_out(2))
    check_engine(SimpleNamespace(**vars(settings) | {"engine": "fsdp"}), lay_out(2))
