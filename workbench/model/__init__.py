"""The model: a decoder, its first weights, its folder on disk, and the text it writes.

    transformer.py   the decoder, top to bottom
    attention.py     its only part that moves information between positions (memory.py: what may be looked at, the
                     KV cache; rotation.py: where a token stands; norms.py)
    initialise.py    first weights, a function of the seed
    folder.py        save and load in Hugging Face's format (../hf_config.py: its words; weights.py: its tensors)
    export.py        a checkpoint as a folder to give away, checked before it appears; gguf_export.py: as llama.cpp's
                     one file (gguf_names.py: its words; gguf_file.py: its bytes)
    sampling.py      from logits to the next token
    generate.py      a reply, or many at once
    stream.py        ids to text as they come

The names below are resolved when first used, so that importing the package costs nothing. `generate` and
`initialise` are called as their rooms are, and are imported from there.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.model.export import export_hf
    from workbench.model.folder import load_model, save_model
    from workbench.model.gguf_export import export_gguf
    from workbench.model.memory import KVCache
    from workbench.model.sampling import GREEDY, Sampling
    from workbench.model.stream import TextStream, stream_text
    from workbench.model.transformer import Decoder

_ROOMS = {
    "GREEDY": "sampling",
    "Decoder": "transformer",
    "KVCache": "memory",
    "Sampling": "sampling",
    "TextStream": "stream",
    "export_gguf": "gguf_export",
    "export_hf": "export",
    "load_model": "folder",
    "save_model": "folder",
    "stream_text": "stream",
}

__all__ = [
    "GREEDY",
    "Decoder",
    "KVCache",
    "Sampling",
    "TextStream",
    "export_gguf",
    "export_hf",
    "load_model",
    "save_model",
    "stream_text",
]


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_ROOMS[name]}"), name)
