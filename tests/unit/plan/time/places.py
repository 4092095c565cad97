"""Machines, shapes and recipes that the tests of the time model share."""

from __future__ import annotations

from typing import Any

from tunesmith.plan.hardware import Accelerator, Machine, Placement
from tunesmith.plan.shape import ModelShape, shape_of
from tunesmith.plan.time.workload import Part, Workload, workload_of
from tunesmith.recipe.schema import Recipe

H100 = Accelerator("H100", "H100", 80 << 30, 3.35e12, 67e12, 989e12, True, 450e9, 700, "NVIDIA's data sheet")
A100 = Accelerator("A100-80GB", "A100", 80 << 30, 2.04e12, 19.5e12, 312e12, True, 300e9, 400, "NVIDIA's data sheet")
T4 = Accelerator("T4", "T4", 16 << 30, 3.2e11, 8.1e12, 65e12, False, 16e9, 70, "NVIDIA's data sheet")

LLAMA_8B = shape_of(
    {
        "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256,
    }
)  # fmt: skip


def machine(gpu: Accelerator | None = None, gpus: int = 1, cpus: int = 16, network: float = 1.25e10) -> Machine:
    """A machine with so many GPUs, or none."""
    return Machine("test", "machine", "here", gpu, gpus if gpu else 0, cpus, 1 << 37, network, ())


def owned(of: Machine, count: int = 1) -> Placement:
    """So many of them, one's own."""
    return Placement(of, count, "owned")


def recipe(method: dict[str, Any] | None = None, train: dict[str, Any] | None = None, **sections: Any) -> Recipe:
    """A recipe of defaults and these."""
    settings = {"method": method or {}, "train": train or {}, **sections}
    return Recipe.model_validate({"name": "a", "model": {"source": "m"}, "data": {"train": "rows.jsonl"}, **settings})


def full_rows(of: Recipe, rows: int) -> Workload:
    """Full rows of one document each, of which a third is learnt; no held-out rows."""
    length = of.train.sequence_length
    part = {
        "rows": rows, "examples": rows, "tokens": rows * length, "label_tokens": rows * length // 3,
        "squared_lengths": rows * length**2,
    }  # fmt: skip
    return workload_of({"parts": {"train": part}}, of)


def seconds_a_token(shape: ModelShape, of: Recipe, gpu: Accelerator) -> float:
    """Forecast for one GPU."""
    from tunesmith.plan.time import Efficiency, forecast_time

    forecast = forecast_time(shape, of, owned(machine(gpu)), full_rows(of, 64), Efficiency())
    return 1 / forecast.tokens_per_second


NOTHING = Part()
