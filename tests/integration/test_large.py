"""A Llama 70B in all but its widths, packed into 4 bits, trains on workers that each hold a share of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.integration.workers import assert_equal, held, on_gloo
from tests.unit.train import tiny
from tunesmith.train.job import TrainJob
from tunesmith.train.loop import Loop

pytestmark = pytest.mark.slow

SHAPE = {"num_hidden_layers": 80, "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 8}
"""80 layers, eight query heads that share one of keys and values; 64 is the least that 4 bits take on a CPU."""


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_model(tmp_path_factory.mktemp("deep"), **SHAPE, num_key_value_heads=1, initializer_range=0.05)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = {"train": tiny.make_rows(3, 4, most=1), "validation": tiny.make_rows(4, 2, most=1)}
    return tiny.write_dataset(tmp_path_factory.mktemp("data") / "few", **rows)


def job_of(run: Path, model: Path, dataset: Path, resources: dict[str, Any]) -> TrainJob:
    # The validation loss, behind the step, is that of moved weights.
    settings = {"max_steps": 1, "batch_size": 4, "learning_rate": 1e-3}
    method = {"type": "qlora", "rank": 2, "alpha": 2.0, "targets": ["q_proj", "down_proj"]}
    job: TrainJob = tiny.make_job(run, model, dataset, settings, method=method, resources=resources)
    return job


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, deep: Path, few: Path) -> tuple[TrainJob, dict[str, int]]:
    job = job_of(tmp_path_factory.mktemp("alone") / "run", deep, few, {})
    loop = Loop(job)
    loop.run()
    return job, loop.strategy.held()


@pytest.mark.parametrize("strategy", ["fsdp", "zero3"])
def test_eighty_layers_of_four_bits_train_on_two_workers(
    tmp_path: Path, deep: Path, few: Path, alone: tuple[TrainJob, dict[str, int]], strategy: str
) -> None:
    one, everything = alone
    job = job_of(tmp_path / "run", deep, few, {"strategy": strategy, "workers": 2})
    on_gloo(job, 2)
    assert_equal(job, one)
    for part, whole in everything.items():
        assert [worker[part] for worker in held(job, 2)] == pytest.approx([whole / 2] * 2, rel=0.02)
