"""Quantised bases: made once, loaded as they are, unpacked to the floats they stand for."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from tests import tiny_models
from tunesmith.errors import ModelError
from tunesmith.export.export import export
from tunesmith.models.attention import PACKED
from tunesmith.models.load import load_base
from tunesmith.models.lora import attach_lora, save_adapter
from tunesmith.models.quantise import quantised_copy, rounded_copy, unpacked
from tunesmith.models.resolve import ResolvedModel
from tunesmith.models.trainable import load_trainable
from tunesmith.models.tuned import Tuned
from tunesmith.recipe.method import MethodSection
from tunesmith.recipe.model import ModelSection

CPU = torch.device("cpu")
SECTION = ModelSection(source="tiny", dtype="float32")
KINDS = {
    "nf4": MethodSection(type="qlora", rank=4),
    "nf4, scales as they are": MethodSection(type="qlora", rank=4, double_quantisation=False),
    "int8": MethodSection(type="qlora", rank=4, quantisation="int8"),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save(tmp_path_factory.mktemp("quantise") / "base", hidden_size=64, intermediate_size=128)


@pytest.mark.parametrize("kind", KINDS)
def test_a_base_is_quantised_once_and_near_what_it_was(base: Path, tmp_path: Path, kind: str) -> None:
    folder = quantised_copy(base, SECTION, KINDS[kind], CPU, tmp_path)
    before = (folder / "model.safetensors").stat()
    assert quantised_copy(base, SECTION, KINDS[kind], CPU, tmp_path) == folder
    assert (folder / "model.safetensors").stat() == before
    plain, rounded = load_base(base, SECTION, CPU), unpacked(load_base(folder, SECTION, CPU))
    name = "model.layers.0.mlp.down_proj.weight"
    wanted, found = plain.get_parameter(name), rounded.get_parameter(name)
    error = float((found - wanted).square().mean().sqrt() / wanted.std())
    assert 0 < error < (0.02 if kind == "int8" else 0.12)
    assert torch.equal(plain.get_parameter("model.norm.weight"), rounded.get_parameter("model.norm.weight"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_rounded_base_is_the_quantised_one_in_floats(base: Path, tmp_path: Path, kind: str) -> None:
    folder = rounded_copy(base, SECTION, KINDS[kind], tmp_path)
    assert rounded_copy(base, SECTION, KINDS[kind], tmp_path) == folder
    wanted = unpacked(load_base(quantised_copy(base, SECTION, KINDS[kind], CPU, tmp_path), SECTION, CPU)).state_dict()
    found = load_base(folder, SECTION, CPU).state_dict()
    assert wanted.keys() == found.keys()
    assert all(torch.equal(found[name], value.float()) for name, value in wanted.items())
    config = {path.name for path in base.iterdir()}
    assert config == {path.name for path in folder.iterdir()}
    assert "quantization" not in (folder / "config.json").read_text()


def test_each_way_of_quantising_has_a_folder_of_its_own(base: Path, tmp_path: Path) -> None:
    assert len({quantised_copy(base, SECTION, method, CPU, tmp_path) for method in KINDS.values()}) == len(KINDS)


def test_four_bits_take_an_eighth_of_a_float(base: Path, tmp_path: Path) -> None:
    model = load_base(quantised_copy(base, SECTION, KINDS["nf4"], CPU, tmp_path), SECTION, CPU, PACKED)
    layer = model.model.layers[0].mlp.down_proj
    values = layer.in_features * layer.out_features
    assert layer.weight.numel() * layer.weight.element_size() == values / 2
    # A pass without gradients leaves the packed weights as they are.
    before = layer.weight.data.view(torch.uint8).clone()
    with torch.no_grad():
        layer(torch.randn(3, layer.in_features))
    assert torch.equal(layer.weight.data.view(torch.uint8), before)


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_is_merged_into_the_weights_it_was_trained_beside(base: Path, tmp_path: Path, kind: str) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    trained = attach_lora(load_base(base, SECTION, CPU), MethodSection(rank=4), 0)
    for name, parameter in trained.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(0, 0.05, generator=torch.Generator().manual_seed(0))
    save_adapter(trained, adapter, "tiny")
    recipe = {"method": KINDS[kind].model_dump()}
    tuned = Tuned("tiny@1", adapter, ResolvedModel(str(base), base, "r", ()), SECTION, recipe, tmp_path / "cache")
    done = export(tuned, tmp_path / "out", tmp_path)
    assert done.same_next_token == 1.0
    assert "quantization" not in (tmp_path / "out" / "config.json").read_text()
    merged, beside = load_base(tmp_path / "out", SECTION, CPU), tuned.load(CPU)
    ids = torch.arange(20).unsqueeze(0)
    with torch.no_grad():
        wanted, found = beside(input_ids=ids).logits, merged(input_ids=ids).logits
    # int8 rounds activations as well, which the merged model does not.
    assert float((found - wanted).abs().max()) < (0.2 if kind == "int8" else 0.02)


def test_without_bitsandbytes_there_is_a_sentence(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(ModelError) as caught:
        quantised_copy(base, SECTION, KINDS["nf4"], CPU, tmp_path)
    assert str(caught.value) == (
        "method.type: base weights are quantised by the package bitsandbytes, which is not installed\n"
        "  fix: pip install 'tunesmith[quant]', or set method.type: lora"
    )
    assert list(tmp_path.iterdir()) == []


def test_widths_that_the_cpu_unpacks_wrongly_are_refused(tmp_path: Path) -> None:
    odd = tiny_models.save(tmp_path / "odd", hidden_size=64, intermediate_size=96)
    with pytest.raises(ModelError) as caught:
        quantised_copy(odd, SECTION, KINDS["nf4"], CPU, tmp_path / "cache")
    assert str(caught.value) == (
        "method.quantisation: model.layers.0.mlp.down_proj has rows of 96 weights, and on a CPU 4 bits need a multiple "
        "of 64\n  fix: set method.quantisation: int8 or method.type: lora, or train on a GPU"
    )
    assert list((tmp_path / "cache").iterdir()) == []


def test_layers_that_are_not_there_are_named(base: Path, tmp_path: Path) -> None:
    method = MethodSection(type="full", layers=("layers.99.",))
    with pytest.raises(ModelError) as caught:
        load_trainable(base, SECTION, method, CPU, 0, tmp_path)
    assert caught.value.what == "no weight of the model has 'layers.99.' in its name"
    assert caught.value.where == "method.layers"
