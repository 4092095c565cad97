"""Models laid out by their config alone are as large as the real ones."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig

from tests import tiny_models
from tunesmith.models.load import load_base
from tunesmith.models.meta import Weight, build, published_config, weights_of
from tunesmith.models.published import PUBLISHED
from tunesmith.models.quantise import quantised_copy
from tunesmith.recipe.method import MethodSection
from tunesmith.recipe.model import ModelSection

CPU = torch.device("cpu")
KINDS = {
    "lora": MethodSection(rank=4),
    "nf4": MethodSection(type="qlora", rank=4),
    "nf4, scales as they are": MethodSection(type="qlora", rank=4, double_quantisation=False),
    "int8": MethodSection(type="qlora", rank=4, quantisation="int8"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_shapes_give_the_published_number_of_parameters(name: str) -> None:
    section, method = ModelSection(source=name), MethodSection(type="full")
    model = build(published_config(section), section, method, torch.bfloat16)
    assert sum(parameter.numel() for parameter in model.parameters()) == PUBLISHED[name].parameters
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}


def test_short_names_lead_to_published_shapes() -> None:
    config = published_config(ModelSection(source="Llama-3.1-70B-instruct"))
    assert (config.num_hidden_layers, config.num_key_value_heads) == (80, 8)
    assert published_config(ModelSection(source="somebody/something")) is None


def test_seventy_billion_parameters_are_laid_out_in_seconds() -> None:
    section, method = ModelSection(source="llama-3.1-70b-instruct"), MethodSection(type="qlora")
    began = time.process_time()
    weights = weights_of(build(published_config(section), section, method, torch.bfloat16), method, torch.bfloat16)
    assert time.process_time() - began < 30
    assert sum(weight.values for weight in weights if weight.trained) == 207_093_760
    assert sum(weight.quantised for weight in weights) == 80 * 7


@pytest.mark.parametrize(("dtype", "tied"), [("float32", False), ("bfloat16", True)])
@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_as_they_are_loaded(tmp_path: Path, kind: str, dtype: str, tied: bool) -> None:
    method, section = KINDS[kind], ModelSection(source="tiny", dtype=dtype)
    folder = tiny_models.save(
        tmp_path / "base", hidden_size=64, intermediate_size=192, num_key_value_heads=1, tie_word_embeddings=tied
    )
    compute = getattr(torch, dtype)
    model = build(AutoConfig.from_pretrained(folder), section, method, compute)
    said = {plain_name(weight): weight for weight in weights_of(model, method, compute) if not weight.trained}
    copy = quantised_copy(folder, section, method, CPU, tmp_path / "cache") if method.type == "qlora" else folder
    real = load_base(copy, section, CPU)
    assert list(said) == [name for name, _ in real.named_parameters()]
    for name, parameter in real.named_parameters():
        assert (said[name].stored, said[name].dtype) == (tuple(parameter.shape), parameter.dtype), name
        assert said[name].scales == scales_of(real.get_submodule(name.rpartition(".")[0])), name


def plain_name(weight: Weight) -> str:
    return weight.name.removeprefix("base_model.model.").replace(".base_layer", "")


def scales_of(module: torch.nn.Module) -> int:
    # int8's are moved from the weight to the layer in the first pass.
    holders = [getattr(module, "state", None), getattr(module, "weight", None)]
    tensors = [getattr(holder, "SCB", None) for holder in holders]
    if (state := getattr(module, "quant_state", None)) is not None:
        tensors += [state.absmax, state.code]
        if state.nested:
            tensors += [state.offset, state.state2.absmax, state.state2.code]
    return sum(tensor.nbytes for tensor in tensors if tensor is not None)
