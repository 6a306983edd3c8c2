"""A checkpoint that all ranks write together: nobody ever holds the whole, and it exists whole or not at all.

    first   makes the folder .tmp-…, if there is room on the disk
    each    training/state-0000k-of-0000n.safetensors    its blocks of the optimizer's state, one after the other
            model-0000k-of-0000n.safetensors             whole tensors, as others load them: they come together one by
                                                         one, and each rank keeps every n-th until it is written
            makes its files durable, and tells the first their digests
    first   indexes, config.json, tokenizer, numbers; the manifest; the name

Blocks that several ranks hold are written by one of them. What is written depends on layout and data alone. A rank that
dies leaves the checkpoint before as it was; a disk that is full is told by the first and tried again by all. Knows no
recipe, no run and no clock. Imported only where there are several processes.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import Tensor

from workbench.errors import DiskFull, TrainingDiverged
from workbench.files import TEMPORARY_PREFIX
from workbench.model.folder import write_config
from workbench.model.hf_names import hf_sources, to_hf
from workbench.model.transformer import Decoder
from workbench.model_config import ModelConfig
from workbench.tensor_files import MODEL, STATE_TENSORS, index_name, part_name
from workbench.tokenizer import Tokenizer, stop_ids
from workbench.train.averaging import WeightAverage
from workbench.train.checkpoint import TrainingState, numbers_text, published, random_state
from workbench.train.checkpoint_folder import prune, step_folder
from workbench.train.ranks import Ranks
from workbench.train.sharded_optimizers import ShardedOptimizers
from workbench.train.shards import Block, block_of
from workbench.train.snapshot import Saved, check_finite, publish_checkpoint, whole_or_nothing
from workbench.train.state_files import index_text
from workbench.train.tensor_writer import TensorWriter

TRY_AGAIN, DONE, DIVERGED = "full", "done", "diverged: "
"""What the first rank tells of a try."""
Place = tuple[tuple[int, ...], tuple[int, ...]]
"""Of a block: where it begins, and its shape."""
Kind = tuple[torch.dtype, tuple[int, ...]]
"""Type and shape."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HeldSnapshot:
    """What a checkpoint of now holds, as far as this rank holds it: the training's own tensors, not copies.

    weights: those that others load, under our names, each one of which the rank holds a part. blocks: of the state.
    numbers: the text of training/state.json. best_step: the one with the lowest held-out loss so far.
    """

    step: int
    best_step: int | None
    shape: ModelConfig
    weights: Mapping[str, Tensor]
    blocks: Mapping[str, Block]
    numbers: str

    @property
    def nbytes(self) -> int:
        """Bytes of all whole tensors, on all ranks together. The first rank's is the right one."""
        weights = sum(tensor.numel() * tensor.itemsize for tensor in self.weights.values())
        return weights + sum(block.shape.numel() * block.part.itemsize for block in self.blocks.values())


class Report(TypedDict):
    """What a rank tells of its files: their entries in the manifest, or why there are none.

    starts: of each block in its state file. errno, problem: of a disk that refused.
    """

    files: dict[str, dict[str, Any]]
    starts: dict[str, list[int]]
    diverged: str | None
    errno: int | None
    problem: str | None


def hold_snapshot(
    model: Decoder,
    optimizer: ShardedOptimizers,
    state: TrainingState,
    *,
    ranks: Ranks,
    average: WeightAverage | None = None,
) -> HeldSnapshot:
    """What a checkpoint of now holds: write it before the next step. average: published instead, where it holds any."""
    ranks.settle(model)
    weights, newest = published(model, state, average)
    blocks = optimizer.blocks() | {name: block_of(tensor.detach()) for name, tensor in newest.items()}
    if ranks.is_first:  # every rank has random numbers of its own; those of the first count
        blocks |= {name: block_of(tensor) for name, tensor in random_state().items()}
    # Wide numbers first: so every tensor of a file begins where numbers of its type may.
    blocks = dict(sorted(blocks.items(), key=lambda item: -item[1].part.itemsize))
    return HeldSnapshot(
        step=state.step,
        best_step=state.best_step,
        shape=model.config,
        weights={name: tensor.detach() for name, tensor in weights.items()},
        blocks=blocks,
        numbers=numbers_text(state),
    )


def write_together(
    folder: Path,
    snapshot: HeldSnapshot,
    *,
    ranks: Ranks,
    tokenizer: Tokenizer,
    keep_last: int = 2,
    keep: Collection[int] = (),
) -> Saved:
    """Write `folder/step-…` as `write_snapshot` does; for the first rank, while the others `help_write`.

    Raises DiskFull with everything cleared away: all may try again. TrainingDiverged, as every rank does then. NoSpace
    when the disk refuses otherwise: then this rank is to end, and with it the others.
    """
    final = step_folder(folder, snapshot.step)
    building = folder / f"{TEMPORARY_PREFIX}{final.name}-{secrets.token_hex(4)}"
    try:
        with whole_or_nothing(building, needed=snapshot.nbytes):
            (building / STATE_TENSORS).parent.mkdir()
            ranks.agree(building.name)
            reports = ranks.tell_all(_write_mine(building, snapshot, ranks))
            _raise_what_was_told(reports)
            _write_indexes(building, snapshot, reports)
            write_config(
                building,
                snapshot.shape,
                dtype=next(iter(snapshot.weights.values())).dtype,
                bos_id=tokenizer.bos_id,
                stop_ids=stop_ids(tokenizer),
                pad_id=tokenizer.pad_id,
            )
            size = publish_checkpoint(
                building,
                final,
                numbers=snapshot.numbers,
                step=snapshot.step,
                tokenizer=tokenizer,
                known={name: entry for report in reports for name, entry in report["files"].items()},
            )
    except DiskFull:
        ranks.agree(TRY_AGAIN)
        raise
    except TrainingDiverged as diverged:
        ranks.agree(f"{DIVERGED}{diverged.message}")
        raise
    prune(folder, keep_last=keep_last, keep={*keep, snapshot.best_step})
    ranks.agree(DONE)
    return Saved(final, size)


def help_write(folder: Path, snapshot: HeldSnapshot, *, ranks: Ranks) -> bool:
    """Write this rank's part of what the first one writes; False where the disk was too full, and all try again.

    Raises TrainingDiverged, as every rank does then.
    """
    told = ranks.agree("")
    if told == TRY_AGAIN:
        return False
    ranks.tell_all(_write_mine(folder / told, snapshot, ranks))
    told = ranks.agree("")
    if told.startswith(DIVERGED):
        raise TrainingDiverged(told.removeprefix(DIVERGED))
    return told == DONE


def _write_mine(building: Path, snapshot: HeldSnapshot, ranks: Ranks) -> Report:
    """Write this rank's files. When that fails the others still get what this rank holds of their tensors."""
    report = Report(files={}, starts={}, diverged=None, errno=None, problem=None)
    places = ranks.tell_all(
        {name: (block.start, tuple(block.part.shape)) for name, block in snapshot.blocks.items()}
    )
    stored, turns = _stored_weights(snapshot, ranks.count)
    weights = _come_together(snapshot, turns, ranks)
    try:
        blocks = {name: snapshot.blocks[name] for name in share_out(places)[ranks.number]}
        report["starts"] = {name: list(block.start) for name, block in blocks.items()}
        file = part_name(STATE_TENSORS, ranks.number + 1, ranks.count)
        parts = ((name, block.part) for name, block in blocks.items())
        kinds = {name: _kind(block.part) for name, block in blocks.items()}
        report["files"][file] = _write_file(building / file, kinds, parts)
        if mine := [names[ranks.number] for names in turns if ranks.number < len(names)]:
            file = part_name(MODEL, ranks.number + 1, len(turns[0]))
            kinds = {name: _kind(stored[name]) for name in mine}
            report["files"][file] = _write_file(building / file, kinds, weights)
    except TrainingDiverged as error:
        report["diverged"] = error.message
    except OSError as error:
        report["errno"], report["problem"] = error.errno, f"rank {ranks.number}: {error}"
    for _ in weights:
        pass
    return report


def _write_file(
    path: Path, kinds: Mapping[str, Kind], tensors: Iterable[tuple[str, Tensor]]
) -> dict[str, Any]:
    with TensorWriter(path, kinds) as writer:
        for name, tensor in tensors:
            check_finite(name, tensor)
            writer.add(name, tensor)
            del tensor  # before the next is asked for
        return writer.finish()


def _kind(tensor: Tensor) -> Kind:
    return tensor.dtype, tuple(tensor.shape)


def share_out(places: Sequence[Mapping[str, Place]]) -> list[list[str]]:
    """The names of the blocks that each rank writes: of those who hold a block the one who has least to write so far.

    places: of every rank, where the blocks that it holds lie. All ranks come to the same.
    """
    shares: list[list[str]] = [[] for _ in places]
    numbers = [0] * len(places)  # to be written by each
    for name in dict.fromkeys(itertools.chain.from_iterable(places)):
        holders: dict[Place, list[int]] = {}
        for rank, held in enumerate(places):
            if name in held:
                start, shape = held[name]
                holders.setdefault((tuple(start), tuple(shape)), []).append(rank)
        for (_, shape), ranks in holders.items():
            if math.prod(shape):
                chosen = min(ranks, key=lambda rank: (numbers[rank], rank))
                shares[chosen].append(name)
                numbers[chosen] += math.prod(shape)
    return shares


def take_turns(sizes: Mapping[str, int], ranks: int) -> list[list[str]]:
    """The names in turns, one for each rank, the largest first: what ranks write at a time is then about equal."""
    names = sorted(sizes, key=lambda name: (-sizes[name], name))
    return [names[first : first + ranks] for first in range(0, len(names), ranks)]


def _stored_weights(snapshot: HeldSnapshot, ranks: int) -> tuple[dict[str, Tensor], list[list[str]]]:
    """The tensors of the model's files, without memory, and in whose turn each is."""
    with torch.device("meta"):
        empty = {name: torch.empty(each.shape, dtype=each.dtype) for name, each in snapshot.weights.items()}
    stored = to_hf(snapshot.shape, empty)
    return stored, take_turns({name: tensor.nbytes for name, tensor in stored.items()}, ranks)


def _come_together(
    snapshot: HeldSnapshot, turns: Sequence[Sequence[str]], ranks: Ranks
) -> Iterator[tuple[str, Tensor]]:
    """Those of the whole weights that this rank writes, each in its turn, in host memory.

    All ranks must ask for theirs up to the end: every tensor comes together on all of them, and is let go.
    """
    sources = hf_sources(snapshot.shape, snapshot.weights)
    for names in turns:
        mine = None
        for owner, name in enumerate(names):
            parts = {each: ranks.whole(snapshot.weights[each]) for each in sources[name]}
            if owner == ranks.number:
                mine = name, to_hf(snapshot.shape, parts)[name].cpu()
            del parts  # before the next come together
        if mine is not None:
            yield mine


def _raise_what_was_told(reports: Sequence[Report]) -> None:
    """Raise for the first rank what stopped another, or itself."""
    for report in reports:
        if report["diverged"] is not None:
            raise TrainingDiverged(report["diverged"])
        if report["problem"] is not None:
            raise OSError(report["errno"], report["problem"])


def _write_indexes(building: Path, snapshot: HeldSnapshot, reports: Sequence[Report]) -> None:
    """Say where everything is that the ranks wrote."""
    whole = {name: (block.part.dtype, tuple(block.shape)) for name, block in snapshot.blocks.items()}
    starts = {
        Path(part_name(STATE_TENSORS, rank + 1, len(reports))).name: report["starts"]
        for rank, report in enumerate(reports)
    }
    (building / index_name(STATE_TENSORS)).write_text(index_text(whole, starts), encoding="utf-8")
    stored, turns = _stored_weights(snapshot, len(reports))
    files = {
        name: part_name(MODEL, rank + 1, len(turns[0])) for names in turns for rank, name in enumerate(names)
    }
    index = {
        "metadata": {"total_size": sum(tensor.nbytes for tensor in stored.values())},
        "weight_map": dict(sorted(files.items())),
    }
    (building / index_name(MODEL)).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
