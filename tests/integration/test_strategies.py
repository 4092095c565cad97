"""Every strategy and number of workers trains what one process trains, shares it out, and goes on from any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.integration.workers import assert_equal, held, on_gloo
from tests.unit.train import tiny
from tunesmith.train.job import TrainJob, read_result
from tunesmith.train.loop import Loop
from tunesmith.train.sinks import read_events

pytestmark = pytest.mark.slow

SETTINGS: dict[str, Any] = {
    "epochs": 2, "batch_size": 4, "micro_batch_tokens": 60, "eval_every": 2, "checkpoint_every": 1, "weight_decay": 0.1,
}  # fmt: skip
BASE = 3 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 64 * 128 + 2 * 64) + 64 + 2 * 97 * 64
ADAPTER = 3 * 4 * (2 * (64 + 64) + 2 * (64 + 32) + 3 * (64 + 128))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_dataset(
        tmp_path_factory.mktemp("data") / "tiny",
        train=tiny.make_rows(1, 13, weighted=True),
        validation=tiny.make_rows(2, 3, weighted=True),
    )


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory, model: Path, dataset: Path) -> TrainJob:
    """The same run in one process without any of this."""
    job: TrainJob = tiny.make_job(tmp_path_factory.mktemp("one"), model, dataset, SETTINGS)
    Loop(job).run()
    return job


RUNS = [("fsdp", 1), ("fsdp", 2), ("fsdp", 3), ("zero1", 2), ("zero2", 2), ("zero2", 3), ("zero3", 1), ("zero3", 2), ("zero3", 3)]  # fmt: skip  # noqa: E501


@pytest.mark.parametrize(("strategy", "workers"), RUNS)
def test_workers_equal_one_and_hold_a_share(
    tmp_path: Path, model: Path, dataset: Path, one: TrainJob, strategy: str, workers: int
) -> None:
    job = tiny.make_job(tmp_path / "run", model, dataset, SETTINGS, resources={"strategy": strategy})
    on_gloo(job, workers)
    assert_equal(job, one)
    found = held(job, workers)
    everything = {"parameters": BASE + ADAPTER, "optimizer": 2 * ADAPTER}
    for part, whole in everything.items():
        shares = [worker[part] for worker in found]
        if part == "parameters" and strategy in ("zero1", "zero2"):
            assert shares == [whole] * workers
        else:
            # Rows that do not divide (4 among 3), and partitions filled up, make them unequal.
            assert sum(shares) == pytest.approx(whole, rel=0.02)
            assert max(shares) < whole / workers * 1.3


@pytest.mark.parametrize(("strategy", "offload"), [("fsdp", "all"), ("zero2", "optimizer"), ("zero3", "all")])
def test_offloading_changes_nothing(
    tmp_path: Path, model: Path, dataset: Path, one: TrainJob, strategy: str, offload: str
) -> None:
    resources = {"strategy": strategy, "offload": offload}
    job = tiny.make_job(tmp_path / "run", model, dataset, SETTINGS, resources=resources)
    on_gloo(job, 2)
    assert_equal(job, one)


def test_a_run_goes_on_under_any_other_strategy_and_number_of_workers(
    tmp_path: Path, model: Path, dataset: Path, one: TrainJob
) -> None:
    """One step each, until the last one finishes the run."""
    chain = [("ddp", 2), ("zero3", 2), ("fsdp", 3), ("zero1", 2), ("zero2", 1), ("zero3", 3), ("fsdp", 1), ("ddp", 1)]
    run = tmp_path / "run"
    for number, (strategy, workers) in enumerate(chain, 1):
        job = tiny.make_job(run, model, dataset, SETTINGS, resources={"strategy": strategy})
        stop = job.folder / "STOP"
        stop.unlink(missing_ok=True)
        if number < len(chain):
            stop.touch()
        on_gloo(job, workers)
        assert (read_result(job.folder) is None) == (number < len(chain))
    starts = [(event["step"], event["world_size"]) for event in read_events(run) if event["event"] == "start"]
    assert starts == [(step, workers) for step, (_, workers) in enumerate(chain)]
    assert_equal(job, one)
