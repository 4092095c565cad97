"""Methods by strategies by workers: loss against one process, memory and speed, and where a step's time goes.

    python benchmarks/strategies.py                        seven minutes on two cores
    python benchmarks/strategies.py --precision bfloat16   the same, computed in bfloat16
    python benchmarks/strategies.py --quick                lora under ddp and fsdp, two workers, two steps

Every worker is a process with one thread; they talk over gloo. The model is a Llama of 5 million random weights, so
that a step is more than its overhead. Losses are compared with one process that trains the same, and that one with a
plain PyTorch loop over PEFT or transformers (lora and full; 4-bit weights have no other reference). `communication`
is what the same passes take longer than in as many processes that do not talk to each other. In bfloat16 there is no
plain loop to compare one process with: rounding depends on the order of sums.
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
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.integration.workers import in_processes
from tests.unit.train import reference, tiny
from tunesmith.errors import RecipeError
from tunesmith.plan import rules
from tunesmith.recipe.schema import Recipe
from tunesmith.train.job import TrainJob
from tunesmith.train.sinks import read_events

METHODS: dict[str, dict[str, Any]] = {
    "lora": {"rank": 16, "alpha": 32.0},
    "qlora": {"type": "qlora", "rank": 16, "alpha": 32.0},
    "full": {"type": "full"},
}
STRATEGIES = ("ddp", "fsdp", "zero1", "zero2", "zero3")
SHAPE = {
    "hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 6, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 2048, "initializer_range": 0.02,
}  # fmt: skip
TRAIN: dict[str, Any] = {
    "batch_size": 12,
    "micro_batch_tokens": 512,
    "warmup": 0,
    "learning_rate": 1e-3,
    "eval_every": 100,
}
STEPS = 8


def work(jobs: list[dict[str, Any]], rank: int, world_size: int, store: str, output: str) -> None:
    """One worker: train, and note its peak memory and the seconds that making batches took.

    With one job for each worker they train apart, as many processes that do not talk.
    """
    with Path(output).open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    import torch.distributed as dist

    from tunesmith.train.loop import Loop
    from tunesmith.train.passes import Passes

    apart = len(jobs) > 1
    if not apart:
        dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world_size)
    job = TrainJob(**jobs[rank if apart else 0])
    batch, seconds = Passes._batch, 0.0

    def timed(self: Any, of: Any, indices: list[int]) -> Any:
        nonlocal seconds
        began = time.perf_counter()
        made = batch(self, of, indices)
        seconds += time.perf_counter() - began
        return made

    Passes._batch = timed
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    Loop(job, *((0, 1) if apart else (rank, world_size))).run()
    told = {"peak": memory("VmHWM") - before, "data": seconds}
    (job.folder / f"told-{0 if apart else rank}.json").write_text(json.dumps(told))


def memory(what: str) -> int:
    """Bytes, from /proc."""
    found = re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) << 10


def run(folder: Path, model: Path, rows: Path, method: str, strategy: str, workers: int, steps: int) -> dict[str, Any]:
    """Train once with so many workers; losses and figures."""
    settings = {**TRAIN, "max_steps": steps, "epochs": 9}
    sections = {"method": METHODS[method], "resources": {"strategy": strategy}}
    job = tiny.make_job(folder / f"{method}-{strategy}-{workers}", model, rows, settings, **sections)
    in_processes(job.folder, workers, work, [job.to_json()])
    told = [json.loads((job.folder / f"told-{rank}.json").read_text()) for rank in range(workers)]
    return {**figures(job), "peak": max(one["peak"] for one in told), "data": told[0]["data"] / steps}


def figures(job: TrainJob) -> dict[str, Any]:
    """Of a run's events; the first step, which makes room for everything, is left out of the times."""
    steps = [event for event in read_events(job.folder) if event["event"] == "step"]
    return {
        "losses": [event["train_loss"] for event in steps],
        "seconds": statistics.mean(event["seconds"] for event in steps[1:]),
        "passes": statistics.mean(event["passes_seconds"] for event in steps[1:]),
        "stalled": statistics.mean(event["stalled_seconds"] for event in steps[1:]),
        "tokens_per_second": statistics.median(event["tokens_per_second"] for event in steps[1:]),
    }


def apart(folder: Path, model: Path, halves: list[Path], method: str, strategy: str, steps: int) -> float:
    """Seconds of a step's passes in two processes that train half of the rows each and do not talk."""
    settings = {**TRAIN, "max_steps": steps, "epochs": 9, "batch_size": TRAIN["batch_size"] // 2}
    sections = {"method": METHODS[method], "resources": {"strategy": strategy}}
    jobs = [
        tiny.make_job(folder / f"{method}-{strategy}-apart-{number}", model, half, settings, **sections)
        for number, half in enumerate(halves)
    ]
    in_processes(jobs[0].folder, 2, work, [job.to_json() for job in jobs])
    return statistics.mean(figures(job)["passes"] for job in jobs)


def plain(model: Path, rows: list[Any], method: str, steps: int) -> list[float]:
    """Losses of a plain PyTorch loop."""
    recipe = Recipe.model_validate(
        {
            "name": "plain", "model": {"source": "x"}, "data": {"train": "x.jsonl"}, "method": METHODS[method],
            "train": {**TRAIN, "max_steps": steps, "epochs": 9},
        }
    )  # fmt: skip
    from tunesmith.train.batches import plan_batches

    if method == "full":
        from transformers import AutoModelForCausalLM

        trained = AutoModelForCausalLM.from_pretrained(model, dtype="float32")
    else:
        trained = reference.peft_model(model, recipe.method, 0)
    import numpy as np

    plan = plan_batches(np.array([sum(len(one.ids) for one in row) for row in rows]), recipe.train)
    return [
        loss for loss, _ in reference.train(trained, rows, [plan.rows(step) for step in range(steps)], recipe.train)
    ]


def refused() -> Iterator[tuple[str, str]]:
    """The pairs that are refused, with the reason."""
    base = {"name": "x", "model": {"source": "x"}, "data": {"train": "x.jsonl"}}
    others = {"int8": {"method": {"type": "qlora", "quantisation": "int8"}}}
    others |= {"8-bit AdamW": {"train": {"optimizer": "adamw8bit"}}}
    for name, sections in others.items():
        for strategy in STRATEGIES:
            try:
                rules.pairs(Recipe.model_validate({**base, **sections, "resources": {"strategy": strategy}}))
            except RecipeError as error:
                yield f"{name} with {strategy}", f"{error.what}; {error.fix}"


def main() -> None:
    """Print the machine, two tables, the refused pairs and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="lora under ddp and fsdp, two workers, two steps")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    quick, TRAIN["precision"] = (given := parser.parse_args()).quick, given.precision
    methods, strategies = (("lora",), STRATEGIES[:2]) if quick else (tuple(METHODS), STRATEGIES)
    counts, steps = ((1, 2), 3) if quick else ((1, 2, 3), STEPS)
    names = ("torch", "transformers", "peft", "deepspeed", "bitsandbytes")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}")
    print(versions)
    with tempfile.TemporaryDirectory(prefix="tunesmith-strategies-") as scratch:
        worst = tables(Path(scratch), methods, strategies, counts, steps)
    print("\nRefused:")
    for pair, reason in refused():
        print(f"- {pair}: {reason}")
    print(json.dumps({"precision": TRAIN["precision"], "largest_difference": worst, "steps": steps}))


def tables(folder: Path, methods: Any, strategies: Any, counts: Any, steps: int) -> float:
    """Run everything; returns the largest difference of a loss from one process."""
    rows = tiny.make_rows(1, 24, most=8)
    model = tiny.write_model(folder / "model", **SHAPE)
    whole = tiny.write_dataset(folder / "whole", train=rows)
    halves = [tiny.write_dataset(folder / f"half-{number}", train=rows[number::2]) for number in range(2)]
    print("\n| method | strategy | workers | loss | off by | peak MiB a worker | tokens/s | x one worker |")
    print("|---|---|--:|--:|--:|--:|--:|--:|", flush=True)
    worst, times = 0.0, []
    for method in methods:
        one = first = run(folder, model, whole, method, "ddp", 1, steps)
        for strategy in strategies:
            for workers in counts:
                alone = strategy == "ddp" and workers == 1
                found = one if alone else run(folder, model, whole, method, strategy, workers, steps)
                off = max(abs(a - b) for a, b in zip(found["losses"], one["losses"], strict=True))
                if alone and method != "qlora" and TRAIN["precision"] == "float32":
                    off = max(
                        abs(a - b) for a, b in zip(found["losses"], plain(model, rows, method, steps), strict=True)
                    )
                worst = max(worst, off)
                first = found if workers == 1 else first
                scale = found["tokens_per_second"] / first["tokens_per_second"]
                print(
                    f"| {method} | {strategy} | {workers} | {found['losses'][-1]:.6f} | {off:.1e} | "
                    f"{found['peak'] / 2**20:.0f} | {found['tokens_per_second']:.0f} | {scale:.2f} |",
                    flush=True,
                )
                if workers == 2:
                    times.append((method, strategy, found, apart(folder, model, halves, method, strategy, steps)))
    print("\n| method | strategy | step s | compute | communication | data | optimizer and agreement | stalls |")
    print("|---|---|--:|--:|--:|--:|--:|--:|")
    for method, strategy, found, compute in times:
        seconds, data = found["seconds"], found["data"]
        talk = max(0.0, found["passes"] - compute)
        rest = seconds - found["passes"] - found["stalled"]
        parts = (found["passes"] - talk - data, talk, data, rest, found["stalled"])
        print(
            f"| {method} | {strategy} | {seconds:.2f} | " + " | ".join(f"{part / seconds:.1%}" for part in parts) + " |"
        )
    return worst


if __name__ == "__main__":
    main()
