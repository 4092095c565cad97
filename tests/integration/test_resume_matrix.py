"""What any strategy with any number of workers has saved, any other loads bit for bit and goes on from.

Adapters beside a 4-bit base are saved as those beside any other: test_strategies.py takes them from one to the next.
"""

from __future__ import annotations

import json
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import pytest

from tests.integration import matrix_rank
from tests.integration.workers import in_processes
from tests.unit.train import tiny
from tunesmith.train.job import STOP, TrainJob
from tunesmith.train.loop import Loop
from tunesmith.train.sinks import read_events

pytestmark = pytest.mark.slow

METHODS: dict[str, dict[str, Any]] = {
    "lora": {"method": {"rank": 4, "alpha": 8.0}},
    "full": {"method": {"type": "full"}, "train": {"learning_rate": 1e-3}},
}
STRATEGIES, COUNTS = ("ddp", "fsdp", "zero1", "zero2", "zero3"), (1, 2, 3)
TRAIN = {
    "batch_size": 4, "micro_batch_tokens": 160, "weight_decay": 0.1, "checkpoint_every": 1, "keep_checkpoints": 9,
}  # fmt: skip


class Matrix:
    """The runs of all methods, saved behind their first step, and the one of each that was never stopped."""

    def __init__(self, folder: Path, model: Path, rows: Path) -> None:
        self.folder, self.model, self.rows = folder, model, rows
        self.undisturbed = {method: self._alone(method) for method in METHODS}
        self.saved: dict[str, dict[str, TrainJob]] = {method: {} for method in METHODS}
        for count in COUNTS:
            for method, strategy in product(METHODS, STRATEGIES):
                job = self.job(f"{method}-{strategy}-{count}", method, strategy)
                (job.folder / STOP).touch()
                self.saved[method][f"{strategy}:{count}"] = job
            jobs = [one.to_json() for method in METHODS for one in list(self.saved[method].values())[-5:]]
            in_processes(folder, count, matrix_rank.save, jobs)

    def job(self, name: str, method: str, strategy: str) -> TrainJob:
        """A run of a method under a strategy."""
        given = METHODS[method]
        train = {**TRAIN, **given.get("train", {})}
        resources = {"strategy": strategy}
        job: TrainJob = tiny.make_job(
            self.folder / name, self.model, self.rows, train, method=given["method"], resources=resources
        )
        return job

    def _alone(self, method: str) -> dict[str, Any]:
        """In one process without a strategy: its folder, and loss and norm of the step after the saved one."""
        job = self.job(f"{method}-alone", method, "ddp")
        Loop(job).run()
        [step] = [e for e in read_events(job.folder) if e["event"] == "step" and e["step"] == matrix_rank.STEP + 1]
        return {"folder": str(job.folder), "loss": step["train_loss"], "norm": step["gradient_norm"]}

    def go_on(self, count: int) -> dict[tuple[str, str], list[dict[str, Any]]]:
        """What each of `count` workers has found, by method and strategy."""
        runs = list(product(METHODS, STRATEGIES))
        jobs = [self.job(f"{method}-{strategy}-{count}-goes-on", method, strategy) for method, strategy in runs]
        given = {
            "jobs": [job.to_json() for job in jobs],
            "sources": [{way: str(job.folder) for way, job in self.saved[method].items()} for method, _ in runs],
            "undisturbed": [self.undisturbed[method] for method, _ in runs],
        }
        in_processes(self.folder, count, matrix_rank.go_on, given)
        return {
            run: [json.loads((job.folder / f"found-{rank}.json").read_text()) for rank in range(count)]
            for run, job in zip(runs, jobs, strict=True)
        }


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory, model: Path, dataset: Path) -> Matrix:
    return Matrix(tmp_path_factory.mktemp("matrix"), model, dataset)


@pytest.mark.parametrize("count", COUNTS)
def test_every_way_to_save_is_loaded_bit_for_bit_and_gone_on_from(matrix: Matrix, count: int) -> None:
    """150 pairs a test: 15 ways to save, 5 strategies that load, 2 methods; steps taken then agree to 1e-5."""
    pairs, steps = 0, set[str]()
    for (method, strategy), workers in matrix.go_on(count).items():
        for source in matrix.saved[method]:
            pair = (method, source, f"{strategy}:{count}")
            assert all(worker["found"][source] for worker in workers), pair
            assert max(worker["off"].get(source, 0.0) for worker in workers) < 1e-5, pair
            assert set(_held(workers, source)) == set(workers[0]["shapes"]), pair
            for key, places in _held(workers, source).items():
                assert _is_whole(places, prod(workers[0]["shapes"][key])), (pair, key, places)
            pairs += 1
        steps = steps | set(workers[0]["off"])
    assert pairs == 150
    assert steps == set(matrix.saved["lora"])  # each has had its turn


def _held(workers: list[dict[str, Any]], source: str) -> dict[str, list[tuple[int, int]]]:
    """Where the workers' pieces lie, by the key they are of."""
    held: dict[str, list[tuple[int, int]]] = {}
    for key, start, stop in (place for worker in workers for place in worker["places"][source]):
        held.setdefault(key, []).append((start, stop))
    return held


def _is_whole(places: list[tuple[int, int]], size: int) -> bool:
    """Whether pieces cover a tensor of so many values, each value once."""
    reached = 0
    for start, stop in sorted(places):
        if start != reached and start != stop:
            return False
        reached = max(reached, stop)
    return reached == size
