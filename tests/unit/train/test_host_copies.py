"""Activations that are kept in memory between the passes: the same gradients, and as many bytes as are said."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig

from tests.unit.train.conftest import MakeJob
from tests.unit.train.test_parity import gradients
from tunesmith.errors import RecipeError
from tunesmith.train import host_copies, refuse
from tunesmith.train.explain.explanation import explain
from tunesmith.train.loop import Loop


def test_gradients_have_the_same_bits_and_the_layers_leave_nothing(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind the forward pass autograd holds copies only, besides parameters and what is small."""
    monkeypatch.setattr(host_copies, "SMALL", 1 << 10)
    away = host_copies.HostCopies._away
    kept, copied = [], []

    def watched(self: host_copies.HostCopies, tensor: torch.Tensor) -> tuple[torch.device, torch.Tensor]:
        device, copy = away(self, tensor)
        (kept if copy is tensor else copied).append((tensor, copy))
        return device, copy

    batch, found = list(range(6)), []
    for train in ({}, {"activation_offload": True}, {"activation_offload": True, "gradient_checkpointing": True}):
        if train:
            monkeypatch.setattr(host_copies.HostCopies, "_away", watched)
        loop = Loop(make_job(train))
        found.append((*gradients(loop, batch), sum(copy.nbytes for _, copy in copied)))
        if train:
            weights = {parameter.data_ptr() for parameter in loop.adapted.parameters()}
            assert all(one.data_ptr() in weights or one.nbytes <= host_copies.SMALL for one, _ in kept)
            assert all(copy.data_ptr() != one.data_ptr() for one, copy in copied)
        kept.clear()
        copied.clear()
    (loss, expected, nothing), *others = found
    assert not nothing
    assert others[1][2] < others[0][2] / 3  # of the layers that are computed again, only what goes into them
    for other_loss, ours, _ in others:
        assert other_loss == loss
        assert all(torch.equal(ours[name], gradient) for name, gradient in expected.items())


def test_what_is_said_of_a_gpu_is_less_by_the_layers(make_job: MakeJob, tiny_model: object) -> None:
    config = AutoConfig.from_pretrained(tiny_model)
    said = [explain(make_job(train).load_recipe(), config, "here") for train in ({}, {"activation_offload": True})]
    layers = said[0].activations.layers
    assert said[0].activation_bytes - said[1].activation_bytes == layers - said[0].activations.largest_layer > 0


def test_without_a_gpu_it_is_refused(make_job: MakeJob) -> None:
    recipe = make_job({"activation_offload": True}).load_recipe()
    refuse.activation_offload(recipe, 1)
    with pytest.raises(RecipeError) as caught:
        refuse.activation_offload(recipe, 0)
    assert str(caught.value) == (
        "train.activation_offload: activations lie in memory already: no worker has a GPU to take them off\n"
        "  fix: leave it out, or set train.gradient_checkpointing: true, which saves memory on a CPU too"
    )
