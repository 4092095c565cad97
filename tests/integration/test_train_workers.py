"""Several workers train what one trains: over gloo without Ray, and through Ray Train, also when one is killed."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.integration.workers import assert_equal, on_gloo
from tests.unit.train import tiny
from tunesmith.train.driver import run_on_ray
from tunesmith.train.job import TrainJob, read_result
from tunesmith.train.loop import Loop
from tunesmith.train.sinks import read_events

CASES: dict[str, dict[str, Any]] = {
    "a worker without rows": {"train": {"epochs": 2, "batch_size": 4, "eval_every": 2}},
    "accumulation": {"train": {"epochs": 1.5, "batch_size": 9, "micro_batch_tokens": 60, "eval_every": 1}},
    "batches by tokens": {"train": {"epochs": 2, "batch_tokens": 170, "max_grad_norm": 0.1}},
    "dropout": {"train": {"epochs": 1, "batch_size": 5}, "method": {"rank": 4, "dropout": 0.4}},
    "gradient checkpointing": {"train": {"epochs": 1, "batch_size": 5, "gradient_checkpointing": True}},
    "early stop": {"train": {"epochs": 8, "eval_every": 1, "early_stopping": {"patience": 1, "min_improvement": 5e-3}}},
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_two_workers_equal_one(tmp_path: Path, model: Path, dataset: Path, case: str) -> None:
    one, two = (tiny.make_job(tmp_path / name, model, dataset, **CASES[case]) for name in ("one", "two"))
    Loop(one).run()
    on_gloo(two, 2)
    assert_equal(two, one)
    result = read_result(one.folder)
    assert result is not None
    assert result.status == ("stopped_early" if case == "early stop" else "finished")


@pytest.mark.slow
def test_three_workers_equal_one(tmp_path: Path, model: Path, dataset: Path) -> None:
    settings = {"epochs": 2, "batch_size": 4, "micro_batch_tokens": 60}
    one, three = (tiny.make_job(tmp_path / name, model, dataset, settings) for name in ("one", "three"))
    Loop(one).run()
    on_gloo(three, 3)
    assert_equal(three, one)


@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_workers(tmp_path: Path, model: Path, dataset: Path) -> None:
    """Two workers until told to stop, then one."""
    settings = {"epochs": 2, "batch_size": 4, "checkpoint_every": 1}
    one, moved = (tiny.make_job(tmp_path / name, model, dataset, settings) for name in ("one", "moved"))
    Loop(one).run()
    (moved.folder / "STOP").touch()
    on_gloo(moved, 2)
    assert read_result(moved.folder) is None
    (moved.folder / "STOP").unlink()
    Loop(moved).run()
    starts = [(event["step"], event["world_size"]) for event in read_events(moved.folder) if event["event"] == "start"]
    assert starts == [(0, 2), (1, 1)]
    assert_equal(moved, one)


def on_ray(job: TrainJob, workers: int, watch: Any = lambda: None) -> None:
    recipe = job.load_recipe()
    run_on_ray(job, recipe.resources.model_copy(update={"workers": workers}), 1, 0, watch)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "zero3"])
def test_two_workers_of_ray_equal_one(tmp_path: Path, model: Path, dataset: Path, strategy: str) -> None:
    settings = {"epochs": 2, "batch_size": 4}
    one = tiny.make_job(tmp_path / "one", model, dataset, settings)
    two = tiny.make_job(tmp_path / "two", model, dataset, settings, resources={"strategy": strategy})
    Loop(one).run()
    on_ray(two, 2)
    start = next(event for event in read_events(two.folder) if event["event"] == "start")
    assert start["world_size"] == 2
    assert_equal(two, one)


@pytest.mark.slow
def test_a_killed_worker_of_ray_comes_back_and_the_run_ends_the_same(
    tmp_path: Path, model: Path, dataset: Path
) -> None:
    settings = {"epochs": 60, "batch_size": 4, "checkpoint_every": 2, "eval_every": 20}
    undisturbed, two = (tiny.make_job(tmp_path / name, model, dataset, settings) for name in ("undisturbed", "two"))
    on_gloo(undisturbed, 2)  # as many workers: over 240 steps the rounding of one and of two drifts apart
    killed: list[int] = []

    def kill_one() -> None:
        """Once some steps are done and saved: one of the two processes, as the system would when memory runs out."""
        checkpoints = [path.name for path in (two.folder / "checkpoints").glob("step-*")]
        if killed or not checkpoints:
            return
        workers = [
            process for process in psutil.Process().children(recursive=True) if "RayTrainWorker" in _name(process)
        ]
        if len(workers) == 2:
            killed.append(int(max(checkpoints).removeprefix("step-")))
            workers[1].send_signal(signal.SIGKILL)

    done = threading.Event()

    def keep_killing() -> None:
        while not done.wait(0.02):
            kill_one()

    killer = threading.Thread(target=keep_killing, daemon=True)
    killer.start()
    began = time.monotonic()
    try:
        on_ray(two, 2)
    finally:
        done.set()
        killer.join()
    assert killed, "no worker was there to be killed"
    assert time.monotonic() - began < 240
    starts = [event["step"] for event in read_events(two.folder) if event["event"] == "start"]
    assert len(starts) >= 2
    assert starts[-1] >= killed[0]
    assert_equal(two, undisturbed)


def _name(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
