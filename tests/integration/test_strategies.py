"""Every strategy and number of workers trains what one process trains, shares it out, and goes on from any other."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
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
METHODS: dict[str, dict[str, Any]] = {
    "lora": {"method": {"rank": 4, "alpha": 8.0}},
    "dora": {"method": {"rank": 4, "dora": True}},
    "nf4": {"method": {"type": "qlora", "rank": 4}},
    "int8": {"method": {"type": "qlora", "rank": 4, "quantisation": "int8"}},
    "full": {"method": {"type": "full"}, "train": {"learning_rate": 1e-3}},
    "some layers": {"method": {"type": "full", "layers": ["layers.2.", "lm_head"]}, "train": {"learning_rate": 1e-3}},
    "8-bit optimizer": {"method": {"rank": 64}, "train": {"optimizer": "adamw8bit"}},
}


ROUNDED = {"int8": {"losses": 5e-3, "weights": 2e-2}, "8-bit optimizer": {"weights": 1e-3}}
"""Activations, or the optimizer's state, are rounded to 8 bits: the last bit of a float32 can turn one over."""


def settings_of(method: str) -> dict[str, Any]:
    given = METHODS[method]
    return {"train": {**SETTINGS, **given.get("train", {})}, "method": given["method"]}


Alone = Callable[[str], tuple[TrainJob, dict[str, int]]]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, model: Path, dataset: Path) -> Alone:
    """`alone(method)`: the run in one process without any of this, and what it held; each is made once."""
    folder = tmp_path_factory.mktemp("alone")

    @cache
    def run(method: str) -> tuple[TrainJob, dict[str, int]]:
        job: TrainJob = tiny.make_job(folder / method, model, dataset, **settings_of(method))
        loop = Loop(job)
        loop.run()
        return job, loop.strategy.held()

    return run


RUNS = [
    *(("lora", "fsdp", workers) for workers in (1, 2, 3)), ("lora", "zero3", 2), ("lora", "zero3", 3),
    ("lora", "zero1", 2), ("lora", "zero2", 2),
    ("dora", "fsdp", 2), ("dora", "zero3", 2),
    *(("nf4", strategy, 2) for strategy in ("ddp", "fsdp", "zero1", "zero2", "zero3")),
    ("int8", "ddp", 2), ("int8", "zero2", 2),
    *(("full", strategy, 2) for strategy in ("ddp", "fsdp", "zero1", "zero2", "zero3")), ("full", "fsdp", 3),
    ("some layers", "fsdp", 2), ("some layers", "zero3", 2),
    ("8-bit optimizer", "ddp", 2),
]  # fmt: skip


@pytest.mark.parametrize(("method", "strategy", "workers"), RUNS)
def test_workers_equal_one_and_hold_a_share(
    tmp_path: Path, model: Path, dataset: Path, alone: Alone, method: str, strategy: str, workers: int
) -> None:
    one, everything = alone(method)
    resources = {"strategy": strategy}
    job = tiny.make_job(tmp_path / "run", model, dataset, **settings_of(method), resources=resources)
    on_gloo(job, workers)
    assert_equal(job, one, **ROUNDED.get(method, {}))
    shared = {"ddp": (), "zero1": ("optimizer",), "zero2": ("optimizer",)}.get(strategy, ("parameters", "optimizer"))
    for part, whole in everything.items():
        shares = [worker[part] for worker in held(job, workers)]
        if part in shared:
            # Rows that do not divide (4 among 3), and partitions filled up, make them unequal.
            assert sum(shares) == pytest.approx(whole, rel=0.1)
            assert max(shares) < whole / workers * 1.3
        else:
            assert shares == [whole] * workers


@pytest.mark.parametrize(("strategy", "offload"), [("fsdp", "all"), ("zero2", "optimizer"), ("zero3", "all")])
def test_offloading_changes_nothing(
    tmp_path: Path, model: Path, dataset: Path, alone: Alone, strategy: str, offload: str
) -> None:
    resources = {"strategy": strategy, "offload": offload}
    job = tiny.make_job(tmp_path / "run", model, dataset, **settings_of("lora"), resources=resources)
    on_gloo(job, 2)
    assert_equal(job, alone("lora")[0])


@pytest.mark.parametrize(
    ("method", "strategy"), [("nf4", "fsdp"), ("lora", "zero3"), ("full", "ddp"), ("full", "zero3")]
)
def test_saving_memory_changes_nothing(
    tmp_path: Path, model: Path, dataset: Path, alone: Alone, method: str, strategy: str
) -> None:
    """Loss in chunks, activations away and back, layers computed again: also where weights come and go meanwhile."""
    settings = settings_of(method)
    settings["train"] |= {"chunked_loss": True, "activation_offload": True, "gradient_checkpointing": method == "nf4"}
    job = tiny.make_job(tmp_path / "run", model, dataset, **settings, resources={"strategy": strategy})
    on_gloo(job, 2)
    assert_equal(job, alone(method)[0])


def test_a_run_goes_on_under_one_strategy_after_the_other_to_its_end(
    tmp_path: Path, model: Path, dataset: Path, alone: Alone
) -> None:
    """One step each, until the last one finishes the run; test_resume_matrix.py has every pair."""
    chain = [("ddp", 2), ("zero3", 2), ("fsdp", 3), ("zero1", 2), ("zero2", 1), ("zero3", 3), ("fsdp", 1), ("ddp", 1)]
    run = tmp_path / "run"
    for number, (strategy, workers) in enumerate(chain, 1):
        resources = {"strategy": strategy}
        job = tiny.make_job(run, model, dataset, **settings_of("nf4"), resources=resources)
        stop = job.folder / "STOP"
        stop.unlink(missing_ok=True)
        if number < len(chain):
            stop.touch()
        on_gloo(job, workers)
        assert (read_result(job.folder) is None) == (number < len(chain))
    starts = [(event["step"], event["world_size"]) for event in read_events(run) if event["event"] == "start"]
    assert starts == [(step, workers) for step, (_, workers) in enumerate(chain)]
    assert_equal(job, alone("nf4")[0])
