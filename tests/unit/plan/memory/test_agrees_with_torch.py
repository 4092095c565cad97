"""The formulas against the same model laid out by torch, transformers, PEFT and what autograd saves in it."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from transformers import AutoConfig

from tunesmith.plan.memory.activations import input_bytes, layer_bytes, loss_bytes, outside_bytes
from tunesmith.plan.memory.estimate import setting_of as by_formula
from tunesmith.plan.memory.held import held
from tunesmith.plan.memory.moments import gathered, loading, unpacked
from tunesmith.plan.shape import shape_of
from tunesmith.recipe.schema import Recipe
from tunesmith.train.explain.activations import activations
from tunesmith.train.explain.explanation import _gathered, _loading, _unpacked
from tunesmith.train.explain.holdings import holdings
from tunesmith.train.explain.setting import setting_of as by_torch

WIDTHS = {
    "hidden_size": 96, "intermediate_size": 250, "num_hidden_layers": 3, "num_attention_heads": 6,
    "num_key_value_heads": 2, "vocab_size": 331, "max_position_embeddings": 2048,
}  # fmt: skip
MODELS: dict[str, dict[str, Any]] = {
    "llama": {},
    "llama tied": {"tie_word_embeddings": True},
    "llama with biases": {"attention_bias": True, "mlp_bias": True},
    "qwen2": {},
    "qwen3": {"head_dim": 24},
    "mistral": {"sliding_window": None},
    "gemma": {"head_dim": 24},
    "phi3": {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 1},
}
METHODS: dict[str, dict[str, Any]] = {
    "lora": {"rank": 5},
    "lora on two": {"rank": 4, "targets": ["o_proj", "down_proj"]},
    "dora": {"rank": 5, "dora": True},
    "qlora": {"type": "qlora", "rank": 5},
    "qlora, single quantisation": {"type": "qlora", "rank": 5, "double_quantisation": False},
    "int8": {"type": "qlora", "rank": 5, "quantisation": "int8"},
    "full": {"type": "full"},
    "full, last layer": {"type": "full", "layers": ["layers.2.", "model.norm"]},
}
STRATEGIES = [
    ("ddp", "none"), ("fsdp", "none"), ("fsdp", "all"), ("zero1", "none"), ("zero1", "optimizer"),
    ("zero2", "none"), ("zero3", "none"), ("zero3", "optimizer"), ("zero3", "all"),
]  # fmt: skip


def both(model: str, method: dict[str, Any], precision: str, strategy: str, offload: str, workers: int) -> Any:
    """The same run by torch and by formula."""
    recipe = Recipe.model_validate(
        {
            "name": "x", "model": {"source": "x"}, "data": {"train": "x"}, "method": method,
            "train": {"sequence_length": 640, "micro_batch_tokens": 1280, "precision": precision},
            "resources": {"strategy": strategy, "offload": offload, "workers": workers},
        }
    )  # fmt: skip
    config = AutoConfig.for_model(model.split(" ")[0], **{**WIDTHS, **MODELS[model]})
    return by_torch(recipe, config), by_formula(shape_of(config.to_dict()), recipe, workers, on_gpu=False)


def check_held(real: Any, said: Any) -> None:
    """Every term to the byte, and whether it lies elsewhere than on the GPU."""
    assert {one.what: one.bytes for one in holdings(real)} == {term.what: term.bytes for term in held(said)}
    away = {one.what for one in holdings(real) if one.offloaded}
    on_gpu = replace(said, on_gpu=True)
    assert {term.what for term in held(on_gpu) if term.where == "host"} == away
    assert (gathered(said), unpacked(said), loading(said)) == (_gathered(real), _unpacked(real), _loading(real))


@pytest.mark.parametrize("method", METHODS)
def test_what_is_held_is_what_torch_lays_out(method: str) -> None:
    for (strategy, offload), workers in product(STRATEGIES, (1, 2, 3)):
        check_held(*both("llama", METHODS[method], "bfloat16", strategy, offload, workers))


@pytest.mark.parametrize("model", MODELS)
def test_every_architecture_has_its_tensors(model: str) -> None:
    for method in ("lora", "qlora", "full"):
        real, said = both(model, METHODS[method], "bfloat16", "fsdp", "none", 2)
        check_held(real, said)
        assert [weight.shape for weight in real.weights] == [tensor.shape for tensor in said.tensors]


@pytest.mark.parametrize("optimizer", ["adamw8bit", "paged_adamw8bit"])
def test_small_tensors_keep_a_state_of_32_bits(optimizer: str) -> None:
    recipe = Recipe.model_validate(
        {
            "name": "x", "model": {"source": "x"}, "data": {"train": "x"}, "method": {"rank": 20},
            "train": {"optimizer": optimizer},
        }
    )  # fmt: skip
    config = AutoConfig.for_model("llama", **WIDTHS)
    real, said = by_torch(recipe, config), by_formula(shape_of(config.to_dict()), recipe, 1, on_gpu=False)
    assert {one.what: one.bytes for one in holdings(real)} == {term.what: term.bytes for term in held(said)}


@pytest.mark.parametrize("model", ["llama", "qwen3", "gemma", "phi3"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("method", ["lora", "lora on two", "qlora", "int8", "full"])
def test_activations_are_what_autograd_saves(model: str, precision: str, method: str) -> None:
    for strategy in ("ddp", "zero3"):
        real, said = both(model, METHODS[method], precision, strategy, "none", 1)
        made = activations(real, 1.0)
        layers = [layer_bytes(said, layer) for layer in range(3)]
        assert sum(layers) == pytest.approx(made.layers, rel=0.02)
        assert max(layers) == pytest.approx(made.largest_layer, rel=0.02)
        assert input_bytes(said) == made.inputs
        assert outside_bytes(said) + loss_bytes(said) == pytest.approx(made.outside, rel=0.02)
