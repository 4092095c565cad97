"""Every run goes on under every other strategy and number of workers: 15 ways to save, 15 to resume, three methods.

    python benchmarks/resume_matrix.py           lora, 4-bit qlora and full: 675 runs, a quarter of an hour
    python benchmarks/resume_matrix.py --quick   lora, one and two workers: 100 runs

A run is stopped behind its first step under each strategy and number of workers, and its folder copied for each of the
15 that go on: resume, two more steps, finish. Losses, gradient norms, the validation loss and the trained weights are
compared with the run that was never stopped, in one process; what is resumed under what it was saved under is the
diagonal. Workers are processes that talk over gloo, the model is a Llama of 150,000 random weights in float32. Prints a
table for each method, whose cells are the largest difference of all, and one line of JSON. Exits 1 past 1e-5.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from safetensors.numpy import load_file

from tests.integration.workers import in_processes
from tests.unit.train import tiny
from tunesmith.train.job import STOP, TrainJob
from tunesmith.train.sinks import read_events

METHODS: dict[str, dict[str, Any]] = {
    "lora": {"method": {"rank": 4, "alpha": 8.0}},
    "qlora": {"method": {"type": "qlora", "rank": 4, "alpha": 8.0}},
    "full": {"method": {"type": "full"}, "train": {"learning_rate": 1e-3}},
}
STRATEGIES = ("ddp", "fsdp", "zero1", "zero2", "zero3")
STEPS, TOLERANCE = 3, 1e-5
TRAIN = {
    "batch_size": 4, "micro_batch_tokens": 60, "max_steps": STEPS, "eval_every": STEPS, "weight_decay": 0.1,
}  # fmt: skip


def work(jobs: list[dict[str, Any]], rank: int, world_size: int, store: str, output: str) -> None:
    """One worker of several that train one run after the other."""
    with Path(output).open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    import torch.distributed as dist

    from tunesmith.train.loop import Loop

    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world_size)
    for job in jobs:
        Loop(TrainJob(**job), rank, world_size).run()
        dist.barrier()
    dist.destroy_process_group()


class Matrix:
    """The runs of one method under `ways`, pairs of a strategy and a number of workers, in a folder of its own."""

    def __init__(self, folder: Path, method: str, ways: list[tuple[str, int]]) -> None:
        self.folder, self.method, self.ways = folder, method, ways
        rng_rows = tiny.make_rows(1, 14)
        self.model = tiny.write_model(folder / "model")
        self.rows = tiny.write_dataset(folder / "rows", train=rng_rows[:12], validation=rng_rows[12:])

    def job(self, name: str, strategy: str) -> TrainJob:
        """A run of this method."""
        given = METHODS[self.method]
        settings = {**TRAIN, **given.get("train", {})}
        sections = {"method": given["method"], "resources": {"strategy": strategy}}
        job: TrainJob = tiny.make_job(self.folder / name, self.model, self.rows, settings, **sections)
        return job

    def differences(self) -> dict[tuple[tuple[str, int], tuple[str, int]], float]:
        """(saved under, resumed under) -> the largest difference to the run that was never stopped."""
        undisturbed = self.job("undisturbed", "ddp")
        self._train(1, [undisturbed])
        saved = {way: self.job(f"saved-{way[0]}-{way[1]}", way[0]) for way in self.ways}
        for workers in sorted({workers for _, workers in self.ways}):
            jobs = [job for way, job in saved.items() if way[1] == workers]
            for job in jobs:
                (job.folder / STOP).touch()
            self._train(workers, jobs)
        resumed = {}
        for workers in sorted({workers for _, workers in self.ways}):
            jobs = {
                (source, way): self._copy(saved[source], way)
                for way in self.ways
                if way[1] == workers
                for source in self.ways
            }
            self._train(workers, list(jobs.values()))
            resumed.update(jobs)
        return {pair: difference(job, undisturbed) for pair, job in resumed.items()}

    def _copy(self, saved: TrainJob, way: tuple[str, int]) -> TrainJob:
        job = self.job(f"{saved.folder.name}-{way[0]}-{way[1]}", way[0])
        shutil.copytree(saved.folder, job.folder, dirs_exist_ok=True)
        (job.folder / STOP).unlink()
        return job

    def _train(self, workers: int, jobs: list[TrainJob]) -> None:
        in_processes(jobs[0].folder, workers, work, [job.to_json() for job in jobs], limit=900)


def difference(job: TrainJob, expected: TrainJob) -> float:
    """Of all losses, norms and weights; a run that was not resumed, or did other steps, counts as infinitely off."""
    starts = [event["step"] for event in read_events(job.folder) if event["event"] == "start"]
    if starts != [0, 1]:
        return float("inf")
    worst = 0.0
    for key in ("train_loss", "gradient_norm", "validation_loss"):
        ours, theirs = ({e["step"]: e[key] for e in read_events(one.folder) if key in e} for one in (job, expected))
        if ours.keys() != theirs.keys():
            return float("inf")
        worst = max(worst, *(abs(ours[step] - theirs[step]) for step in theirs))
    found, wanted = (load_file(next(one.artefact.glob("*.safetensors"))) for one in (job, expected))
    return max(worst, *(float(abs(found[name] - tensor).max()) for name, tensor in wanted.items()))


def main() -> None:
    """Run all of it, print the tables and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="lora, one and two workers")
    quick = parser.parse_args().quick
    counts, methods = ((1, 2), ("lora",)) if quick else ((1, 2, 3), tuple(METHODS))
    ways = [(strategy, workers) for strategy in STRATEGIES for workers in counts]
    worst, runs, began = 0.0, 0, time.monotonic()
    for method in methods:
        with tempfile.TemporaryDirectory(prefix="tunesmith-matrix-") as scratch:
            found = Matrix(Path(scratch), method, ways).differences()
        print(f"\n{method}: saved under (down), resumed under (across)\n")
        print("| |" + "".join(f" {strategy}:{workers} |" for strategy, workers in ways))
        print("|---|" + "--:|" * len(ways))
        for source in ways:
            cells = "".join(f" {found[source, way]:.0e} |" for way in ways)
            print(f"| {source[0]}:{source[1]} |{cells}", flush=True)
        worst, runs = max(worst, *found.values()), runs + len(found)
    print(json.dumps({"pairs": runs, "largest_difference": worst, "seconds": round(time.monotonic() - began)}))
    sys.exit(0 if worst < TOLERANCE else 1)


if __name__ == "__main__":
    main()
