"""GGUF files: read back by a reader of their own, and by llama.cpp where it is installed."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any, BinaryIO

import numpy as np
import pytest
import torch

from workbench.errors import BadInput, Damaged
from workbench.model import export_gguf
from workbench.model.folder import save_model
from workbench.model.gguf_file import write_gguf
from workbench.model.gguf_names import model_pairs, model_tensors
from workbench.model.initialise import initialise
from workbench.model.rotation import Rotation
from workbench.model.transformer import Decoder
from workbench.model_config import ModelConfig, RopeScaling
from workbench.tokenizer import PLAIN_CHAT_TEMPLATE, Tokenizer, stop_ids, train_tokenizer

from .conftest import CONFIGS, LLAMA

YARN = RopeScaling(rope_type="yarn", factor=4.0, original_max_position_embeddings=16)
LLAMA3 = RopeScaling(rope_type="llama3", factor=8.0, original_max_position_embeddings=32)
SHAPES: dict[str, ModelConfig] = {
    **{
        name: CONFIGS[name]
        for name in ("llama", "llama-tied", "qwen2", "qwen3", "qwen3-tied", "gpt2", "granite")
    },
    "mistral": dataclasses.replace(CONFIGS["mistral"], sliding_window=20),
    "llama-wide-heads": dataclasses.replace(LLAMA, head_dim=20),
    "llama-linear": dataclasses.replace(LLAMA, rope_scaling=RopeScaling(rope_type="linear", factor=2.0)),
    "llama-llama3": dataclasses.replace(LLAMA, rope_scaling=LLAMA3, rope_theta=100.0),
    "llama-yarn": dataclasses.replace(LLAMA, rope_scaling=YARN, rope_theta=100.0),
    "qwen3-yarn-sharper": dataclasses.replace(
        LLAMA,
        qk_norm=True,
        rope_theta=100.0,
        rope_scaling=dataclasses.replace(YARN, attention_factor=1.3),
    ),
    "llama-dynamic": dataclasses.replace(LLAMA, rope_scaling=RopeScaling(rope_type="dynamic", factor=2.0)),
    "mup": dataclasses.replace(LLAMA, qk_norm=True, logits_scaling=3.0, attention_multiplier=0.4),
}


def read_gguf(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The pairs and tensors of a file, by ggml's description of the format."""
    with path.open("rb") as stream:
        assert stream.read(4) == b"GGUF"
        version, num_tensors, num_pairs = struct.unpack("<IQQ", stream.read(20))
        assert version == 3
        pairs = {_text(stream): _value(stream) for _ in range(num_pairs)}
        places = {}
        for _ in range(num_tensors):
            name = _text(stream)
            [ndim] = struct.unpack("<I", stream.read(4))
            shape = struct.unpack(f"<{ndim}Q", stream.read(8 * ndim))[::-1]
            kind, offset = struct.unpack("<IQ", stream.read(12))
            assert offset % 32 == 0
            places[name] = (shape, {0: "<f4", 1: "<f2", 30: "<u2"}[kind], offset)
        data = path.read_bytes()[-(-stream.tell() // 32) * 32 :]
    tensors = {}
    for name, (shape, kind, offset) in places.items():
        count = int(np.prod(shape))
        tensors[name] = np.frombuffer(data, kind, count, offset).reshape(shape)
    end = max(offset + tensors[name].nbytes for name, (_, _, offset) in places.items())
    assert len(data) == -(-end // 32) * 32
    return pairs, tensors


def _text(stream: BinaryIO) -> str:
    [length] = struct.unpack("<Q", stream.read(8))
    return stream.read(length).decode()


def _value(stream: BinaryIO, kind: int | None = None) -> Any:
    if kind is None:
        [kind] = struct.unpack("<I", stream.read(4))
    if kind == 8:
        return _text(stream)
    if kind == 9:
        inner, length = struct.unpack("<IQ", stream.read(12))
        return [_value(stream, inner) for _ in range(length)]
    letter = {4: "I", 5: "i", 6: "f", 7: "?"}[kind]
    [value] = struct.unpack(f"<{letter}", stream.read(struct.calcsize(letter)))
    return value


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer([topics[name] for name in sorted(topics)[:8]], vocab_size=400, max_token_length=16)


@pytest.fixture
def saved(
    make_tiny: Callable[[ModelConfig], Decoder], tokenizer: Tokenizer, tmp_path: Path
) -> Callable[[ModelConfig], Path]:
    def save(config: ModelConfig) -> Path:
        folder = tmp_path / "model"
        folder.mkdir(exist_ok=True)
        model = make_tiny(dataclasses.replace(config, vocab_size=tokenizer.vocab_size))
        save_model(
            model, folder, bos_id=tokenizer.bos_id, stop_ids=stop_ids(tokenizer), pad_id=tokenizer.pad_id
        )
        tokenizer.save(folder)
        return folder

    return save


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    pairs = {"yes": True, "no": False, "many": 2**32 - 1, "e": 1e-6, "text": "naïve\n", "ids": [-1, 7]}
    pairs |= {"words": ["", "Ġa", "b"]}
    tensors = {
        "odd": torch.arange(7.0),
        "matrix.weight": torch.randn(3, 5),
        "half": torch.randn(2, 3).half(),
        "turned": torch.randn(4, 6).T,
        "narrow": torch.randn(33).bfloat16(),
    }
    write_gguf(tmp_path / "x.gguf", pairs, tensors)
    read, found = read_gguf(tmp_path / "x.gguf")
    assert read == pairs | {"e": pytest.approx(1e-6)}
    assert list(found) == list(tensors)
    for name, tensor in tensors.items():
        plain = tensor.contiguous()
        wanted = plain.view(torch.uint16) if plain.dtype == torch.bfloat16 else plain
        np.testing.assert_array_equal(found[name], wanted.numpy())


def test_a_file_holds_model_tokenizer_and_chat(
    saved: Callable[[ModelConfig], Path], tokenizer: Tokenizer, tmp_path: Path
) -> None:
    exported = export_gguf(saved(LLAMA), tmp_path / "out" / "mine", check_with_llama_cpp=False)
    assert exported.files == ("model.gguf",) and exported.checked_with == () and exported.notes == ()
    assert [path.name for path in (tmp_path / "out").rglob("*")] == ["mine", "model.gguf"]
    pairs, tensors = read_gguf(exported.folder / "model.gguf")
    wanted = {
        "general.architecture": "llama",
        "general.name": "mine",
        "general.file_type": 0,
        "llama.vocab_size": 400,
        "llama.context_length": 64,
        "llama.embedding_length": 48,
        "llama.block_count": 3,
        "llama.feed_forward_length": 80,
        "llama.attention.head_count": 4,
        "llama.attention.head_count_kv": 2,
        "llama.attention.key_length": 12,
        "llama.rope.dimension_count": 12,
        "llama.rope.freq_base": 10_000.0,
        "llama.attention.layer_norm_rms_epsilon": pytest.approx(1e-5),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "dbrx",
        "tokenizer.ggml.bos_token_id": tokenizer.bos_id,
        "tokenizer.ggml.eos_token_id": tokenizer.im_end_id,
        "tokenizer.ggml.padding_token_id": tokenizer.pad_id,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.chat_template": PLAIN_CHAT_TEMPLATE,
    }
    assert {key: pairs[key] for key in wanted} == wanted
    assert "generation %}" not in PLAIN_CHAT_TEMPLATE
    words, kinds = pairs["tokenizer.ggml.tokens"], pairs["tokenizer.ggml.token_type"]
    assert words == [tokenizer.backend.id_to_token(token_id) for token_id in range(400)]
    assert [token_id for token_id, kind in enumerate(kinds) if kind != 1] == sorted(tokenizer.special_ids)
    assert len(pairs["tokenizer.ggml.merges"]) == 400 - 256 - len(tokenizer.special_ids)
    assert len(tensors) == 2 + 1 + 3 * 9
    assert tensors["token_embd.weight"].shape == (400, 48)


def test_rows_without_a_word_get_one(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = initialise(Decoder(dataclasses.replace(LLAMA, vocab_size=403)), seed=0)
    save_model(model, tmp_path)
    tokenizer.save(tmp_path)
    exported = export_gguf(tmp_path, tmp_path / "out", check_with_llama_cpp=False)
    pairs, _ = read_gguf(exported.folder / "model.gguf")
    assert len(pairs["tokenizer.ggml.tokens"]) == 403 and pairs["tokenizer.ggml.token_type"][400:] == [5] * 3


@torch.no_grad()
def test_neighbours_turned_are_halves_turned(make_tiny: Callable[[ModelConfig], Decoder]) -> None:
    """llama.cpp turns the numbers 2p and 2p + 1 of a Llama's head together; the products stay ours."""
    model = make_tiny(LLAMA)
    E, tensors = LLAMA.head_dim, model_tensors(model)
    x_TD = torch.randn(6, 48, generator=torch.Generator().manual_seed(0))
    angle_TP = torch.arange(6.0)[:, None] * LLAMA.rope_theta ** (-torch.arange(0, E, 2) / E)

    def theirs(name: str) -> torch.Tensor:
        pairs_THP2 = (x_TD @ tensors[f"blk.1.{name}.weight"].T).unflatten(-1, (-1, E // 2, 2))
        turned = torch.view_as_complex(pairs_THP2.contiguous()) * torch.exp(1j * angle_TP)[:, None]
        return torch.view_as_real(turned).flatten(-2)

    rotation = Rotation.at(torch.arange(6)[None], LLAMA)
    attention = model.layers[1].self_attn

    def ours(project: torch.nn.Module) -> torch.Tensor:
        return rotation.turn(project(x_TD).unflatten(-1, (-1, E))[None])[0]

    products = torch.einsum("the,sge->thsg", theirs("attn_q"), theirs("attn_k"))
    wanted = torch.einsum("the,sge->thsg", ours(attention.q_proj), ours(attention.k_proj))
    torch.testing.assert_close(products, wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", SHAPES)
def test_every_parameter_goes_out(name: str, make_tiny: Callable[[ModelConfig], Decoder]) -> None:
    model = make_tiny(SHAPES[name])
    if SHAPES[name].known_as is None:
        pytest.skip("exported without its multipliers")
    tensors = model_tensors(model)
    extra = LLAMA.head_dim // 2 if "rope_freqs.weight" in tensors else 0
    assert sum(tensor.numel() for tensor in tensors.values()) - extra == model.config.num_parameters
    assert all(len(name) < 64 for name in tensors)
    assert model_pairs(model.config)


def test_slow_pairs_of_llama3_are_told_as_factors(make_tiny: Callable[[ModelConfig], Decoder]) -> None:
    factors = model_tensors(make_tiny(SHAPES["llama-llama3"]))["rope_freqs.weight"]
    assert factors.shape == (6,) and float(factors[0]) == 1 and float(factors[-1]) == pytest.approx(8)


def test_what_llama_cpp_does_not_compute_is_refused_or_bounded(
    saved: Callable[[ModelConfig], Path], tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="does not compute rope_scaling = llama3 for qwen3"):
        model_pairs(dataclasses.replace(SHAPES["llama-llama3"], qk_norm=True))
    yarn = dataclasses.replace(YARN, beta_fast=8.0)
    with pytest.raises(BadInput, match="reads no beta_fast"):
        model_pairs(dataclasses.replace(LLAMA, rope_scaling=yarn))
    with pytest.raises(BadInput, match="knows no model of these parts"):
        model_pairs(CONFIGS["own"])
    exported = export_gguf(saved(SHAPES["mistral"]), tmp_path / "out", check_with_llama_cpp=False)
    assert "context of 20 tokens" in exported.notes[0] and "looks back" in exported.notes[0]
    assert model_pairs(SHAPES["mistral"])["llama.context_length"] == 20
    assert model_pairs(SHAPES["llama-dynamic"])["llama.context_length"] == 64


def test_nothing_is_written_over(saved: Callable[[ModelConfig], Path], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="already there"):
        export_gguf(saved(LLAMA), tmp_path, check_with_llama_cpp=False)


@pytest.mark.parametrize("name", SHAPES)
def test_llama_cpp_gives_our_probabilities_and_ids(
    name: str, saved: Callable[[ModelConfig], Path], tmp_path: Path
) -> None:
    pytest.importorskip("xllamacpp")
    exported = export_gguf(saved(SHAPES[name]), tmp_path / "out")
    assert exported.checked_with == ("llama.cpp",)
    # Its GELU comes out of a table of halves.
    assert 0 < exported.max_difference < (5e-3 if name == "gpt2" else 2e-5)


def test_what_llama_cpp_computes_otherwise_does_not_appear(
    saved: Callable[[ModelConfig], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("xllamacpp")
    wrong = dataclasses.replace(LLAMA, rope_theta=77.0)
    monkeypatch.setattr("workbench.model.gguf_export.model_pairs", lambda _: model_pairs(wrong))
    with pytest.raises(Damaged, match="gives other probabilities than the checkpoint"):
        export_gguf(saved(LLAMA), tmp_path / "out")
    monkeypatch.setattr("workbench.model.gguf_export.model_pairs", lambda _: {"llama.block_count": 3})
    with pytest.raises(Damaged, match="does not take the file: "):
        export_gguf(saved(dataclasses.replace(LLAMA)), tmp_path / "out")
    assert not (tmp_path / "out").exists()
