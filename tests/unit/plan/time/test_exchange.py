"""Bytes between workers against those that `train --explain` counts on the model itself."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import LlamaConfig

from tests.unit.plan.time.places import full_rows, machine, owned, recipe
from tunesmith.plan.shape import shape_of
from tunesmith.plan.time.exchange import exchanges
from tunesmith.plan.time.graph import graph_of
from tunesmith.plan.time.rates import assumed_rates
from tunesmith.plan.time.team import team_of
from tunesmith.train.explain.collectives import collectives, micro_batches
from tunesmith.train.explain.setting import setting_of

CONFIG = {
    "model_type": "llama", "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 512,
}  # fmt: skip


@pytest.mark.parametrize("workers", [2, 4])
@pytest.mark.parametrize("strategy", ["ddp", "fsdp", "zero1", "zero2", "zero3"])
@pytest.mark.parametrize(
    "method",
    [{"rank": 8}, {"type": "full"}, {"type": "full", "layers": ["layers.2.", "layers.3."]}],
    ids=["lora", "full", "last layers"],
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_bytes_are_those_of_the_explanation(method: dict[str, Any], strategy: str, workers: int, dtype: str) -> None:
    of = recipe(
        method,
        {"sequence_length": 128, "micro_batch_tokens": 256, "batch_size": 16, "precision": dtype},
        resources={"strategy": strategy, "workers": workers},
    )
    setting = setting_of(of, LlamaConfig(**{key: value for key, value in CONFIG.items() if key != "model_type"}))
    expected = {one.kind: 0 for one in collectives(setting)}
    for one in collectives(setting):
        expected[one.kind] += one.bytes
    shape = shape_of(CONFIG)
    here = owned(machine(cpus=4))
    team = team_of(of, here, full_rows(of, 64), assumed_rates(here.machine, "lora"))
    assert team.micro_batches == micro_batches(setting)
    itemsize = {"float32": 4, "bfloat16": 2}[dtype]
    found = exchanges(shape, of, graph_of(shape, of.method), workers, team.micro_batches, itemsize)
    assert {one.kind for one in found} == set(expected)
    for kind, size in expected.items():
        # Shares are padded to be equally long, which plans leave out.
        assert sum(one.bytes for one in found if one.kind == kind) == pytest.approx(size, rel=0.01)


def test_one_worker_sends_nothing() -> None:
    of = recipe()
    assert exchanges(shape_of(CONFIG), of, graph_of(shape_of(CONFIG), of.method), 1, 4, 4) == []
