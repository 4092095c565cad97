"""A model without its weights is the one that is loaded, once they are read; where it cannot be had, it is said why."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests import tiny_models
from tunesmith.models.load import load_base
from tunesmith.models.lora import attach_lora
from tunesmith.models.outline import UnsuitedError, forget_stand_ins, outline, unread
from tunesmith.models.quantise import quantised_copy
from tunesmith.models.stored import Shards, stored_weights
from tunesmith.recipe.method import MethodSection
from tunesmith.recipe.model import ModelSection

CPU = torch.device("cpu")


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gemma2"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("tied", [True, False])
def test_weights_read_into_an_outline_are_those_that_are_loaded(
    tmp_path: Path, kind: str, dtype: str, tied: bool
) -> None:
    tiny_models.save(tmp_path / "base", kind, tie_word_embeddings=tied)
    section = ModelSection(source="tiny", dtype=dtype)
    whole = load_base(tmp_path / "base", section, CPU)
    drawn = outline(tmp_path / "base", section, CPU, getattr(torch, dtype))
    for parameter in drawn.parameters():
        assert parameter.untyped_storage().nbytes() == parameter.element_size()
    adapted, beside = (attach_lora(model, MethodSection(rank=4), 5) for model in (whole, drawn))
    places = unread(beside)
    forget_stand_ins(beside)
    found, wanted = dict(beside.named_parameters()), dict(adapted.named_parameters())
    assert found.keys() == wanted.keys()
    for name, parameter in wanted.items():
        if name in places:
            assert found[name].is_meta
            values = torch.empty(parameter.shape, dtype=parameter.dtype)
            flat = values.view(-1)
            for start in range(0, len(flat), 1000):  # cuts rows in two
                places[name].fill(flat[start : start + 1000], start)
            assert torch.equal(values, parameter), name
        else:
            assert "lora" in name and torch.equal(found[name], parameter), name
    buffers = dict(beside.named_buffers())
    assert buffers.keys() == dict(adapted.named_buffers()).keys()
    for name, buffer in adapted.named_buffers():
        assert torch.equal(buffers[name], buffer), name


def test_what_is_stored_in_another_form_is_left_to_be_loaded_whole(tmp_path: Path) -> None:
    section = ModelSection(source="tiny", dtype="float32")
    experts = tiny_models.save(tmp_path / "experts", "mixtral")
    with pytest.raises(UnsuitedError, match="stored in another form"):
        outline(experts, section, CPU, torch.float32)
    folder = tiny_models.save(tmp_path / "llama")
    int8 = MethodSection(type="qlora", quantisation="int8")
    with pytest.raises(UnsuitedError, match="8 bits"):
        outline(quantised_copy(folder, section, int8, CPU, tmp_path / "cache"), section, CPU, torch.float32)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(UnsuitedError, match=r"'model.layers.2.\S+' is stored 0 times"):
        outline(folder, section, CPU, torch.float32)
    (folder / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(UnsuitedError, match="cannot be read"):
        outline(folder, section, CPU, torch.float32)


def test_a_model_written_into_several_files_is_loaded_like_one(tmp_path: Path) -> None:
    section = ModelSection(source="tiny", dtype="float32")
    base = tiny_models.save(tmp_path / "base")
    (tmp_path / "written").mkdir()
    with Shards(tmp_path / "written", limit=50_000) as shards:
        for name, stored in stored_weights(base).items():
            shards.put(name, stored.whole(CPU))
    (tmp_path / "written" / "config.json").write_text((base / "config.json").read_text())
    assert len(list((tmp_path / "written").glob("model-*-of-*.safetensors"))) > 2
    assert stored_weights(tmp_path / "written").keys() == stored_weights(base).keys()
    found = load_base(tmp_path / "written", section, CPU).state_dict()
    for name, tensor in load_base(base, section, CPU).state_dict().items():
        assert torch.equal(found[name], tensor)
