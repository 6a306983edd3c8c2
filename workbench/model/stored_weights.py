"""The weights in a model folder under our names, none of them in memory: each is read when it is asked for.

A training that several processes share takes its part of one tensor after the other, so that nobody ever holds the
whole model. One process alone reads all at once (folder.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from workbench.model.folder import check_model
from workbench.model.hf_names import from_hf, hf_sources, with_prefix
from workbench.model.weights import read_tensors
from workbench.model_config import ModelConfig


class Sliceable(Protocol):
    """A tensor, or one in a file: what is read is what it is indexed by, a slice a dimension; `[()]` is all of it."""

    @property
    def shape(self) -> torch.Size:
        """Of the whole."""

    @property
    def dtype(self) -> torch.dtype:
        """Of its numbers."""

    def __getitem__(self, index: tuple[slice, ...], /) -> Tensor:
        """That block of it, to be copied from, not written to."""


class StoredWeights(Mapping[str, Sliceable]):
    """Name -> parameter of the model in `folder`, as float32. `skeleton` is that model, without memory for weights.

    Raises NotFound, BadInput or Damaged, one line each, when config.json and the files do not fit; a tensor that holds
    NaN or infinity is Damaged when it is read.
    """

    def __init__(self, folder: str | Path) -> None:
        self.skeleton, stored = check_model(folder)
        self.skeleton.eval()
        self.config: ModelConfig = self.skeleton.config
        self._shapes = {name: tensor.shape for name, tensor in self.skeleton.state_dict().items()}
        self._stored = {with_prefix(self.config, name): (name, place) for name, place in stored.items()}
        self._source_of = {
            name: theirs for theirs, ours in hf_sources(self.config, self._shapes).items() for name in ours
        }

    def __getitem__(self, name: str) -> Sliceable:
        return _StoredWeight(self, name, self._shapes[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)

    def read(self, name: str) -> Tensor:
        """All of a parameter."""
        theirs = self._source_of[name]
        stored_as, place = self._stored[theirs]
        found = read_tensors({stored_as: place}, device="cpu", dtype=torch.float32)
        return from_hf(self.config, {theirs: found[stored_as]}, [name])[name]


class _StoredWeight:
    """One parameter. Its file may lay it out in another way, so all of it is read whatever is asked for."""

    dtype = torch.float32

    def __init__(self, weights: StoredWeights, name: str, shape: torch.Size) -> None:
        self._weights, self._name, self.shape = weights, name, shape

    def __getitem__(self, index: tuple[slice, ...]) -> Tensor:
        return self._weights.read(self._name)[index]
