"""Predicted against measured memory: what others have published for GPUs, and the peak of real runs on this CPU.

    python benchmarks/plan_accuracy.py           a quarter of an hour on two cores
    python benchmarks/plan_accuracy.py --quick   the published rows alone, seconds

Published rows are in `published_memory.py`, with their sources and with what their trainers do differently. Real runs
train two Llamas of random weights for three steps, each worker a process with one thread; compared is what the largest
worker's resident memory grew by at its peak, from the moment when everything was imported.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import published_memory

from tunesmith.plan.memory import estimate_memory
from tunesmith.plan.shape import shape_of
from tunesmith.recipe.schema import Recipe

CONTEXT, SLACK, PROCESS = "CUDA context, cuBLAS, NCCL", "allocator's slack", "Python, torch, transformers, Ray"
HEAP = "freed but kept by malloc"

FIRST = {
    "hidden_size": 512, "intermediate_size": 1408, "num_hidden_layers": 8, "num_attention_heads": 8,
    "num_key_value_heads": 4, "vocab_size": 4096, "initializer_range": 0.02,
}  # fmt: skip
"""The model whose runs `plan.memory.framework.HEAP` was fitted to."""

OTHER = {
    "hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 5, "num_attention_heads": 12,
    "num_key_value_heads": 12, "vocab_size": 12000, "initializer_range": 0.02,
}  # fmt: skip
"""One it was not fitted to."""

LENGTH, ROWS, STEPS = 256, 4, 3
METHODS: dict[str, dict[str, Any]] = {
    "lora": {"rank": 16},
    "qlora": {"type": "qlora", "rank": 16},
    "full": {"type": "full"},
}
RUNS = [
    (FIRST, "lora", "ddp", 1, "float32", False), (FIRST, "lora", "ddp", 1, "bfloat16", False),
    (FIRST, "lora", "ddp", 1, "float32", True), (FIRST, "qlora", "ddp", 1, "float32", False),
    (FIRST, "full", "ddp", 1, "float32", False), (FIRST, "full", "ddp", 2, "float32", False),
    (FIRST, "lora", "fsdp", 2, "float32", False), (FIRST, "full", "fsdp", 2, "float32", False),
    (FIRST, "full", "zero1", 2, "float32", False), (FIRST, "full", "zero2", 2, "float32", False),
    (FIRST, "full", "zero3", 2, "float32", False),
    (OTHER, "lora", "ddp", 1, "float32", False), (OTHER, "qlora", "ddp", 1, "bfloat16", False),
    (OTHER, "full", "ddp", 1, "float32", True), (OTHER, "full", "fsdp", 2, "float32", False),
    (OTHER, "full", "zero2", 2, "float32", False),
]  # fmt: skip
"""Model, method, strategy, workers, precision, gradient checkpointing."""


def published() -> list[float]:
    """Print a table of the published rows; returns how far off each prediction is."""
    print("\n| trainer | run | published GiB | predicted | off by | at |\n|---|---|--:|--:|--:|---|")
    errors = []
    for row in published_memory.published():
        sections: dict[str, Any] = {
            "train": {
                "sequence_length": row.length, "micro_batch_tokens": row.length * row.rows,
                "gradient_checkpointing": row.checkpointing,
            },
            "resources": {"strategy": row.strategy, "workers": row.workers, "offload": row.offload},
        }  # fmt: skip
        recipe = recipe_of(row.method, **sections)
        said = estimate_memory(shape_of(row.config), recipe, row.workers, on_gpu=True, habits=row.habits)
        left_out = {CONTEXT, SLACK} if row.counted == "allocated" else {CONTEXT}
        size = sum(term.bytes for term in said.terms if term.where == "device" and term.what not in left_out)
        errors.append(size / row.bytes - 1)
        print(
            f"| {row.who} | {row.what} | {row.bytes / 2**30:.2f} {row.counted} | {size / 2**30:.2f} "
            f"| {errors[-1]:+.1%} | {said.moment} |"
        )
    for who, why in published_memory.MISSES.items():
        print(f"- {who}: {why}")
    return errors


def recipe_of(method: dict[str, Any], **sections: Any) -> Recipe:
    """A recipe of which only what memory depends on matters."""
    return Recipe.model_validate(
        {"name": "x", "model": {"source": "x"}, "data": {"train": "x"}, "method": method, **sections}
    )


def real(folder: Path) -> list[float]:
    """Train, print a table of what was predicted and measured; returns how far off each prediction is."""
    import numpy as np

    from tests.integration.workers import in_processes
    from tests.unit.train import tiny

    rng = np.random.default_rng(0)
    rows = [[tiny.make_document(rng, LENGTH)] for _ in range(2 * 2 * ROWS)]
    dataset = tiny.write_dataset(folder / "data", train=rows)
    models = [tiny.write_model(folder / f"model-{number}", **widths) for number, widths in enumerate((FIRST, OTHER))]
    shapes = [shape_of(json.loads((model / "config.json").read_text())) for model in models]
    print(f"\n{ROWS} x {LENGTH} tokens at once; measured is the growth since everything was imported")
    print("\n| parameters | run | workers | measured MiB | predicted | off by | without what malloc keeps | at |")
    print("|--:|---|--:|--:|--:|--:|--:|---|", flush=True)
    errors = []
    for widths, method, strategy, workers, precision, checkpointing in RUNS:
        number = (FIRST, OTHER).index(widths)
        model, shape = models[number], shapes[number]
        train = {
            "sequence_length": LENGTH, "micro_batch_tokens": ROWS * LENGTH, "batch_size": len(rows),
            "precision": precision, "gradient_checkpointing": checkpointing, "max_steps": STEPS, "epochs": 9,
            "checkpoint_every": 1,
        }  # fmt: skip
        sections = {"method": METHODS[method], "resources": {"strategy": strategy, "workers": workers}}
        name = f"{method} {strategy} {precision}{' checkpointed' if checkpointing else ''}"
        job = tiny.make_job(folder / f"{number}-{name}-{workers}".replace(" ", "-"), model, dataset, train, **sections)
        in_processes(job.folder, workers, work, job.to_json())
        told = [json.loads((job.folder / f"told-{rank}.json").read_text()) for rank in range(workers)]
        most = max(one["peak"] - one["before"] for one in told)
        said = estimate_memory(shape, job.load_recipe(), workers, on_gpu=False, label_share=1 / 3)
        size = sum(term.bytes for term in said.terms if term.what != PROCESS)
        errors.append(size / most - 1)
        live = size - sum(term.bytes for term in said.terms if term.what == HEAP)
        print(
            f"| {shape.parameters / 1e6:.0f} million | {name} | {workers} | {most / 2**20:.0f} | {size / 2**20:.0f} "
            f"| {errors[-1]:+.1%} | {live / 2**20:.0f} | {said.moment} |",
            flush=True,
        )
        if "--terms" in sys.argv:
            print("; ".join(f"{term.what} {term.bytes / 2**20:.0f}" for term in said.terms), file=sys.stderr)
    return errors


def work(values: dict[str, Any], rank: int, world_size: int, store: str, output: str) -> None:
    """One worker: import everything, train, and note resident memory before and at the peak."""
    with Path(output).open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    import bitsandbytes  # noqa: F401
    import torch.distributed as dist
    from peft import LoraConfig  # noqa: F401
    from transformers import LlamaForCausalLM  # noqa: F401

    from tunesmith.train.job import TrainJob
    from tunesmith.train.loop import Loop

    if values["recipe"]["resources"]["strategy"].startswith("zero"):
        os.environ["DS_ACCELERATOR"] = "cpu"
        import deepspeed  # noqa: F401
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world_size)
    job = TrainJob(**values)
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    Loop(job, rank, world_size).run()
    (job.folder / f"told-{rank}.json").write_text(json.dumps({"before": before, "peak": memory("VmHWM")}))


def memory(what: str) -> int:
    """Bytes, from /proc."""
    found = re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) << 10


def main() -> None:
    """Print the machine, two tables and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="only the published rows")
    parser.add_argument("--terms", action="store_true", help="print the terms of real runs to stderr")
    quick = parser.parse_args().quick
    names = () if quick else ("torch", "transformers", "peft", "deepspeed", "bitsandbytes")
    print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}")
    print(", ".join(f"{name} {version(name)}" for name in names) or "no real runs")
    errors = {"published": published()}
    if not quick:
        with tempfile.TemporaryDirectory(prefix="tunesmith-plan-") as scratch:
            errors["real"] = real(Path(scratch))
    sizes = {name: [abs(error) for error in found] for name, found in errors.items()}
    every = [size for found in sizes.values() for size in found]
    told: dict[str, Any] = {"median_abs_error": statistics.median(every), "max_abs_error": max(every)}
    told |= {
        name: {"rows": len(found), "median": statistics.median(found), "max": max(found)}
        for name, found in sizes.items()
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
