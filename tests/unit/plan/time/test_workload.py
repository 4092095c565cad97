"""Steps, rows and tokens of a run against what the loop itself lays out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.plan.time.places import recipe
from tunesmith.evaluate.prompts import variants
from tunesmith.plan.time import Part, guess_workload, workload_of
from tunesmith.plan.time.workload import VALIDATION_LOSSES, num_prompts, padded
from tunesmith.recipe.evaluate import PromptsSection
from tunesmith.train.batches import plan_batches
from tunesmith.train.loop import REPORTS


def manifest(sizes: np.ndarray, validation: int = 0, test: int = 0) -> dict[str, Any]:
    """Of rows of these sizes, each one document of which a quarter is learnt."""

    def part(lengths: np.ndarray) -> dict[str, int]:
        return {
            "rows": len(lengths), "examples": len(lengths), "tokens": int(lengths.sum()),
            "label_tokens": int(lengths.sum()) // 4, "squared_lengths": int((lengths.astype(np.int64) ** 2).sum()),
        }  # fmt: skip

    held_out = {"validation": part(np.full(validation, 50)), "test": part(np.full(test, 50))}
    return {"parts": {"train": part(sizes), **held_out}}


@given(
    rows=st.integers(1, 60),
    batch=st.integers(1, 16),
    epochs=st.sampled_from([0.1, 0.5, 1.0, 1.1, 2.0, 2.75]),
    most=st.none() | st.integers(1, 30),
)
def test_steps_and_rows_are_the_loops_own(rows: int, batch: int, epochs: float, most: int | None) -> None:
    of = recipe(train={"batch_size": batch, "epochs": epochs, "max_steps": most})
    sizes = np.full(rows, 100)
    plan = plan_batches(sizes, of.train)
    found = workload_of(manifest(sizes), of)
    assert found.steps == plan.total_steps
    learnt = sum(len(plan.rows(step)) for step in range(plan.total_steps))
    assert found.trained.rows == pytest.approx(learnt)
    assert found.trained.tokens == pytest.approx(100 * learnt)
    assert found.batch_rows == pytest.approx(learnt / plan.total_steps)


def test_steps_of_so_many_tokens_are_estimated() -> None:
    sizes = np.random.default_rng(1).integers(100, 1000, 400)
    of = recipe(train={"batch_tokens": 4000, "epochs": 2})
    found = workload_of(manifest(sizes), of)
    assert found.steps == pytest.approx(plan_batches(sizes, of.train).total_steps, rel=0.05)
    assert found.trained.tokens == pytest.approx(2 * sizes.sum())


def test_what_is_evaluated() -> None:
    assert VALIDATION_LOSSES == REPORTS
    settings = {"few_shot": [3, 5], "instructions": ["be brief", "be kind"]}
    of = recipe(train={"batch_size": 4, "eval_every": 7}, evaluate={"prompts": settings, "max_test_rows": 90})
    found = workload_of(manifest(np.full(100, 80), validation=20, test=300), of)
    assert (found.steps, found.evaluations) == (25, 4)  # after steps 7, 14, 21 and the last
    assert (found.test_rows, found.choice_rows, found.contestants) == (90, 20, 3)
    assert (found.prompt_tokens, found.answer_tokens, found.shown_tokens) == (60, 20, 400)
    alone = recipe(evaluate={"prompts": {"few_shot": []}})
    without = workload_of(manifest(np.full(10, 80)), alone)
    assert (without.evaluations, without.test_rows, without.choice_rows, without.contestants) == (0, 0, 0, 2)


@pytest.mark.parametrize(
    "settings",
    [{}, {"few_shot": []}, {"zero_shot": False}, {"few_shot": [1, 1, 2], "instructions": ["a"]},
     {"few_shot": [], "instructions": ["a", "b"]}],
)  # fmt: skip
def test_prompts_are_as_many_as_are_tried(settings: dict[str, Any]) -> None:
    section = PromptsSection(**settings)
    assert num_prompts(section) == len(variants(section, [None] * 9))  # type: ignore[list-item]


def test_an_older_manifest_is_read_without_squares() -> None:
    values = manifest(np.full(10, 100))
    del values["parts"]["train"]["squared_lengths"]
    assert workload_of(values, recipe()).train.squares == pytest.approx(10 * 100**2 * 1.5)


def test_rows_that_are_not_prepared_are_guessed() -> None:
    of = recipe(train={"sequence_length": 1000, "batch_size": 4})
    found = guess_workload(of, examples=1000, tokens_per_example=100, label_share=0.25)
    assert found.train == Part(85, 800, 80_000, 20_000, 800 * 100**2 * 1.5)
    assert (found.steps, found.test_rows, found.validation.documents) == (22, 100, 100)
    unpacked = guess_workload(recipe(train={"packing": False}), 1000, 100)
    assert unpacked.train.rows == 800


def test_a_guess_is_near_the_prepared_rows(tmp_path: Path) -> None:
    from tunesmith.data.pack import pack

    lengths = np.random.default_rng(0).integers(20, 400, 1000)
    of = recipe(train={"sequence_length": 1024})
    guessed = guess_workload(of, 1250, float(lengths.mean()))
    assert guessed.train.rows == pytest.approx(len(pack(lengths, 1024, 0)), rel=0.06)


@pytest.mark.parametrize(
    ("shortest", "longest", "close"), [(128, 128, 1e-9), (100, 200, 0.06), (60, 250, 0.12), (30, 400, 0.25)]
)
def test_padding_is_near_what_attention_lays_out(shortest: int, longest: int, close: float) -> None:
    import torch

    from tunesmith.models.attention import Documents

    lengths = np.random.default_rng(0).integers(shortest, longest + 1, 64)
    laid_out = Documents.of(lengths.tolist(), torch.device("cpu"), torch.float32)
    computed = sum(group.count * group.longest**2 for group in laid_out.groups)
    part = Part(1, len(lengths), float(lengths.sum()), 1, float((lengths**2).sum()))
    assert padded(part).squares == pytest.approx(computed, rel=close)
