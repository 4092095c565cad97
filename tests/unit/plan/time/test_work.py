"""Operations of a real model's passes, counted by torch, against those counted from its shape."""

from __future__ import annotations

import importlib.util
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.unit.train import tiny
from tunesmith.data.dataset import PackedRow
from tunesmith.models import attention
from tunesmith.models.load import choose_device
from tunesmith.models.lora_linear import speed_up
from tunesmith.models.trainable import load_trainable
from tunesmith.plan.shape import shape_of
from tunesmith.plan.time import work
from tunesmith.plan.time.graph import graph_of
from tunesmith.plan.time.work import forward_work, training_work
from tunesmith.plan.time.workload import Part
from tunesmith.recipe.method import MethodSection
from tunesmith.recipe.model import ModelSection
from tunesmith.train.forward import MicroBatch, loss_sum

CONFIG = {
    "model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": tiny.VOCABULARY,
}  # fmt: skip
LENGTH, DOCUMENTS, LABELS = 48, 3, 60


def unknown_to_torch() -> dict[Any, Any]:
    """Products that its counter leaves out: those added in place, and bitsandbytes' with 4-bit weights."""
    found = {torch.ops.aten.addmm_: lambda _into, left, right, **_: 2 * left[0] * left[1] * right[1]}
    if importlib.util.find_spec("bitsandbytes"):
        import bitsandbytes  # noqa: F401

        found[torch.ops.bitsandbytes.gemm_4bit] = lambda left, _packed, weight, *_, **__: 2 * prod(left) * weight[0]
    return found


METHODS: dict[str, dict[str, Any]] = {
    "lora": {"rank": 4},
    "lora of queries": {"rank": 4, "targets": ["q_proj"]},
    "lora of the last product": {"rank": 8, "targets": ["down_proj"]},
    "lora of keys and values": {"rank": 8, "targets": ["k_proj", "v_proj"]},
    "qlora": {"type": "qlora", "rank": 4},
    "full": {"type": "full"},
    "full, last layer": {"type": "full", "layers": ["layers.2."]},
    "full, middle products": {"type": "full", "layers": ["layers.1.mlp.gate_proj"]},
    "full, norms": {"type": "full", "layers": ["layernorm"]},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """The tiny Llama with and without a head of its own."""
    start = tmp_path_factory.mktemp("models")
    return {tied: tiny.write_model(start / str(tied), tie_word_embeddings=tied) for tied in (False, True)}


def batch() -> MicroBatch:
    """A row of equally long documents."""
    total = LENGTH * DOCUMENTS
    row = PackedRow(
        np.arange(total) % tiny.VOCABULARY,
        np.array([LENGTH] * DOCUMENTS),
        np.arange(1, 1 + LABELS),
        np.ones(LABELS, np.float32),
    )
    return MicroBatch.of([row], torch.device("cpu"), torch.float32)


@pytest.mark.parametrize("tied", [False, True], ids=["own head", "tied"])
@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "checkpointed"])
@pytest.mark.parametrize("name", METHODS)
def test_operations_are_those_that_torch_counts(
    folders: dict[bool, Path], tmp_path: Path, name: str, checkpointing: bool, tied: bool
) -> None:
    method = MethodSection(**METHODS[name])
    if method.type == "qlora":
        pytest.importorskip("bitsandbytes")
    section = ModelSection(source=str(folders[tied]), dtype="float32")
    model, _ = load_trainable(folders[tied], section, method, choose_device(), 0, tmp_path)
    base = model.get_base_model() if method.has_adapter else model
    if checkpointing:
        base.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if method.type == "lora":
        speed_up(model)
    model.train()
    one, unknown = batch(), unknown_to_torch()
    with FlopCounterMode(display=False, custom_mapping=unknown) as forward:
        loss = loss_sum(model, one)
    with FlopCounterMode(display=False, custom_mapping=unknown) as backward:
        loss.backward()

    shape = shape_of({**CONFIG, "tie_word_embeddings": tied})
    graph = graph_of(shape, method, checkpointing)
    part = Part(1, DOCUMENTS, LENGTH * DOCUMENTS, LABELS, DOCUMENTS * LENGTH**2)
    mine = training_work(shape, method, graph, part, 1, True, 4, checkpointing).flops
    counted = forward.get_total_flops() + backward.get_total_flops()
    assert forward_work(shape, method, graph, part, 1, True, 4).flops == pytest.approx(forward.get_total_flops())
    # Of 4-bit layers torch leaves out the last product with B when it computes a layer again.
    exact = 5e-3 if method.type == "qlora" and checkpointing else 1e-9
    assert mine == pytest.approx(counted, rel=exact)
    assert graph.trained_values == sum(p.numel() for p in model.parameters() if p.requires_grad)


def test_plain_attention_ends_where_the_model_ends_it() -> None:
    assert work.SHORT == attention.SHORT
