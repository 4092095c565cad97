"""What is estimated of a run by its config alone, against the real model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from transformers import AutoConfig

from tests import tiny_models
from tests.unit.train import tiny
from tunesmith.data.dataset import PackedRow
from tunesmith.models.lora_linear import speed_up
from tunesmith.models.trainable import load_trainable
from tunesmith.recipe.load import load_recipe
from tunesmith.store.home import Home
from tunesmith.train.dry_run import dry_run
from tunesmith.train.explain.activations import activations
from tunesmith.train.explain.holdings import holdings
from tunesmith.train.explain.setting import setting_of
from tunesmith.train.forward import MicroBatch, loss_sum
from tunesmith.train.loop import Loop

LENGTH = 600
"""Tokens of a document long enough for the fused attention, on a CPU too."""


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("method", [{"rank": 4}, {"type": "qlora", "rank": 4}, {"type": "full"}])
def test_activations_are_what_autograd_keeps(tmp_path: Path, method: dict[str, Any], precision: str) -> None:
    folder = tiny.write_model(tmp_path / "model", max_position_embeddings=LENGTH)
    train = {"sequence_length": LENGTH, "micro_batch_tokens": LENGTH, "precision": precision}
    recipe = tiny.make_job(tmp_path / "run", folder, tmp_path, train, method=method).load_recipe()
    # Full weights in bfloat16 are converted by the strategy, here by hand.
    model, dtype = load_trainable(folder, recipe.base, recipe.method, torch.device("cpu"), 0, tmp_path / "cache")
    if method == {"rank": 4}:
        speed_up(model)
    model.to(dtype) if recipe.method.type == "full" else None
    row = PackedRow(
        np.zeros(LENGTH, np.int64), np.array([LENGTH]), np.arange(LENGTH // 2, LENGTH), np.ones(LENGTH // 2, np.float32)
    )
    batch = MicroBatch.of([row], torch.device("cpu"), dtype)
    known = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    kept: dict[int, torch.Tensor] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    model.train()
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss_sum(model, batch)
    real = sum(tensor.untyped_storage().nbytes() for place, tensor in kept.items() if place not in known)
    said = activations(setting_of(recipe, AutoConfig.from_pretrained(folder)), label_share=0.5)
    assert (said.tokens, said.labels) == (LENGTH, LENGTH // 2)
    assert said.kept == pytest.approx(real, rel=0.05)


def test_a_folder_without_weights_is_rehearsed_with_its_data(tmp_path: Path) -> None:
    tiny_models.save(tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").unlink()
    row = '{"messages": [{"role": "user", "content": "say %d"}, {"role": "assistant", "content": "yes"}]}\n'
    (tmp_path / "rows.jsonl").write_text("".join(row % number for number in range(30)))
    (tmp_path / "recipe.yaml").write_text(
        "name: tiny\nmodel: {source: model}\ndata: {train: rows.jsonl, split: {validation: 4, test: 4}, "
        "audit: {fail_on: [malformed]}}\n"
        "train: {sequence_length: 64}\nresources: {workers: 2, gpus_per_worker: 1, strategy: fsdp}\n"
    )
    home = Home(tmp_path / "home", "", "")
    plan = dry_run(load_recipe(tmp_path / "recipe.yaml", ()), home, Console(stderr=True))
    assert plan["weights_here"] is False and plan["dataset_version"] and plan["total_steps"] > 0
    assert plan["not_checked"][0] == "the weights are not here: nothing but shapes is known of them"
    made = plan["each_worker"]["activations"]
    assert 0 < made["labels"] < made["tokens"]
    assert plan["parameters"]["base"] == sum(p.numel() for p in tiny_models.model().parameters())


def test_an_optimizer_of_eight_bits_keeps_what_was_said(tmp_path: Path, tiny_model: Path, tiny_dataset: Path) -> None:
    train = {"max_steps": 1, "optimizer": "adamw8bit"}
    job = tiny.make_job(tmp_path / "run", tiny_model, tiny_dataset, train, method={"rank": 64})
    loop = Loop(job)
    loop.run()
    state = [value for entries in loop.strategy.optimizer.state.values() for value in entries.items()]
    kept = sum(value.nbytes for name, value in state if isinstance(value, torch.Tensor) and "qmap" not in name)
    said = {one.what: one.bytes for one in holdings(setting_of(loop.recipe, AutoConfig.from_pretrained(tiny_model)))}
    assert said["optimizer state"] == kept
