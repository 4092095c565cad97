"""What a plan says of a worker's memory: what moves where, what helps, and what is refused."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tunesmith.errors import ModelError
from tunesmith.models.published import PUBLISHED
from tunesmith.plan.memory import MemoryEstimate, estimate_memory
from tunesmith.plan.shape import shape_of
from tunesmith.recipe.schema import Recipe

EIGHT_B = shape_of(PUBLISHED["meta-llama/Llama-3.1-8B"].config)
BENCHMARK = Path(__file__).parents[4] / "benchmarks" / "plan_accuracy.py"


def estimate(workers: int = 1, on_gpu: bool = True, label_share: float = 1.0, **sections: Any) -> MemoryEstimate:
    """Of Llama 3.1 8B."""
    recipe = Recipe.model_validate({"name": "x", "model": {"source": "x"}, "data": {"train": "x"}, **sections})
    return estimate_memory(EIGHT_B, recipe, workers, on_gpu, label_share)


def where(said: MemoryEstimate, what: str) -> tuple[str, int]:
    """Place and bytes of a term."""
    [term] = [term for term in said.terms if term.what == what]
    return term.where, term.bytes


def test_offloading_moves_terms_to_memory_and_to_disk() -> None:
    full = {"method": {"type": "full"}, "train": {"gradient_checkpointing": True}}
    here = estimate(4, **full, resources={"strategy": "zero3"})
    away = estimate(4, **full, resources={"strategy": "zero3", "offload": "optimizer"})
    disk = estimate(4, **full, resources={"strategy": "zero3", "offload": "all", "offload_folder": "/nvme"})
    state = 8 * sum(-(-size // 4) for size in (EIGHT_B.parameters,))
    assert where(here, "optimizer state")[0] == "device"
    assert where(here, "optimizer state")[1] == pytest.approx(state, rel=1e-6)
    assert where(away, "optimizer state")[0] == "host"
    assert where(disk, "optimizer state")[0] == where(disk, "trained")[0] == "disk"
    assert disk.device_bytes < away.device_bytes < here.device_bytes
    assert disk.disk_bytes > away.disk_bytes == here.disk_bytes == 0


def test_what_is_offloaded_counts_where_the_gpu_is_fullest_before_it_is_there() -> None:
    short = {"gradient_checkpointing": True, "sequence_length": 256, "micro_batch_tokens": 256}
    resources = {"strategy": "zero3", "offload": "optimizer"}
    said = estimate(4, method={"type": "full"}, train=short, resources=resources)
    assert said.moment == "loading" and "the base while it is read" in {term.what for term in said.terms}
    # Gradients, float32 copies and AdamW's two means: 2 + 4 + 8 bytes a parameter among four.
    assert said.host_bytes > 14 * EIGHT_B.parameters / 4


def test_a_worker_without_gpu_holds_everything_in_memory() -> None:
    said = estimate(on_gpu=False)
    assert said.device_bytes == 0
    assert said.host_bytes == sum(term.bytes for term in said.terms)
    assert json.loads(json.dumps(said.to_json()))["host_bytes"] == said.host_bytes


@pytest.mark.parametrize(
    "smaller",
    [
        {"train": {"gradient_checkpointing": True}},
        {"train": {"micro_batch_tokens": 1024}},
        {"method": {"type": "qlora"}, "train": {"gradient_checkpointing": True}},
        {"workers": 4, "resources": {"strategy": "fsdp"}, "train": {"gradient_checkpointing": True}},
        {"label_share": 0.1},
    ],
)
def test_what_saves_memory_is_seen_to(smaller: dict[str, Any]) -> None:
    assert estimate(**smaller).device_bytes < estimate().device_bytes


@pytest.mark.parametrize(
    ("method", "message", "field"),
    [
        ({"targets": ["q_prj"]}, "the model has no linear layer named 'q_prj'", "method.targets"),
        ({"targets": ["norm"]}, "the model has no linear layer named 'norm'", "method.targets"),
        ({"targets": ["input_layernorm"]}, "the model has no linear layer named 'input_layernorm'", "method.targets"),
        (
            {"type": "full", "layers": ["layers.32."]},
            "no weight of the model has 'layers.32.' in its name",
            "method.layers",
        ),
    ],
)
def test_a_layer_that_is_not_there(method: dict[str, Any], message: str, field: str) -> None:
    with pytest.raises(ModelError) as error:
        estimate(method=method)
    assert (error.value.what, error.value.where) == (message, field)


def test_published_figures_are_met() -> None:
    done = subprocess.run([sys.executable, str(BENCHMARK), "--quick"], capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["published"]["rows"] >= 15
    assert figures["median_abs_error"] <= 0.10
    assert figures["max_abs_error"] <= 0.25
    rows = [line for line in done.stdout.splitlines() if line.startswith(("| torchtune", "| fsdp_qlora", "| litgpt"))]
    errors = [abs(float(row.split("|")[5].strip().rstrip("%"))) / 100 for row in rows]
    assert statistics.median(errors) == pytest.approx(figures["published"]["median"], abs=1e-3)
