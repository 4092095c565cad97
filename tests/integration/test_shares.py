"""With strategies that cut weights, making a model ready takes a worker little more memory than its share of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration import share_rank
from tests.integration.workers import in_processes
from tests.unit.train import tiny
from tunesmith.train.job import TrainJob

pytestmark = pytest.mark.slow

LAYERS = 12
WIDE = {"hidden_size": 640, "intermediate_size": 2304, "num_attention_heads": 10, "num_key_value_heads": 10}
METHODS: dict[str, dict[str, Any]] = {
    "lora": {"rank": 4},
    "nf4": {"type": "qlora", "rank": 4},
    "full": {"type": "full"},
}
ALLOWANCE = 16 << 20
"""The scales of 4-bit weights, which every worker keeps, the adapter, and what libraries need. In bytes."""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """73 million weights, 279 MiB in float32, stored in bfloat16 in several files."""
    folder = tmp_path_factory.mktemp("large") / "model"
    tiny.write_model(folder, "40MB", "bfloat16", num_hidden_layers=LAYERS, **WIDE)
    assert len(list(folder.glob("*.safetensors"))) > 2
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the runs lie, which share the quantised copy."""
    return tmp_path_factory.mktemp("runs")


def jobs_of(runs: Path, name: str, models: tuple[Path, Path], dataset: Path, **sections: Any) -> list[TrainJob]:
    return [
        tiny.make_job(runs / f"{name}-{size}", model, dataset, **sections)
        for size, model in zip(("small", "large"), models, strict=True)
    ]


@pytest.fixture(scope="module")
def quantised(runs: Path, model: Path, large: Path, dataset: Path) -> tuple[Path, int]:
    """The quantised copy, and how many bytes of memory it took to make it."""
    jobs = jobs_of(runs, "quantised", (model, large), dataset, method=METHODS["nf4"])
    in_processes(jobs[1].folder, 1, share_rank.quantise, [job.to_json() for job in jobs])
    told = json.loads((jobs[1].folder / "output-0").read_text())
    return Path(told["folder"]), told["took"]


def stored_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def test_a_base_is_quantised_without_being_loaded(large: Path, quantised: tuple[Path, int]) -> None:
    folder, took = quantised
    # The tensors of one file are in memory together, which here are all; float32 has twice the bytes of bfloat16.
    assert took < stored_bytes(folder) + 2 * stored_bytes(large) / 4


@pytest.mark.parametrize(("strategy", "workers"), [("fsdp", 3), ("zero3", 2)])
def test_a_worker_reads_its_share_and_no_more(
    runs: Path, model: Path, large: Path, dataset: Path, quantised: tuple[Path, int], strategy: str, workers: int
) -> None:
    jobs = {
        method: jobs_of(
            runs, f"{strategy}-{workers}-{method}", (model, large), dataset,
            method=section, resources={"strategy": strategy},
        )
        for method, section in METHODS.items()
    }  # fmt: skip
    in_processes(runs, workers, share_rank.work, [job.to_json() for pair in jobs.values() for job in pair])
    in_float32 = 2 * stored_bytes(large)
    for method, (_, job) in jobs.items():
        whole = stored_bytes(quantised[0]) if method == "nf4" else in_float32
        for rank in range(workers):
            took = json.loads((job.folder / f"memory-{rank}.json").read_text())
            assert took["warnings"] == []
            assert took["read"] < whole / workers + whole / LAYERS + ALLOWANCE, (method, rank, whole, took)
            # With DeepSpeed, state and gradients of all weights have their place already.
            if method != "full" or strategy == "fsdp":
                assert took["ready"] < 0.75 * in_float32, (method, rank, took)


def test_the_measure_sees_a_model_that_is_loaded_whole(runs: Path, model: Path, large: Path, dataset: Path) -> None:
    """DoRA starts from whole weights, and the run says so."""
    sections = {"method": {"rank": 4, "dora": True}, "resources": {"strategy": "fsdp"}}
    jobs = jobs_of(runs, "dora", (model, large), dataset, **sections)
    in_processes(runs, 2, share_rank.work, [job.to_json() for job in jobs])
    took = json.loads((jobs[1].folder / "memory-0.json").read_text())
    assert took["read"] > 2 * stored_bytes(large)
    assert took["warnings"] == [
        "each worker loads the whole base model before it is cut: DoRA starts from the norms of whole weights"
    ]
