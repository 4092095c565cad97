"""Planned against measured time of six training runs that differ, after a calibration that was none of them.

    python benchmarks/plan_time.py           a quarter of an hour on two cores, with nothing else running
    python benchmarks/plan_time.py --quick   two runs of a few seconds, to see that it works

For each method the rates of this machine are measured once (`tunesmith plan --calibrate`: stand-ins of few layers, on
other widths, rows and lengths than the runs). Then each run is planned from its model's config and its dataset's
manifest, and trained on Ray as `tunesmith train` does. Measured is the wall time of that call: Ray's start, workers,
model, steps, validation losses, checkpoints, adapter, Ray's end.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from tunesmith.plan.hardware import Machine, Placement
from tunesmith.plan.shape import ModelShape, shape_of
from tunesmith.plan.time import Efficiency, TimeForecast, forecast_time, workload_of
from tunesmith.recipe.load import LoadedRecipe, load_recipe
from tunesmith.store.home import Home
from tunesmith.train.job import TrainJob
from tunesmith.train.sinks import read_events

CALIBRATED = {
    "hidden_size": 512, "intermediate_size": 1408, "num_hidden_layers": 8, "num_attention_heads": 8,
    "num_key_value_heads": 4, "vocab_size": 8192,
}  # fmt: skip
"""What is calibrated with: none of the runs has these widths."""

SMALL = {
    "hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 6, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 2048,
}  # fmt: skip
MIDDLE = {
    "hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 12, "num_attention_heads": 6,
    "num_key_value_heads": 2, "vocab_size": 4096,
}  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One run: a model (a config, or SmolLM2), documents of `shortest` to `longest` tokens, and its recipe's keys."""

    name: str
    model: dict[str, int] | None
    shortest: int
    longest: int
    documents: int
    method: dict[str, Any]
    train: dict[str, Any]
    workers: int = 1


RUNS = (
    Run("lora, SmolLM2-135M, 512 packed", None, 60, 250, 130, {"type": "lora", "rank": 16},
        {"sequence_length": 512, "batch_size": 4, "micro_batch_tokens": 1024}),
    Run("lora, 2 workers", MIDDLE, 40, 200, 700, {"type": "lora", "rank": 8},
        {"sequence_length": 512, "batch_size": 8, "micro_batch_tokens": 2048}, workers=2),
    Run("lora, checkpointed, long documents", MIDDLE, 500, 1500, 50, {"type": "lora", "rank": 32},
        {"sequence_length": 2048, "batch_size": 2, "micro_batch_tokens": 2048, "gradient_checkpointing": True}),
    Run("qlora, 1,024 packed", MIDDLE, 40, 300, 300, {"type": "qlora", "rank": 16},
        {"sequence_length": 1024, "batch_size": 4, "micro_batch_tokens": 2048}),
    Run("full, not packed", SMALL, 100, 250, 1200, {"type": "full"},
        {"sequence_length": 256, "packing": False, "batch_size": 16, "micro_batch_tokens": 1024}),
    Run("full, 2 workers", SMALL, 60, 240, 1500, {"type": "full"},
        {"sequence_length": 512, "batch_size": 16, "micro_batch_tokens": 2048}, workers=2),
)  # fmt: skip


def main() -> None:
    """Print the machine, the rates, a table, and one line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two runs of a few seconds")
    quick = parser.parse_args().quick
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    names = ("torch", "transformers", "peft", "ray", "bitsandbytes")
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    print(f"{cores} cores, load {load:.1f}, Python {platform.python_version()}")
    print(", ".join(f"{name} {version(name)}" for name in names), flush=True)
    runs = [replace(run, documents=run.documents // 20) for run in RUNS[1::3]] if quick else list(RUNS)
    machine = Machine("owned", "this", "here", None, 0, cores, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
                      1e9, ())  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="tunesmith-time-") as scratch:
        start = Path(scratch)
        home = Home(start / "home", "sqlite://", str(start / "artefacts"))
        efficiency = calibrated(start, home, machine, [run.method["type"] for run in runs])
        print("\n| run | steps | predicted s | measured s | off by | tokens/s predicted | measured |")
        print("|---|--:|--:|--:|--:|--:|--:|", flush=True)
        found = [one(start / str(number), run, machine, efficiency) for number, run in enumerate(runs)]
    for run, (forecast, seconds, parts) in zip(runs, found, strict=True):
        told = ", ".join(f"{name} {value:.1f}" for name, value in forecast.parts.items() if value >= 0.05)
        print(f"- {run.name}: predicted {told}; measured {seconds:.1f} of which {parts}")
    errors = [forecast.training_seconds / seconds - 1 for forecast, seconds, _ in found]
    print(json.dumps({"max_abs_error": max(map(abs, errors)), "mean_error": float(np.mean(errors)), "runs": len(runs)}))


def calibrated(start: Path, home: Home, machine: Machine, methods: list[str]) -> Efficiency:
    """Measure the rates for each method; prints them with what they were made from."""
    from rich.console import Console
    from transformers import LlamaConfig

    from tunesmith.run.calibrate import calibrate

    efficiency = Efficiency()
    model = start / "calibrated"
    LlamaConfig(**CALIBRATED, max_position_embeddings=4096).save_pretrained(model)
    for method in dict.fromkeys(methods):
        loaded = recipe_file(start / f"calibrate-{method}.yaml", model, {"type": method}, {}, 1)
        began = time.perf_counter()
        efficiency = calibrate(loaded, home, Console(stderr=True), machine)
        told = {key: value for key, value in efficiency.measured[-1].to_json().items() if not isinstance(value, str)}
        print(f"calibrated {method} in {time.perf_counter() - began:.0f} s: {json.dumps(told)}", flush=True)
    return efficiency


def one(folder: Path, run: Run, machine: Machine, efficiency: Efficiency) -> tuple[TimeForecast, float, str]:
    """Plan a run, then train it on Ray; the forecast, the wall time, and where that went."""
    from tunesmith.train.driver import run_on_ray

    folder.mkdir()
    model, config = model_of(folder, run)
    rows = folder / "rows"
    manifest = write_rows(rows, run, int(config["vocab_size"]))
    recipe = recipe_file(folder / "recipe.yaml", model, run.method, run.train, run.workers).recipe
    shape: ModelShape = shape_of(config)
    forecast = forecast_time(shape, recipe, Placement(machine, 1, "owned"), workload_of(manifest, recipe), efficiency)
    cpus = max(1, machine.cpus // run.workers)
    job = TrainJob(
        recipe=recipe.model_dump(mode="json"), run_folder=str(folder / "run"), dataset_folder=str(rows),
        model_folder=str(model), model_source="benchmark", identity={"run": run.name}, threads=cpus,
        cache_folder=str(folder / "cache"),
    )  # fmt: skip
    job.folder.mkdir()
    began = time.perf_counter()
    run_on_ray(job, recipe.resources, cpus, 0, lambda: None)
    seconds = time.perf_counter() - began
    steps = [event for event in read_events(job.folder) if event["event"] == "step"]
    training = steps[-1]["total_seconds"]
    rate = sum(event["tokens"] for event in steps) / training
    print(
        f"| {run.name} | {len(steps)} | {forecast.training_seconds:.1f} | {seconds:.1f} | "
        f"{forecast.training_seconds / seconds - 1:+.1%} | {forecast.tokens_per_second:.0f} | {rate:.0f} |",
        flush=True,
    )
    assert len(steps) == forecast.steps
    losses = sum(event["seconds"] for event in read_events(job.folder) if event["event"] == "evaluation")
    return forecast, seconds, f"steps {training:.1f}, validation {losses:.1f}, first step {steps[0]['seconds']:.1f}"


def model_of(folder: Path, run: Run) -> tuple[Path, dict[str, Any]]:
    """The model's folder and its config: random weights, or SmolLM2 from the package that carries it."""
    if run.model is None:
        from tunesmith.models.resolve import resolve_model
        from tunesmith.recipe.model import ModelSection

        cache = Path(os.environ.get("TUNESMITH_TEST_CACHE") or Path(__file__).parents[1] / ".tunesmith" / "test-models")
        model = resolve_model(ModelSection(source="smollm2-135m-instruct"), Path.cwd(), cache).folder
    else:
        from tests.unit.train import tiny

        model = tiny.write_model(folder / "model", **run.model, max_position_embeddings=4096, initializer_range=0.02)
    return model, json.loads((model / "config.json").read_text(encoding="utf-8"))


def write_rows(folder: Path, run: Run, vocabulary: int) -> dict[str, Any]:
    """A dataset version of random documents, packed as the recipe says, a tenth of it for validation."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from tunesmith.data.pack import pack
    from tunesmith.data.shards import row_schema

    folder.mkdir()
    generator = np.random.default_rng(0)
    parts = {}
    for part, documents in (("train", run.documents), ("validation", max(1, run.documents // 10))):
        lengths = generator.integers(run.shortest, run.longest + 1, documents)
        packed = pack(lengths, run.train["sequence_length"], 0, run.train.get("packing", True))
        rows = [packed_row(lengths[members], generator, vocabulary) for members in packed]
        pq.write_table(pa.Table.from_pylist(rows, schema=row_schema()), folder / f"{part}-00000.parquet")
        parts[part] = {
            "rows": len(rows), "examples": documents, "tokens": int(lengths.sum()),
            "label_tokens": sum(len(row["label_positions"]) for row in rows),
            "squared_lengths": int((lengths**2).sum()),
        }  # fmt: skip
    manifest = {"version": "benchmark", "split_seed": 0, "parts": parts}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return manifest


def packed_row(lengths: np.ndarray, generator: np.random.Generator, vocabulary: int) -> dict[str, Any]:
    """Documents of these lengths, of which the last third is learnt."""
    starts = np.cumsum([0, *lengths[:-1]])
    positions = np.concatenate([np.arange(s + n * 2 // 3, s + n) for s, n in zip(starts, lengths, strict=True)])
    return {
        "input_ids": generator.integers(1, vocabulary, int(lengths.sum())).tolist(),
        "document_lengths": lengths.tolist(),
        "label_positions": positions.tolist(),
        "label_weights": [1.0] * len(positions),
        "examples": list(range(len(lengths))),
    }


def recipe_file(path: Path, model: Path, method: dict[str, Any], train: dict[str, Any], workers: int) -> LoadedRecipe:
    """Write a recipe as a user would, and read it."""
    values = {
        "name": path.stem, "model": {"source": str(model)}, "data": {"train": "rows.jsonl"}, "method": method,
        "train": {"learning_rate": 1e-4, **train}, "resources": {"workers": workers},
    }  # fmt: skip
    path.write_text(json.dumps(values), encoding="utf-8")  # YAML is a superset of JSON
    return load_recipe(path)


if __name__ == "__main__":
    main()
