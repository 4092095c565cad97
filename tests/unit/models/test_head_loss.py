"""The loss in chunks is the loss, and its logits are never together."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from tests import tiny_models
from tunesmith.errors import ModelError
from tunesmith.models import head_loss
from tunesmith.models.head_loss import KINDS, HeadLoss

LABELS, VOCABULARY = 11, 258
IDS = torch.arange(LABELS).unsqueeze(0) * 7
TARGETS = (torch.arange(LABELS) * 29 + 3) % VOCABULARY
WEIGHTS = torch.linspace(0.25, 2, LABELS)


class Largest(TorchDispatchMode):
    """Notes the most values that a tensor of this many columns has, among all that are made."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.columns, self.rows = columns, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor) and made.shape[1:] == (self.columns,) and made.is_contiguous():
            self.rows = max(self.rows, made.shape[0])
        return made


def run(model: Any) -> Any:
    return model(input_ids=IDS, use_cache=False)


def usual(model: Any) -> torch.Tensor:
    return torch.dot(F.cross_entropy(run(model).logits[0].float(), TARGETS, reduction="none"), WEIGHTS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [3, 100])
def test_loss_and_all_gradients_are_those_of_cross_entropy(
    kind: str, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head_loss, "CHUNK", rows)
    model = tiny_models.model(kind, **({"num_experts": 4, "num_experts_per_tok": 2} if kind == "qwen3_moe" else {}))
    scale = 0.125  # the loop divides by the weight of a batch
    expected = usual(model) * scale
    expected.backward()
    wanted = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    chunked = HeadLoss(model)
    loss = chunked(lambda: run(model), TARGETS, WEIGHTS) * scale
    loss.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)
    largest = max(float(gradient.abs().max()) for gradient in wanted.values())
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, wanted[name], rtol=1e-5, atol=1e-6 * largest)
    with torch.no_grad():
        torch.testing.assert_close(chunked(lambda: run(model), TARGETS, WEIGHTS) * scale, expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(usual(model) * scale, expected)  # unasked, the head gives its logits as before


def test_logits_are_never_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head_loss, "CHUNK", 3)
    model = tiny_models.model().requires_grad_(False)
    model.get_input_embeddings().weight.requires_grad_(True)
    found = []
    for loss in (usual, lambda model: HeadLoss(model)(lambda: run(model), TARGETS, WEIGHTS)):
        with Largest(VOCABULARY) as largest:
            loss(model).backward()
        found.append(largest.rows)
    assert found == [LABELS, 3]


def test_in_bfloat16_the_loss_is_as_near_as_the_usual_one() -> None:
    exact = usual(tiny_models.model())
    model = tiny_models.model().bfloat16()
    chunked = HeadLoss(model)(lambda: run(model), TARGETS, WEIGHTS)
    assert abs(chunked - usual(model)) < 1e-5 * exact
    assert chunked.dtype is torch.float32


def test_where_it_would_not_be_exact_it_is_refused() -> None:
    with pytest.raises(ModelError) as caught:
        HeadLoss(tiny_models.model("granite"))
    assert str(caught.value) == (
        "train.chunked_loss: the loss cannot be made in chunks: granite is not among llama, mistral, mixtral, olmo2, "
        "phi3, qwen2, qwen3, qwen3_moe, smollm3\n  fix: leave it out"
    )
    model = tiny_models.model()
    model.lm_head = torch.nn.Linear(64, VOCABULARY)
    with pytest.raises(ModelError, match="its head has more than a weight"):
        HeadLoss(model)
