"""CUDA graphs without a GPU: what is done while one records is written down, and done again by `replay`.

As in a real graph every replay reads and writes the very memory of the recording: its inputs are whatever now stands
there, and its results replace those of before, whoever still holds them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode


class RecordedGraph:
    """In the place of torch.cuda.CUDAGraph."""

    made = 0
    replays = 0

    def __init__(self) -> None:
        type(self).made += 1
        self.steps: list[tuple[Any, Any, Any, Any]] = []

    def replay(self) -> None:
        type(self).replays += 1
        with torch.no_grad():
            for operation, arguments, options, results in self.steps:
                again = operation(*arguments, **options)
                for old, new in zip(pytree.tree_leaves(results), pytree.tree_leaves(again), strict=True):
                    if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                        old.copy_(new)


class _Recorder(TorchDispatchMode):
    def __init__(self, graph: RecordedGraph) -> None:
        super().__init__()
        self.graph = graph

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        results = func(*args, **(kwargs or {}))
        self.graph.steps.append((func, args, kwargs or {}, results))
        return results


@contextlib.contextmanager
def recording(graph: RecordedGraph, pool: object = None) -> Iterator[None]:
    """In the place of torch.cuda.graph."""
    with _Recorder(graph):
        yield


def stand_in_for_cuda(monkeypatch: pytest.MonkeyPatch) -> type[RecordedGraph]:
    """Let torch.cuda.make_graphed_callables record on the CPU; gives the class that counts."""
    kind = type("Counted", (RecordedGraph,), {"made": 0, "replays": 0})
    for name, value in {
        "CUDAGraph": kind,
        "graph": recording,
        "graph_pool_handle": lambda: None,
        "synchronize": lambda *_: None,
        "empty_cache": lambda: None,
        "Stream": lambda: None,
        "stream": lambda _: contextlib.nullcontext(),
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(torch.cuda.graphs, "graph_pool_handle", lambda: None)
    return kind
