from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from workbench.errors import BadInput, Damaged, NotFound
from workbench.model import export
from workbench.model.export import export_hf
from workbench.model.folder import load_model, save_model
from workbench.model.transformer import Decoder

from .conftest import CONFIGS


@pytest.fixture
def checkpoint(llama: Decoder, tmp_path: Path) -> Path:
    folder = tmp_path / "step-000010"
    (folder / "training").mkdir(parents=True)
    save_model(llama, folder, stop_ids=[2])
    (folder / "tokenizer_config.json").write_text('{"eos_token": "x"}')
    for name in ("tokenizer.json", "chat_template.jinja", "manifest.json", "training/state.safetensors"):
        (folder / name).write_text(name)
    return folder


def test_what_a_model_needs_goes_out_and_nothing_else(checkpoint: Path, tmp_path: Path) -> None:
    exported = export_hf(checkpoint, tmp_path / "out" / "mine", check_with_transformers=False)
    assert sorted(path.name for path in exported.folder.iterdir()) == [
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    told = json.loads((exported.folder / "tokenizer_config.json").read_bytes())
    assert told == {"eos_token": "x", "model_max_length": 64}
    assert sorted(exported.files) == sorted(path.name for path in exported.folder.iterdir())
    assert exported.checked_with == ("workbench",) and exported.max_difference == 0
    assert exported.num_bytes == sum(path.stat().st_size for path in exported.folder.iterdir())
    assert list((tmp_path / "out").iterdir()) == [exported.folder]
    torch.testing.assert_close(load_model(exported.folder).norm.weight, load_model(checkpoint).norm.weight)


@pytest.mark.parametrize("content", ["", "[1]", "{"])
def test_a_tokenizer_config_that_is_none_is_refused(checkpoint: Path, tmp_path: Path, content: str) -> None:
    (checkpoint / "tokenizer_config.json").write_text(content)
    with pytest.raises(BadInput, match=r"not a JSON object") as caught:
        export_hf(checkpoint, tmp_path / "mine", check_with_transformers=False)
    assert "tokenizer_config.json" in caught.value.one_line()
    assert not (tmp_path / "mine").exists()


def test_transformers_is_asked_too(checkpoint: Path, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    exported = export_hf(checkpoint, tmp_path / "mine")
    assert exported.checked_with == ("workbench", "transformers")
    assert 0 < exported.max_difference < 1e-4


@pytest.mark.parametrize("name", ["gpt2", "qwen3-tied"])
def test_every_known_architecture_goes_out(
    name: str, make_tiny: Callable[..., Decoder], tmp_path: Path
) -> None:
    pytest.importorskip("transformers")
    (tmp_path / "model").mkdir()
    save_model(make_tiny(CONFIGS[name]), tmp_path / "model", stop_ids=[2])
    assert "transformers" in export_hf(tmp_path / "model", tmp_path / "mine").checked_with


def test_parts_that_nobody_else_knows_stay_at_home(make_tiny: Callable[..., Decoder], tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    save_model(make_tiny(CONFIGS["own"]), tmp_path / "model", stop_ids=[2])
    with pytest.raises(BadInput, match="no other program knows"):
        export_hf(tmp_path / "model", tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


def test_an_existing_target_is_left_alone(checkpoint: Path, tmp_path: Path) -> None:
    target = tmp_path / "mine"
    target.mkdir()
    (target / "dear.txt").write_text("dear")
    with pytest.raises(BadInput, match="already there"):
        export_hf(checkpoint, target)
    assert [path.name for path in target.iterdir()] == ["dear.txt"]


def test_what_is_no_model_is_not_exported(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFound, match=r"config\.json"):
        export_hf(tmp_path / "empty", tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


def test_a_copy_that_computes_something_else_never_appears(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(folder: Path) -> Decoder:
        model = load_model(folder)
        if folder != checkpoint:
            with torch.no_grad():
                model.embed_tokens.weight[0] += 1
        return model

    monkeypatch.setattr(export, "load_model", load)
    with pytest.raises(Damaged, match="other logits"):
        export_hf(checkpoint, tmp_path / "mine", check_with_transformers=False)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000010"]


def test_a_folder_that_cannot_be_made_is_named(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for output in (Path("/proc/x"), tmp_path / "file" / "mine"):
        with pytest.raises(BadInput, match=f"^{output}: cannot be made") as caught:
            export_hf(checkpoint, output, check_with_transformers=False)
        assert "tmp-" not in str(caught.value)
