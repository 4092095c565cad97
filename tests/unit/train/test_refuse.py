"""Runs that cannot learn what the recipe says: one row a mistake, with the exact message."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.unit.train import tiny
from tests.unit.train.conftest import MakeJob
from tunesmith.data.dataset import open_dataset
from tunesmith.errors import TrainError, TunesmithError
from tunesmith.plan import rules
from tunesmith.recipe.resources import ResourcesSection
from tunesmith.recipe.schema import Recipe
from tunesmith.train import refuse
from tunesmith.train.job import read_result
from tunesmith.train.loop import Loop
from tunesmith.train.passes import Passes
from tunesmith.train.progress import Progress
from tunesmith.train.step import Stepper

GOOD = tiny.make_rows(1, 4)
UNLABELLED = [[tiny.Document([1, 2, 3], [], [])]]
WEIGHTLESS = [[tiny.Document([1, 2, 3], [1, 2], [0.0, 0.0])]]
UNKNOWN = [[tiny.Document([1, 97, 3], [2], [1.0])]]
LONG = [[tiny.make_document(np.random.default_rng(0), 80)]]
SPEED = "lower the learning rate, or set train.precision: float32; the last checkpoint is kept"

CASES: dict[str, tuple[dict[str, Any], str]] = {
    "no rows": (
        {"parts": {"validation": GOOD}},
        "data.train: the training part of the dataset has no rows\n"
        "  fix: add rows, or leave more of them to training in data.split",
    ),
    "all weights zero": (
        {"parts": {"train": WEIGHTLESS}},
        "step 1: no token of the packed rows 0 is learnt, or all have weight 0\n"
        "  fix: give their answers a weight above 0, or leave the rows out (data.overlong: drop, where they were cut)",
    ),
    "all validation weights zero": (
        {"parts": {"train": GOOD, "validation": WEIGHTLESS}},
        "the validation rows: no token of the packed rows 0 is learnt, or all have weight 0\n"
        "  fix: give their answers a weight above 0, or leave the rows out (data.overlong: drop, where they were cut)",
    ),
    "a token the model does not know": (
        {"parts": {"train": UNKNOWN}},
        "model.source: the rows have token 97, the base model knows 97 tokens\n"
        "  fix: use the tokenizer that came with the model, without tokens added to it",
    ),
    "longer than the model": (
        {"parts": {"train": LONG}, "model": {"max_position_embeddings": 64}},
        "train.sequence_length: the longest conversation has 80 tokens, the base model has 64 positions\n"
        "  fix: set it to 64 or less; data.overlong says what happens to longer conversations",
    ),
    "a target the model does not have": (
        {"parts": {"train": GOOD}, "method": {"targets": ["query"]}},
        "method.targets: the model has no linear layer named 'query'\n"
        "  fix: known: down_proj, gate_proj, k_proj, lm_head, o_proj, q_proj, up_proj, v_proj",
    ),
    "a rate that cannot move a float32": (
        {"parts": {"train": GOOD}, "train": {"learning_rate": 1e-60}},
        "train.learning_rate: training has changed nothing: the adapter is as it was at the start\n"
        "  fix: raise it, or train.epochs; the rate reached is in the run's metrics.jsonl",
    ),
    "weights that are not numbers": (
        {"parts": {"train": GOOD}, "fill": ("model.embed_tokens.weight", 50, float("nan"))},
        "train.learning_rate: the loss is nan and the gradient norm nan at step 1 (packed rows [0, 1, 2, 3])\n"
        f"  fix: {SPEED}",
    ),
    "a base whose output does not depend on its layers": (
        {"parts": {"train": GOOD}, "fill": ("model.norm.weight", slice(None), 0.0)},
        "method.targets: nothing is learnt: the loss is 4.57471, and every gradient of the first step is zero\n"
        "  fix: name layers whose output reaches the answers",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_mistake_has_its_sentence_and_no_adapter(
    make_job: MakeJob, tiny_model: Path, tmp_path: Path, case: str
) -> None:
    given, message = CASES[case]
    model = tiny.write_model(tmp_path / "model", **given["model"]) if "model" in given else tiny_model
    if "fill" in given:
        model = changed(model, tmp_path / "changed", *given["fill"])
    dataset = tiny.write_dataset(tmp_path / "data", **given["parts"])
    sections: dict[str, Any] = {"method": given["method"]} if "method" in given else {}
    job = make_job(given.get("train"), model=model, dataset=dataset, **sections)
    with pytest.raises(TunesmithError) as caught:
        Loop(job).run()
    assert str(caught.value) == message.replace("{dataset}", str(dataset))
    assert not (job.folder / "adapter").exists()
    assert read_result(job.folder) is None


BEFORE_WORKERS_START: dict[str, tuple[dict[str, Any], str]] = {
    "nothing learnt": (
        {"parts": {"train": UNLABELLED}},
        "{dataset}: no token of the train rows is learnt\n"
        "  fix: check data.train_on with `tunesmith data show RECIPE`, which prints the learnt tokens in colour",
    ),
    "nothing learnt in validation": (
        {"parts": {"train": GOOD, "validation": UNLABELLED}},
        "{dataset}: no token of the validation rows is learnt\n"
        "  fix: check data.train_on with `tunesmith data show RECIPE`, which prints the learnt tokens in colour",
    ),
    "early stopping without validation": (
        {"parts": {"train": GOOD}, "train": {"early_stopping": {}}},
        "train.early_stopping: there are no validation rows to evaluate on\n"
        "  fix: set data.split.validation or data.validation, or leave this out",
    ),
    "evaluation without validation": (
        {"parts": {"train": GOOD}, "train": {"eval_every": 3}},
        "train.eval_every: there are no validation rows to evaluate on\n"
        "  fix: set data.split.validation or data.validation, or leave this out",
    ),
    "two types": (
        {"parts": {"train": GOOD}, "dtype": "bfloat16"},
        "train.precision: training is to compute in float32, the base model to be in bfloat16\n"
        "  fix: give both the same type, or leave one at auto",
    ),
}


@pytest.mark.parametrize("case", BEFORE_WORKERS_START)
def test_each_mistake_seen_without_a_model_has_its_sentence(make_job: MakeJob, tmp_path: Path, case: str) -> None:
    given, message = BEFORE_WORKERS_START[case]
    dataset = open_dataset(tiny.write_dataset(tmp_path / "data", **given["parts"]))
    job = make_job(given.get("train"), dataset=dataset.folder)
    job.recipe["model"]["dtype"] = given.get("dtype", "auto")
    with pytest.raises(TunesmithError) as caught:
        refuse.ignored_settings(job.load_recipe(), len(dataset.rows("validation")))
        refuse.rows(dataset.rows("train"), dataset.rows("validation"), dataset.folder)
    assert str(caught.value) == message.replace("{dataset}", str(dataset.folder))


PLACEMENTS = {
    "ddp offloads nothing": (
        {"offload": "all"},
        "resources.offload: ddp cannot offload parameters\n"
        "  fix: set resources.offload: none, or resources.strategy: fsdp or zero3",
    ),
    "fsdp offloads both": (
        {"strategy": "fsdp", "offload": "optimizer"},
        "resources.offload: fsdp cannot offload its optimizer alone\n"
        "  fix: set resources.offload: none or all, or resources.strategy: zero1 or zero2 or zero3",
    ),
    "a folder for nothing": (
        {"strategy": "zero2", "offload": "optimizer", "offload_folder": "/fast"},
        "resources.offload_folder: only zero3 with offload uses a folder\n"
        "  fix: leave it out, or set resources.strategy: zero3 and resources.offload: optimizer or all",
    ),
}


@pytest.mark.parametrize("case", PLACEMENTS)
def test_what_a_strategy_cannot_heed_is_refused(case: str) -> None:
    settings, message = PLACEMENTS[case]
    with pytest.raises(TunesmithError) as caught:
        refuse.placement(ResourcesSection.model_validate(settings))
    assert str(caught.value) == message


PAIRS = {
    "rows of 8 bits under fsdp": (
        {"method": {"type": "qlora", "quantisation": "int8"}, "resources": {"strategy": "fsdp"}},
        "method.quantisation: fsdp cannot cut weights of 8 bits: their scales belong to whole rows\n"
        "  fix: set method.quantisation: nf4, or resources.strategy: ddp",
    ),
    "an optimizer of 8 bits under zero2": (
        {"train": {"optimizer": "adamw8bit"}, "resources": {"strategy": "zero2"}},
        "train.optimizer: zero2 cuts the optimizer's state where blocks of 8 bits cannot be cut\n"
        "  fix: set train.optimizer: adamw, whose state is shared out already, or resources.strategy: ddp",
    ),
}


@pytest.mark.parametrize("case", PAIRS)
def test_pairs_that_cannot_be_are_refused(case: str) -> None:
    sections, message = PAIRS[case]
    recipe = Recipe.model_validate({"name": "x", "model": {"source": "m"}, "data": {"train": "a.jsonl"}, **sections})
    with pytest.raises(TunesmithError) as caught:
        rules.pairs(recipe)
    assert str(caught.value) == message


def test_a_strategy_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(TunesmithError) as caught:
        refuse.placement(ResourcesSection(strategy="zero3"))
    assert str(caught.value) == (
        "resources.strategy: zero3 needs the package deepspeed, which is not installed\n"
        "  fix: pip install 'tunesmith[deepspeed]', or set resources.strategy: fsdp"
    )


def changed(model: Path, folder: Path, name: str, rows: int | slice, value: float) -> Path:
    """A copy of the model with rows of one tensor filled with a number."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(model, folder)
    tensors = load_file(folder / "model.safetensors")
    tensors[name][rows] = value
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_a_validation_loss_that_is_no_number_stops_the_run(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Passes, "validation_loss", lambda *_: (float("nan"), 1.0))
    with pytest.raises(TrainError) as caught:
        Loop(make_job({"batch_size": 13})).run()
    assert str(caught.value) == f"train.learning_rate: the validation loss is nan after step 1\n  fix: {SPEED}"


def exploding(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """From a step on, weights are infinite."""
    step = Stepper.step

    def explode(self: Stepper, progress: Progress, mine: Any) -> Any:
        if progress.step + 1 == at:
            for parameter in self.strategy.parameters.values():
                parameter.data.fill_(float("inf"))
        return step(self, progress, mine)

    monkeypatch.setattr(Stepper, "step", explode)


def test_a_loss_that_explodes_keeps_the_checkpoint_before(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job({"batch_size": 4, "checkpoint_every": 1, "on_spike": "ignore"})
    exploding(monkeypatch, at=3)
    with pytest.raises(TrainError) as caught:
        Loop(job).run()
    assert caught.value.what.startswith("the loss is nan and the gradient norm nan at step 3 (packed rows [")
    assert sorted(path.name for path in (job.folder / "checkpoints").iterdir()) == ["step-00000001", "step-00000002"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("[]", "tunesmith.train.job.TrainResult() argument after ** must be a mapping, not list"),
    ],
)
def test_a_damaged_result_is_a_sentence(tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(TrainError) as caught:
        read_result(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/result.json: the run's result cannot be read ({reason})\n"
        "  fix: remove it and give the same command again: the last checkpoint has everything else"
    )


def test_dropout_depends_on_neither_micro_batches_nor_the_order_of_calls(make_job: MakeJob) -> None:
    found = []
    for micro in (16, 4096):
        loop = Loop(make_job({"micro_batch_tokens": micro}, method={"rank": 4, "dropout": 0.5}))
        weight = sum(float(loop.train_rows[row].label_weights.sum()) for row in range(6))
        for parameter in loop.parameters.values():
            parameter.data.fill_(0.05)
        torch.rand(micro)
        found.append(loop.passes.gradients(loop.train_rows, 0, list(range(6)), weight)[0])
        assert loop.passes.gradients(loop.train_rows, 1, list(range(6)), weight)[0] != found[-1]
    assert found[0] == found[1]
