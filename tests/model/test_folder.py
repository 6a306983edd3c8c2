"""A model folder: there and back, to transformers and from it, and the ways a foreign one can be wrong."""

from __future__ import annotations

import dataclasses
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from workbench.errors import BadInput, Damaged, NoSpace, NotFound, WorkbenchError
from workbench.hf_config import CLASSES, COMMON, COUNTS, GPT2_COUNTS, MULTIPLIERS, read_config
from workbench.hf_positions import position_words
from workbench.model.folder import load_model, save_model
from workbench.model.transformer import Decoder
from workbench.model_config import ModelConfig

from .conftest import CONFIGS


@pytest.fixture
def folder(llama: Decoder, tmp_path: Path) -> Path:
    save_model(llama, tmp_path, bos_id=1, stop_ids=[2, 3], pad_id=4)
    return tmp_path


def change_config(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def write_raw(file: Path, header: dict[str, Any] | str, data: bytes = b"", length: int | None = None) -> None:
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    file.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)


def test_a_model_comes_back_as_it_was(model: Decoder, tmp_path: Path) -> None:
    save_model(model, tmp_path, bos_id=1, stop_ids=[2, 3], pad_id=4)
    loaded = load_model(tmp_path)
    assert loaded.config == model.config and not loaded.training
    for (name, before), after in zip(model.named_parameters(), loaded.parameters(), strict=True):
        assert torch.equal(before, after) and after.requires_grad, name
    config = read_config(tmp_path)
    assert (config.bos_id, config.stop_ids, config.pad_id, config.ignored) == (1, (2, 3), 4, ())
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "config.json",
        "generation_config.json",
        "model.safetensors",
    ]


def test_a_loaded_model_owns_its_memory(folder: Path) -> None:
    before = (folder / "model.safetensors").read_bytes()
    loaded = load_model(folder)
    with torch.no_grad():
        loaded.norm.weight.zero_()
    assert (folder / "model.safetensors").read_bytes() == before


def test_weights_can_be_loaded_narrower(folder: Path) -> None:
    assert {p.dtype for p in load_model(folder, dtype=torch.bfloat16).parameters()} == {torch.bfloat16}


def test_transformers_gives_the_same_logits(
    model: Decoder, tmp_path: Path, random_ids: Callable[..., torch.Tensor]
) -> None:
    transformers = pytest.importorskip("transformers")
    save_model(model, tmp_path, bos_id=1, stop_ids=[2, 3], pad_id=4)
    if model.config.known_as is None:
        with pytest.raises((KeyError, ValueError), match="workbench"):
            transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
        return
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    assert theirs.dtype == torch.float32
    assert type(theirs).__name__ == CLASSES[model.config.known_as][0]
    assert theirs.generation_config.eos_token_id == [2, 3]
    ids_BT = random_ids(3, 40)
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids_BT).logits, model(ids_BT), atol=1e-4, rtol=0)


def test_a_folder_that_transformers_saved_loads_here(
    config: ModelConfig, tmp_path: Path, random_ids: Callable[..., torch.Tensor]
) -> None:
    transformers = pytest.importorskip("transformers")
    if config.known_as is None:
        pytest.skip("no other program knows this model")
    numbers = config.to_dict()
    if config.known_as == "gpt2":
        numbers = {theirs: numbers[ours] for theirs, ours in GPT2_COUNTS.items()} | {
            "layer_norm_epsilon": config.rms_norm_eps,
            "initializer_range": config.initializer_range,
        }
    else:
        kept = (*COUNTS, *COMMON, *(MULTIPLIERS if config.known_as == "granite" else ()))
        numbers = {key: value for key, value in numbers.items() if key in kept}
        numbers |= position_words(config, config.known_as)
    their_class = getattr(transformers, CLASSES[config.known_as][0])
    torch.manual_seed(0)
    theirs = their_class(their_class.config_class(**numbers, bos_token_id=1, eos_token_id=2)).eval()
    theirs.save_pretrained(tmp_path)
    ours = load_model(tmp_path)
    assert ours.config == config
    ids_BT = random_ids(2, 30)
    with torch.no_grad():
        torch.testing.assert_close(ours(ids_BT), theirs(ids_BT).logits, atol=1e-4, rtol=0)


def test_the_first_files_of_gpt2_load(
    make_tiny: Callable[..., Decoder], random_ids: Callable[..., torch.Tensor], tmp_path: Path
) -> None:
    """Names without `transformer.`, masks stored as tensors, no n_inner, keys nobody needs."""
    model = make_tiny(dataclasses.replace(CONFIGS["gpt2"], intermediate_size=4 * 48))
    save_model(model, tmp_path, bos_id=1, stop_ids=[2], pad_id=None)
    file = tmp_path / "model.safetensors"
    tensors = {name.removeprefix("transformer."): tensor for name, tensor in load_file(file).items()}
    tensors |= {f"h.{layer}.attn.bias": torch.ones(1, 1, 64, 64).tril() for layer in range(3)}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file)
    change_config(tmp_path, n_inner=None, n_ctx=64, task_specific_params={"text-generation": {}})
    ids_BT = random_ids(2, 20)
    with torch.no_grad():
        assert torch.equal(load_model(tmp_path)(ids_BT), model(ids_BT))
    assert read_config(tmp_path).ignored == ()


def test_a_model_in_several_files_loads(folder: Path, llama: Decoder) -> None:
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    shards = {"a.safetensors": names[:7], "b.safetensors": names[7:]}
    for shard, held in shards.items():
        save_file({name: tensors[name] for name in held}, folder / shard)
    weight_map = {name: shard for shard, held in shards.items() for name in held}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    assert torch.equal(load_model(folder).norm.weight, llama.norm.weight)
    for name, shard, problem in (
        (names[0], "../a.safetensors", "beside it"),
        (names[0], "b.safetensors", "index"),
    ):
        index.write_text(json.dumps({"weight_map": {**weight_map, name: shard}}))
        with pytest.raises(Damaged, match=problem):
            load_model(folder)


def test_tensors_that_nobody_needs_are_passed_over(
    make_tiny: Callable[..., Decoder], llama: Decoder, tmp_path: Path
) -> None:
    tied = make_tiny(dataclasses.replace(llama.config, tie_word_embeddings=True))
    save_model(tied, tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(6)
    save_file(tensors, tmp_path / "model.safetensors")
    assert torch.equal(load_model(tmp_path).embed_tokens.weight, tied.embed_tokens.weight)


def test_a_head_of_its_own_is_not_lost_without_a_word(llama: Decoder, folder: Path) -> None:
    """config.json says the model is tied; the weights beside it were trained with a head."""
    change_config(folder, tie_word_embeddings=True)
    with pytest.raises(BadInput) as caught:
        load_model(folder)
    assert str(caught.value) == (
        f"{folder / 'model.safetensors'}: lm_head.weight is not the embedding, and config.json says "
        "tie_word_embeddings = true; write false there to keep this head, or take it out of the file"
    )
    change_config(folder, tie_word_embeddings=False)
    assert torch.equal(load_model(folder).lm_head.weight, llama.lm_head.weight)


def test_the_spare_head_of_a_tied_model_has_its_shape(
    make_tiny: Callable[..., Decoder], llama: Decoder, tmp_path: Path
) -> None:
    tied = make_tiny(dataclasses.replace(llama.config, tie_word_embeddings=True))
    save_model(tied, tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"][:-1].clone()
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(BadInput, match=r"lm_head\.weight has shape"):
        load_model(tmp_path)


def test_foreign_keys_are_ignored_and_listed(folder: Path) -> None:
    change_config(
        folder, auto_map={"AutoModel": "evil.Model"}, trust_remote_code=True, _attn_implementation="x"
    )
    load_model(folder)
    assert read_config(folder).ignored == ("_attn_implementation", "auto_map", "trust_remote_code")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"model_type": "mamba", "architectures": ["MambaForCausalLM"]},
            'model_type = "mamba" is not supported',
        ),
        ({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}, "n_embd is missing"),
        ({"model_type": "workbench", "architectures": None, "norm": "batch"}, 'norm = "batch" is not'),
        ({"architectures": ["EvilForCausalLM"]}, "EvilForCausalLM"),
        ({"model_type": "\x1b[31m"}, r"\\u001b\[31m"),
        ({"rope_parameters": {"rope_type": "longrope", "factor": 8.0}}, "supported: linear, dynamic, llama3"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 8.0, "mscale": 0.7}}, "mscale"),
        ({"rope_scaling": {"type": "linear", "factor": 0.5}}, "factor = 0.5 is not a number from 1"),
        ({"rope_scaling": "linear"}, "not an object"),
        ({"rope_parameters": {"rope_type": ["yarn"]}}, "is not supported"),
        ({"use_sliding_window": True, "sliding_window": 8}, "in some layers"),
        ({"attention_bias": True}, "attention_bias = true"),
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers"),
        ({"num_hidden_layers": True}, "num_hidden_layers = true"),
        ({"hidden_size": 48.0}, "hidden_size"),
        ({"vocab_size": None}, "vocab_size is missing"),
        ({"num_key_value_heads": 3}, "not a multiple"),
        ({"rms_norm_eps": -1}, "rms_norm_eps"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings"),
        ({"bos_token_id": "x"}, "bos_token_id"),
        ({"rope_parameters": None, "rope_theta": "big"}, "rope_theta"),
    ],
)
def test_a_model_we_do_not_compute_is_refused_by_name(
    folder: Path, changes: dict[str, Any], problem: str
) -> None:
    change_config(folder, **changes)
    with pytest.raises(BadInput, match=problem) as caught:
        load_model(folder)
    assert str(caught.value).startswith(str(folder / "config.json")) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"a": NaN}', '{"a": 1, "a": 2}', "[" * 100_000, '{"a": "\ud800"}']
)
def test_a_config_that_is_no_json_object_is_damaged(folder: Path, text: str) -> None:
    (folder / "config.json").write_bytes(text.encode("utf-8", errors="surrogatepass"))
    with pytest.raises(Damaged, match=r"config\.json"):
        load_model(folder)


def one(dtype: str = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize(
    ("header", "data", "length"),
    [
        ({"a": one()}, bytes(4), None),  # cut off
        ({"a": one()}, bytes(12), None),  # bytes that belong to none
        ({"a": one(), "b": one()}, bytes(8), None),  # overlap
        ({"a": one(offsets=[4, 12])}, bytes(12), None),  # a hole
        ({"a": one(shape=[3])}, bytes(8), None),
        ({"a": one(shape=[-2])}, bytes(8), None),
        ({"a": one(shape=[2**62, 4])}, bytes(8), None),
        ({"a": one(shape=[True, 2])}, bytes(8), None),
        ({"a": one(dtype="F128")}, bytes(8), None),
        ({"a": one(dtype=["F32"])}, bytes(8), None),
        ({"a": 5}, bytes(8), None),
        ({"a": {**one(), "extra": 1}}, bytes(8), None),
        ('{"a": 1, "a": 2}', b"", None),
        ("not json", b"", None),
        ("[]", b"", None),
        ({"a": one()}, bytes(8), 2**60),
        ({"a": one()}, bytes(8), 0),
    ],
)
def test_weights_with_an_unsound_header_are_damaged(
    folder: Path, header: Any, data: bytes, length: int | None
) -> None:
    write_raw(folder / "model.safetensors", header, data, length)
    with pytest.raises(Damaged, match=r"model\.safetensors"):
        load_model(folder)


@pytest.mark.parametrize("content", [b"", b"1234567", b"\x80\x04]\x94."])
def test_what_is_no_safetensors_file_is_damaged(folder: Path, content: bytes) -> None:
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(Damaged, match="not a whole safetensors file"):
        load_model(folder)


def test_any_truncation_is_noticed(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    for size in (len(whole) - 1, len(whole) // 2, 300, 9):
        (folder / "model.safetensors").write_bytes(whole[:size])
        with pytest.raises(Damaged):
            load_model(folder)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda t: t.pop("model.norm.weight"), r"model\.norm\.weight is missing"),
        (lambda t: t.update({"model.extra\x1b[2J": torch.ones(1)}), r"extra\\x1b\[2J"),
        (
            lambda t: t.update({"model.norm.weight": torch.ones(49)}),
            r"has shape \[49\], config.json says \[48\]",
        ),
        (lambda t: t.update({"model.norm.weight": torch.ones(48, dtype=torch.int8)}), "is I8"),
        (lambda t: t["model.norm.weight"].fill_(torch.nan), r"model\.norm\.weight holds NaN"),
        (lambda t: t["lm_head.weight"][3, 4].fill_(torch.inf), "lm_head"),
    ],
)
def test_weights_of_another_model_are_refused(
    folder: Path, change: Callable[[dict[str, torch.Tensor]], Any], problem: str
) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(BadInput, match=problem) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value) and "\x1b" not in str(caught.value)


def test_a_pickle_is_named_and_never_opened(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(BadInput, match=r"pytorch_model\.bin: is a pickle"):
        load_model(folder)


def test_a_file_is_no_model_folder(folder: Path) -> None:
    with pytest.raises(NotFound, match="is no folder"):
        load_model(folder / "model.safetensors")


def test_weights_without_tensors_are_named(folder: Path) -> None:
    write_raw(folder / "model.safetensors", {})
    with pytest.raises(BadInput, match=r"model\.safetensors: lm_head\.weight is missing"):
        load_model(folder)


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(NotFound, match=missing.replace(".", r"\.")):
        load_model(folder)


def test_a_full_disk_is_named(llama: Decoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors import SafetensorError

    def full(*args: Any, **kwargs: Any) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("workbench.model.weights.save_file", full)
    with pytest.raises(NoSpace, match="No space left"):
        save_model(llama, tmp_path)


def test_every_error_is_one_of_ours(folder: Path) -> None:
    """Flip bytes all over the weights' header: the folder loads or is refused, nothing else happens."""
    file = folder / "model.safetensors"
    whole = file.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    generator = torch.Generator().manual_seed(0)
    for at in torch.randint(header, (60,), generator=generator).tolist():
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 0x11]) + whole[at + 1 :])
        try:
            load_model(folder)
        except WorkbenchError:
            continue
