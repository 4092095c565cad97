"""How long it takes to prepare rows, against a bare batched `datasets.map` over the same texts in the same run.

    python benchmarks/data.py            100,000 conversations; some minutes on two cores
    python benchmarks/data.py --quick    10,000

The rows have the sizes of banking77: its own where `../shared/data/banking77` is there (further copies with their words
in another order, so that they are no duplicates), else words drawn with the same lengths. Prints the machine, the
versions, a table, and one closing line of JSON.
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
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

BANKING77 = Path(__file__).parents[2] / "shared" / "data" / "banking77" / "train.csv"
RECIPE = """\
name: benchmark
model: {source: smollm2-135m-instruct}
data:
  train: rows.jsonl
  format: text-label
  audit: {fail_on: []}
train: {sequence_length: 1024}
"""
Timing = dict[str, float]


def main() -> None:
    """Run all parts and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="10,000 rows, memory at 2,000 and 20,000")
    parser.add_argument("--rounds", type=int, help="times that the two compared parts run, one after the other")
    parser.add_argument("--memory-of", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        print(json.dumps(peak_memory(options.memory_of)))
        return
    num_rows = 10_000 if options.quick else 100_000
    rounds = options.rounds or (1 if options.quick else 3)
    print_machine()
    with tempfile.TemporaryDirectory() as folder:
        timings = measure(Path(folder), num_rows, rounds)
    sizes = (num_rows // 5, num_rows * 2)
    memory = [measure_memory(size) for size in sizes]
    report(num_rows, timings, sizes, memory)


def measure(folder: Path, num_rows: int, rounds: int) -> dict[str, list[Timing]]:
    """Wall and CPU seconds of each part, once a round; (a) and (b) alternate because the machine is shared."""
    write_rows(folder / "rows.jsonl", num_rows)
    plan = preparation(folder)
    texts = conversation_texts(plan)
    timings: dict[str, list[Timing]] = {}
    for number in range(rounds):
        timed(timings, "a: datasets.map, tokenise only", partial(bare_map, plan, texts, folder))
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            spool = timed(timings, "b1: read, render, tokenise", partial(tokenised, plan, Path(scratch)))
            made = Path(scratch, "made")
            made.mkdir()
            timed(timings, "b2: split, pack, write", partial(written, plan, spool, made))
            if number == 0:
                timed(timings, "c: audit", partial(audited, plan, spool, made))
    return timings


def write_rows(path: Path, num_rows: int) -> None:
    """Texts of banking77's lengths with their labels."""
    draw = random.Random(0)
    if BANKING77.is_file():
        with BANKING77.open(encoding="utf-8", newline="") as file:
            rows = [(row["text"], row["category"]) for row in csv.DictReader(file)]
    else:
        words = ["".join(draw.choices("etaoinshrdlu", k=draw.randrange(2, 9))) for _ in range(3000)]
        lengths = [max(2, round(draw.lognormvariate(2.3, 0.55))) for _ in range(10_000)]
        rows = [(" ".join(draw.choices(words, k=length)), f"label_{draw.randrange(77)}") for length in lengths]
    with path.open("w", encoding="utf-8") as file:
        for number in range(num_rows):
            text, label = rows[number % len(rows)]
            if number >= len(rows):
                words = text.split()
                draw.shuffle(words)
                text = " ".join(words)
            file.write(json.dumps({"text": text, "label": label}) + "\n")


def preparation(folder: Path) -> Any:
    """The recipe above, its tokenizer loaded."""
    from tunesmith.recipe.load import load_recipe
    from tunesmith.store.home import find_home
    from tunesmith.train.ingredients import ingredients

    (folder / "recipe.yaml").write_text(RECIPE)
    return ingredients(load_recipe(folder / "recipe.yaml"), find_home()).preparation


def conversation_texts(plan: Any) -> list[str]:
    """What the tokenizer is given, rendered beforehand: (a) has nothing to do but tokenise."""
    from tunesmith.data.read import read_examples

    return [
        plan.renderer.template.render(example.messages) for example in read_examples(plan.data, plan.folder, "train")
    ]


def bare_map(plan: Any, texts: list[str], folder: Path) -> None:
    """One process, batches of 1,000, no special tokens added: the least that any preparation must do."""
    import datasets

    datasets.disable_progress_bars()
    tokenizer = plan.renderer.tokenizer
    rows = datasets.Dataset.from_dict({"text": texts})
    with tempfile.TemporaryDirectory(dir=folder) as cache:
        rows.map(
            lambda batch: tokenizer(batch["text"], add_special_tokens=False),
            batched=True,
            batch_size=1000,
            load_from_cache_file=False,
            cache_file_name=str(Path(cache, "map.arrow")),
        )


def tokenised(plan: Any, scratch: Path) -> Any:
    """Rows to a spool."""
    from tunesmith.data.tokenise import tokenise

    return tokenise(plan, scratch, lambda stage, rows: None)


def written(plan: Any, spool: Any, folder: Path) -> None:
    """A spool to shards; without the audit there are no near-duplicates to keep together."""
    import numpy as np

    from tunesmith.data.prepare import write_parts

    write_parts(plan, spool, np.arange(spool.num_rows), folder, lambda stage, rows: None)


def audited(plan: Any, spool: Any, folder: Path) -> None:
    """The whole audit with its report as JSON and HTML."""
    from tunesmith.data.prepare import audit_spool

    audit_spool(plan, spool, folder, lambda stage, rows: None)


def timed(timings: dict[str, list[Timing]], name: str, work: Callable[[], Any]) -> Any:
    """Do the work and note its seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    seconds = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    timings.setdefault(name, []).append(seconds)
    print(f"  {name}: {seconds['wall']:.1f} s ({seconds['cpu']:.1f} s of CPU)", file=sys.stderr)
    return result


def measure_memory(num_rows: int) -> dict[str, float]:
    """Peak memory of a whole `prepare`, audit included, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        write_rows(Path(folder, "rows.jsonl"), num_rows)
        command = [sys.executable, __file__, "--memory-of", folder]
        printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    memory: dict[str, float] = json.loads(printed.splitlines()[-1])
    print(f"  prepare of {num_rows:,} rows: {memory}", file=sys.stderr)
    return memory


def peak_memory(folder: Path) -> dict[str, float]:
    """MB resident at most: in all, and of the process' own (without mapped files, which the system may drop)."""
    from tunesmith.data.prepare import prepare

    plan = preparation(folder)
    before = own_memory()
    with watch_memory() as peak:
        prepare(plan, folder / "datasets")
    return {"resident_mb": round(status_mb("VmHWM")), "own_mb": round(peak[0]), "own_before_mb": round(before)}


@contextmanager
def watch_memory() -> Iterator[list[float]]:
    """The most that `own_memory` says, asked twenty times a second."""
    peak, done = [0.0], threading.Event()

    def ask() -> None:
        while not done.wait(0.05):
            peak[0] = max(peak[0], own_memory())

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def own_memory() -> float:
    """MB of this process that are no file's pages."""
    return status_mb("RssAnon")


def status_mb(field: str) -> float:
    """A figure of /proc/self/status in MB (Linux only; 0 elsewhere). `ru_maxrss` would start at the parent's."""
    return sum(int(line.split()[1]) for line in _lines("/proc/self/status") if line.startswith(field)) / 1024


def print_machine() -> None:
    """CPU, cores, versions."""
    from importlib.metadata import version

    cpu = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor() or "unknown CPU",
    )
    packages = ("tokenizers", "transformers", "datasets", "pyarrow", "numpy")
    print(f"{time.strftime('%Y-%m-%d')} · {cpu} · {os.cpu_count()} cores · load {os.getloadavg()[0]:.1f} at the start")
    print(f"Python {platform.python_version()} · {' · '.join(f'{name} {version(name)}' for name in packages)}")
    print(f"rows: {'banking77' if BANKING77.is_file() else 'drawn words of the lengths of banking77'}\n")


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def report(
    num_rows: int, timings: dict[str, list[Timing]], sizes: tuple[int, int], memory: list[dict[str, float]]
) -> None:
    """The table and the closing line. Ratios are of the medians of the rounds."""
    middle = {
        name: {unit: statistics.median(one[unit] for one in rounds) for unit in ("wall", "cpu")}
        for name, rounds in timings.items()
    }
    print("| stage | rounds | wall s | CPU s | rows/s |\n|---|--:|--:|--:|--:|")
    for name, seconds in middle.items():
        rate = num_rows / seconds["wall"]
        print(f"| {name} | {len(timings[name])} | {seconds['wall']:.1f} | {seconds['cpu']:.1f} | {rate:,.0f} |")
    (bare, *prepared, audit) = sorted(middle)
    total = {unit: sum(middle[name][unit] for name in prepared) for unit in ("wall", "cpu")}
    ratio = {unit: total[unit] / middle[bare][unit] for unit in ("wall", "cpu")}
    print(f"\nprepare without the audit (b1 + b2): {total['wall']:.1f} s, {ratio['wall']:.2f} times (a); "
          f"{total['cpu']:.1f} s of CPU, {ratio['cpu']:.2f} times (a)")  # fmt: skip
    for size, one in zip(sizes, memory, strict=True):
        print(f"memory of prepare with the audit, {size:,} rows: {one['resident_mb']} MB resident at most, "
              f"{one['own_mb']} MB its own ({one['own_before_mb']} before the first row)")  # fmt: skip
    closing = {
        "benchmark": "data", "rows": num_rows, "map_s": middle[bare]["wall"], "map_cpu_s": middle[bare]["cpu"],
        "prepare_s": total["wall"], "prepare_cpu_s": total["cpu"], "ratio": ratio["wall"], "ratio_cpu": ratio["cpu"],
        "audit_s": middle[audit]["wall"], "audit_cpu_s": middle[audit]["cpu"],
    }  # fmt: skip
    closing = {name: round(value, 3) if isinstance(value, float) else value for name, value in closing.items()}
    print(json.dumps(closing | {"memory": dict(zip(map(str, sizes), memory, strict=True))}))


if __name__ == "__main__":
    main()
