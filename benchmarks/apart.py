"""What a step costs when workers share no files with the driver.

    python benchmarks/apart.py           four minutes on two cores
    python benchmarks/apart.py --quick   one round instead of three

Two workers of Ray on this machine train a small Llama, in turn as workers that see the driver's files and as workers
that see none of them, so that metrics, signs of life and wishes travel by Ray. Their checkpoints go to the same place,
one at the end. The first fifth of each run's steps is left out. The ratio compares the medians of all steps of either
kind.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.checkpoint_stall import BUCKET, s3_server
from tests.unit.train import tiny
from tunesmith.train.driver import run_on_ray
from tunesmith.train.job import TrainJob
from tunesmith.train.remote.fetch import NODE_FOLDER
from tunesmith.train.sinks import read_events

SHAPE = {"hidden_size": 256, "intermediate_size": 512}
STEPS = 400
KINDS = ("shared", "apart")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round instead of three")
    rounds = 1 if parser.parse_args().quick else 3
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, ", end=""
    )
    print(f"Python {platform.python_version()}, torch {version('torch')}, ray {version('ray')}\n")
    steps: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory() as scratch, s3_server(Path(scratch) / "s3.log"):
        folder = Path(scratch)
        model = tiny.write_model(folder / "model", **SHAPE)
        rows = tiny.write_dataset(folder / "rows", train=tiny.make_rows(1, 16))
        print("| round | files | steps | median ms | mean ms | 95 % below ms |\n|---|---|--:|--:|--:|--:|")
        for number in range(rounds):
            for kind in KINDS if number % 2 == 0 else KINDS[::-1]:
                run = folder / f"{kind}-{number}" / "run"
                told = train(kind, run, model, rows, folder)
                steps[kind] += told
                ordered = sorted(told)
                values = (statistics.median(told), statistics.fmean(told), ordered[int(0.95 * len(ordered))])
                print(
                    f"| {number + 1} | {kind} | {len(told)} |",
                    *(f"{1000 * value:.2f} |" for value in values),
                    flush=True,
                )
    medians = {kind: statistics.median(steps[kind]) for kind in KINDS}
    ratio = medians["apart"] / medians["shared"]
    print(f"\napart / shared, medians of all steps: {ratio:.3f}")
    figures = {f"{kind}_step_ms": round(1000 * value, 3) for kind, value in medians.items()}
    print(json.dumps({**figures, "ratio": round(ratio, 4)}))


def train(kind: str, run: Path, model: Path, rows: Path, folder: Path) -> list[float]:
    """Seconds of each step but the first ones."""
    section = {"epochs": STEPS // 4, "batch_size": 4, "checkpoint_every": STEPS}
    places = {"workers": 2, "checkpoints": f"s3://{BUCKET}/{run.parent.name}"}
    job: TrainJob = tiny.make_job(run, model, rows, section, resources=places)
    os.environ.pop(NODE_FOLDER, None)
    if kind == "apart":
        os.environ[NODE_FOLDER] = str(folder / "node")
    run_on_ray(job, job.load_recipe().resources, 1, 0, lambda: None)
    told = [event["seconds"] for event in read_events(run) if event["event"] == "step"]
    return told[len(told) // 5 :]


if __name__ == "__main__":
    main()
