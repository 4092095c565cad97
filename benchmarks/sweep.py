"""A sweep within a third of the grid's dollars against the grid itself: the same space, model, data and machine.

    python benchmarks/sweep.py                  45 minutes on two cores, with nothing else running
    python benchmarks/sweep.py --keep folder    the same; given again after a stop, it goes on
    python benchmarks/sweep.py --quick          one seed and few rows, to see that it works

SmolLM2-135M-Instruct learns to name the intent of questions to a bank (banking77). The grid trains all 16
configurations to their end (`searcher: grid`, `scheduler: none`). Then `cost-aware` with `asha` gets a third of what
the grid cost. Both run as `tunesmith sweep`, once for each seed, which decides over initial adapters, order of rows and
draws of the searcher. Dollars are seconds at one price an hour, start-up of trials included.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

BANKING = Path(__file__).resolve().parents[2] / "shared" / "data" / "banking77" / "train.csv"
USD_PER_HOUR = "1.006"
SYSTEM = "Name the intent of the customer's question."
SPACE = {
    "train.learning_rate": {"choice": [2e-4, 6e-4, 2e-3, 6e-3]},
    "train.epochs": {"choice": [1, 2]},
    "method.rank": {"choice": [4, 32]},
}
RECIPE: dict[str, Any] = {
    "name": "intents",
    "model": {"source": "smollm2-135m-instruct"},
    "data": {"train": "train.jsonl", "validation": "validation.jsonl", "audit": {"fail_on": ["malformed"]}},
    "method": {"type": "lora"},
    "train": {"sequence_length": 128, "packing": False, "batch_size": 8, "eval_every": 3},
}
SETTINGS = {
    "grid": {"searcher": {"type": "grid"}, "scheduler": {"type": "none"}},
    "cost-aware": {"searcher": {"type": "cost-aware"}, "scheduler": {"type": "asha"}},
}


def main() -> None:
    """Print the machine, a table, and one line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one seed, 40 rows")
    parser.add_argument("--keep", type=Path, help="folder of all files; what is finished there is not done again")
    parser.add_argument("--seeds", type=int, default=3, help="default: 3")
    parser.add_argument("--only", choices=list(SETTINGS), help="run one of the two, and compare nothing")
    given = parser.parse_args()
    names = ("torch", "transformers", "peft", "ray")
    print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}")
    print(", ".join(f"{name} {version(name)}" for name in names), flush=True)
    with tempfile.TemporaryDirectory(prefix="tunesmith-sweep-") as scratch:
        start = (given.keep or Path(scratch)).resolve()
        start.mkdir(parents=True, exist_ok=True)
        write_rows(start, 40 if given.quick else 160, 16 if given.quick else 24)
        seeds = range(1 if given.quick else given.seeds)
        if given.only:
            for seed in seeds:
                sweep(start, given.only, seed, 100.0)
            return
        compare(start, seeds)


def compare(start: Path, seeds: range) -> None:
    """Run both for each seed."""
    heads = (
        "seed",
        "grid: best loss",
        "$",
        "cost-aware: best loss",
        "$",
        "loss ratio",
        "$ ratio",
        "past budget, reports",
    )
    print(f"\n| {' | '.join(heads)} |\n{'|--:' * len(heads)}|", flush=True)
    losses, dollars, overshoots, starts = [], [], [], []
    for seed in seeds:
        grid = sweep(start, "grid", seed, 100.0)
        third = float(grid["spent_usd"]) / 3
        ours = sweep(start, "cost-aware", seed, third)
        losses.append(ours["winner"]["loss"] / grid["winner"]["loss"])
        dollars.append(float(ours["spent_usd"]) / float(grid["spent_usd"]))
        overshoots.append(max(0.0, float(ours["spent_usd"]) - third) / ours["interval"])
        starts += grid["starts"]
        figures = [f"{float(done[of]):.4f}" for done, of in ((grid["winner"], "loss"), (grid, "spent_usd"))]
        figures += [f"{float(done[of]):.4f}" for done, of in ((ours["winner"], "loss"), (ours, "spent_usd"))]
        figures += [f"{losses[-1]:.3f}", f"{dollars[-1]:.3f}", f"{overshoots[-1]:.2f}"]
        print(f"| {seed} | {' | '.join(figures)} |", flush=True)
        for name, done in (("grid", grid), ("cost-aware", ours)):
            print(f"  - {name}: {done['seconds']:.0f} s, best {done['winner']['config']}; {ends(done)}", flush=True)
    told = {
        "max_loss_ratio": max(losses), "max_usd_ratio": max(dollars), "max_overshoot_reports": max(overshoots),
        "median_start_seconds": statistics.median(starts), "max_start_seconds": max(starts), "seeds": len(seeds),
    }  # fmt: skip
    print(json.dumps(told))


def sweep(start: Path, name: str, seed: int, max_usd: float) -> dict[str, Any]:
    """Run `tunesmith sweep`; what it says, with the dollars of its longest report and the start of each later trial."""
    values = {**RECIPE, "train": {**RECIPE["train"], "seed": seed}}
    values["sweep"] = {"space": SPACE, "max_usd": max_usd, "trials": 16, "seed": seed, **SETTINGS[name]}
    recipe = start / f"{name}-{seed}.yaml"
    recipe.write_text(json.dumps(values), encoding="utf-8")  # YAML is a superset of JSON
    home = start / f"{name}-{seed}"
    told = start / f"{name}-{seed}.log"
    environment = {**os.environ, "TUNESMITH_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "tunesmith", "sweep", str(recipe), "--json", "--no-register"]
    with told.open("a") as log:
        done = subprocess.run(
            [*command, "--usd-per-hour", USD_PER_HOUR], env=environment, stdout=subprocess.PIPE, stderr=log, check=False
        )
    if done.returncode:
        raise SystemExit(told.read_text())
    journal = next(home.glob("sweeps/*/trials.jsonl"))
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    intervals = [
        float(later["usd"]) - float(earlier["usd"])
        for earlier, later in pairwise(events)
        if earlier["event"] == later["event"] == "reported" and earlier["trial"] == later["trial"]
    ]
    ready = [float(line.split("ready after ")[1].split()[0]) for line in told.open() if "ready after" in line]
    return {**json.loads(done.stdout), "interval": max(intervals), "starts": ready[1:]}


def ends(done: dict[str, Any]) -> str:
    """How many trials ended how."""
    statuses = [trial["status"] for trial in done["trials"]]
    return ", ".join(f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses))


def write_rows(folder: Path, train: int, validation: int) -> None:
    """Questions with their intents, as chats."""
    if not BANKING.is_file():
        raise SystemExit(f"{BANKING} is missing: put banking77's train.csv (text, category) there")
    with BANKING.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    random.Random(0).shuffle(rows)
    for name, part in (("train", rows[:train]), ("validation", rows[train : train + validation])):
        lines = [json.dumps({"messages": chat(row)}) + "\n" for row in part]
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")


def chat(row: dict[str, str]) -> list[dict[str, str]]:
    """One row as messages."""
    answer = row["category"].replace("_", " ")
    texts = (("system", SYSTEM), ("user", row["text"]), ("assistant", answer))
    return [{"role": role, "content": text} for role, text in texts]


if __name__ == "__main__":
    main()
