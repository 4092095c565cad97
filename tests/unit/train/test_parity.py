"""Loss, gradients and whole runs against plain PyTorch, transformers and PEFT: unpacked, full logits, SDPA."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.unit.train import reference, tiny
from tests.unit.train.conftest import MakeJob
from tunesmith.data.dataset import open_dataset
from tunesmith.recipe.method import MethodSection
from tunesmith.train.forward import MicroBatch, loss_sum
from tunesmith.train.loop import Loop
from tunesmith.train.sinks import read_events

ROWS = tiny.make_rows(1, 13, weighted=True)
VALIDATION = tiny.make_rows(2, 5, weighted=True)
EXACT = {"rtol": 0, "atol": 1e-5}
SAME = {"rtol": 0, "atol": 1e-6}


def with_random_b(parameters: dict[str, torch.nn.Parameter]) -> None:
    """B begins at zero, and then A has no gradient to compare."""
    generator = torch.Generator().manual_seed(3)
    for name in sorted(parameters):
        if "lora_B" in name:
            parameters[name].data.normal_(0, 0.1, generator=generator)


def gradients(loop: Loop, rows: list[int]) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients of one batch, as the loop's own step makes them."""
    weight = sum(float(loop.train_rows[row].label_weights.sum()) for row in rows)
    loss, _, _ = loop.passes.gradients(loop.train_rows, 0, rows, weight)
    found = {name: parameter.grad.clone() for name, parameter in loop.parameters.items() if parameter.grad is not None}
    loop.strategy.optimizer.zero_grad()
    return loss, found


def expected_gradients(model: Any, rows: list[int]) -> tuple[float, dict[str, torch.Tensor]]:
    loss = reference.mean_loss(model, [ROWS[row] for row in rows])
    loss.backward()
    return loss.item(), {name: p.grad for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize(
    "method", [{"rank": 4, "alpha": 8.0}, {"rank": 3, "alpha": 5.0, "rslora": True}, {"rank": 2, "dora": True}]
)
def test_loss_and_gradients_are_those_of_plain_pytorch(make_job: MakeJob, tiny_model: Path, method: dict) -> None:
    loop = Loop(make_job(method=method))
    model = reference.peft_model(tiny_model, MethodSection.model_validate(method), loop.section.seed)
    theirs = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert theirs.keys() == loop.parameters.keys()
    for name, parameter in theirs.items():
        torch.testing.assert_close(loop.parameters[name].data, parameter.data, rtol=0, atol=0)
    with_random_b(loop.parameters)
    with_random_b(theirs)
    batch = [3, 0, 7, 11, 5]
    loss, found = gradients(loop, batch)
    expected_loss, expected = expected_gradients(model, batch)
    assert loss == pytest.approx(expected_loss, abs=1e-5)
    assert max(gradient.abs().max() for gradient in expected.values()) > 1e-2
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, **EXACT, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize(
    "change",
    [
        {"micro_batch_tokens": 16},
        {"micro_batch_tokens": 100},
        {"gradient_checkpointing": True},
        {"chunked_loss": True},
    ],
    ids=["a row at a time", "a few rows", "gradient checkpointing", "loss in chunks"],
)
def test_how_a_batch_is_computed_does_not_change_it(make_job: MakeJob, change: dict[str, Any]) -> None:
    batch = list(range(13))
    results = []
    for train in ({}, change):
        loop = Loop(make_job(train))
        with_random_b(loop.parameters)
        results.append(gradients(loop, batch))
    (loss, expected), (other_loss, found) = results
    assert other_loss == pytest.approx(loss, abs=1e-6)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, **SAME, msg=lambda text, name=name: f"{name}: {text}")


def test_gradient_checkpointing_really_recomputes(make_job: MakeJob) -> None:
    calls = []
    for checkpointing in (False, True):
        loop = Loop(make_job({"gradient_checkpointing": checkpointing}))
        seen: list[int] = []
        mlp = loop.adapted.get_base_model().model.layers[1].mlp
        mlp.register_forward_pre_hook(lambda *_, seen=seen: seen.append(1))
        gradients(loop, [0])
        calls.append(len(seen))
    assert calls == [1, 2]


def test_packed_logits_are_those_of_each_conversation_alone(make_job: MakeJob, tiny_model: Path) -> None:
    loop = Loop(make_job())
    with_random_b(loop.parameters)
    model = reference.peft_model(tiny_model, MethodSection(rank=4, alpha=8.0), 0)
    with_random_b({name: p for name, p in model.named_parameters() if p.requires_grad})
    batch = MicroBatch.of([loop.train_rows[row] for row in range(13)], loop.device, loop.dtype)
    everywhere = torch.arange(batch.num_tokens)
    with torch.no_grad():
        packed = loop.adapted(
            input_ids=batch.input_ids, position_ids=batch.positions, documents=batch.documents,
            logits_to_keep=everywhere, use_cache=False,
        ).logits[0]  # fmt: skip
        alone = [model(input_ids=torch.tensor([document.ids])).logits[0] for row in ROWS for document in row]
    torch.testing.assert_close(packed, torch.cat(alone), **EXACT)


def test_no_conversation_sees_another(make_job: MakeJob, tmp_path: Path) -> None:
    """Another neighbour changes nothing: not the loss, not a single bit of it."""
    rng = np.random.default_rng(9)
    first, last = tiny.make_document(rng, 20), tiny.make_document(rng, 30)
    losses = []
    for number in range(2):
        between = tiny.make_document(np.random.default_rng(20 + number), 25)
        between = tiny.Document(between.ids, [1], [0.0])
        dataset = tiny.write_dataset(tmp_path / f"data-{number}", train=[[first, between, last]])
        loop = Loop(make_job(dataset=dataset))
        with torch.no_grad():
            losses.append(float(loss_sum(loop.adapted, loop.passes._batch(loop.train_rows, [0]))))
    assert losses[0] == losses[1]


def run_of(loop: Loop) -> list[dict[str, Any]]:
    loop.run()
    return [event for event in read_events(loop.job.folder) if event["event"] == "step"]


@pytest.mark.parametrize(
    "train",
    [
        {"epochs": 2.5, "batch_size": 4, "warmup": 0.2},
        {"epochs": 2, "batch_tokens": 150, "warmup": 2, "weight_decay": 0.3, "betas": [0.8, 0.95]},
        {"epochs": 1, "batch_size": 13, "max_grad_norm": 0, "warmup": 0, "micro_batch_tokens": 64},
        {"epochs": 1, "batch_size": 5, "max_grad_norm": 0.05, "max_steps": 2},
    ],
)
def test_a_whole_run_is_that_of_a_plain_loop(make_job: MakeJob, tiny_model: Path, train: dict[str, Any]) -> None:
    loop = Loop(make_job({"seed": 7, **train}))
    model = reference.peft_model(tiny_model, loop.recipe.method, 7)
    batches = [loop.plan.rows(step) for step in range(loop.plan.total_steps)]
    expected = reference.train(model, ROWS, batches, loop.section)
    steps = run_of(loop)
    assert [event["step"] for event in steps] == list(range(1, len(batches) + 1))
    assert [event["train_loss"] for event in steps] == pytest.approx([loss for loss, _ in expected], abs=1e-5)
    assert [event["gradient_norm"] for event in steps] == pytest.approx([norm for _, norm in expected], abs=1e-5)


def test_validation_loss_is_the_mean_over_learnt_tokens(make_job: MakeJob, tiny_model: Path) -> None:
    loop = Loop(make_job({"micro_batch_tokens": 64}))
    model = reference.peft_model(tiny_model, loop.recipe.method, 0)
    with torch.no_grad():
        expected = float(reference.mean_loss(model, VALIDATION))
    total, weight = loop.passes.validation_loss(loop.validation_rows, 0)
    assert total / weight == pytest.approx(expected, abs=1e-5)


def test_counts_of_a_run(make_job: MakeJob) -> None:
    loop = Loop(make_job({"epochs": 2, "batch_size": 5}))
    result = loop.run()
    documents = [document for row in ROWS for document in row]
    assert result.status == "finished"
    assert (result.steps, result.total_steps) == (6, 6)
    assert result.tokens == 2 * sum(len(document.ids) for document in documents)
    assert result.label_tokens == 2 * sum(len(document.positions) for document in documents)
    assert result.trained_parameters == sum(p.numel() for p in loop.parameters.values())
    assert result.all_parameters - result.trained_parameters == sum(
        p.numel() for p in loop.adapted.parameters() if not p.requires_grad
    )


def test_the_adapter_is_what_was_trained(make_job: MakeJob, tiny_dataset: Path) -> None:
    """Loaded by PEFT alone, the saved files give the loss that the run reported last."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    job = make_job({"epochs": 2, "batch_size": 5})
    result = Loop(job).run()
    base = AutoModelForCausalLM.from_pretrained(job.model_folder, dtype=torch.float32)
    model = PeftModel.from_pretrained(base, job.folder / "adapter")
    with torch.no_grad():
        assert float(reference.mean_loss(model, VALIDATION)) == pytest.approx(result.best_loss, abs=1e-5)
    assert len(open_dataset(tiny_dataset).rows("validation")) == 5
