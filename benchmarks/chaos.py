"""A run from which workers, nodes, links and the driver are taken at random, against the same run left in peace.

    python benchmarks/chaos.py            30 blows over 240 steps; 25 minutes on two busy cores
    python benchmarks/chaos.py --quick    one blow of each kind over 40 steps
    python benchmarks/chaos.py --seed 7   other hosts, other steps

The cluster is real: three hosts as namespaces of this machine with a Ray node each (root is needed, and nothing is left
behind). What is taken comes back at once, as a supervisor would see to it: a killed host is started again, a cut link
mended after eight seconds, and a killed driver is given the same command. Prints the machine, a table with what each
blow cost, and one closing line of JSON. Exits 1 when the run did not end, or ended with other losses.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.integration.chaos import Chaos, losses_differ
from tests.integration.chaos_project import undisturbed, write_project
from tests.integration.hosts import why_not
from tests.integration.ray_hosts import RayHosts

KINDS = ("worker", "node", "link", "driver")
HOSTS, EVERY = 3, 5
STEPS, BLOWS = 240, 30
QUICK_STEPS, QUICK_BLOWS = 40, 4
TOLERANCE = 1e-5


def main() -> None:
    """Run it in peace, run it in chaos, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_BLOWS} blows over {QUICK_STEPS} steps")
    parser.add_argument("--blows", type=int, help="how often something is taken")
    parser.add_argument("--steps", type=int, help="optimizer steps")
    parser.add_argument("--seed", type=int, default=0, help="decides what is taken, where and when")
    parser.add_argument("--keep", type=Path, help="an empty folder that keeps the run and the logs of all nodes")
    options = parser.parse_args()
    if (reason := why_not()) is not None:
        print(f"left out: {reason}")
        return
    steps = options.steps or (QUICK_STEPS if options.quick else STEPS)
    plan = blows(options.seed, options.blows or (QUICK_BLOWS if options.quick else BLOWS), steps)
    with tempfile.TemporaryDirectory(prefix="tunesmith-chaos-") as scratch:
        figures = measure(options.keep or Path(scratch), plan, steps, options.seed)
    print(json.dumps(figures))
    good = figures["finished"] and figures["largest_difference"] < TOLERANCE and not figures["unreadable"]
    sys.exit(0 if good else 1)


def blows(seed: int, number: int, steps: int) -> list[tuple[int, str]]:
    """Steps to strike at, and what to strike: every kind about as often as the others, in any order."""
    rng = random.Random(seed)
    kinds = [KINDS[index % len(KINDS)] for index in range(number)]
    rng.shuffle(kinds)
    return list(zip(sorted(rng.sample(range(2, steps - 4), number)), kinds, strict=True))


def measure(folder: Path, plan: list[tuple[int, str]], steps: int, seed: int) -> dict[str, Any]:
    """Both runs; prints the table on the way."""
    print_machine()
    project = write_project(folder, steps, EVERY, workers={"min": 1, "max": HOSTS})
    began = time.monotonic()
    expected = undisturbed(project)
    peace = time.monotonic() - began
    with RayHosts(folder / "hosts", HOSTS, cpus=[1] * HOSTS) as hosts:
        hosts.join(range(1, HOSTS + 1))
        chaos = Chaos(hosts, project, seed, may_give_up=len(plan))
        began = time.monotonic()
        with chaos.watch as watch:
            finished = survive(chaos, plan)
        seconds = time.monotonic() - began
    report(chaos)
    recoveries = chaos.recoveries()
    return {
        "seed": seed,
        "finished": finished,
        "steps": steps,
        "blows": len(recoveries),
        "largest_difference": losses_differ(watch.losses(), expected),
        "most_lost": chaos.most_lost(),
        "checkpoint_every": EVERY,
        "lost_steps": sum(recovery.lost for recovery in recoveries),
        "median_seconds_back": median(recovery.seconds for recovery in recoveries) if recoveries else None,
        "driver_gave_up": chaos.gave_up,
        "checkpoint_reads": watch.reads,
        "unreadable": len(watch.unreadable),
        "seconds": seconds,
        "seconds_in_peace": peace,
    }


def survive(chaos: Chaos, plan: list[tuple[int, str]]) -> bool:
    """Strike as planned; whether the run ended after it."""
    chaos.drive()
    try:
        for number, (step, kind) in enumerate(plan, 1):
            chaos.reach(step)
            print(f"{number}/{len(plan)}: {chaos.strike(kind)}", file=sys.stderr, flush=True)
        chaos.finish()
    except AssertionError as error:
        print(error, file=sys.stderr)
        return False
    return True


def report(chaos: Chaos) -> None:
    """A line for every blow: what it took, when, and what it cost."""
    print(
        "\n| # | taken | host | at step | on again after step | steps lost | seconds to the next step | workers then |"
    )
    print("|--:|---|--:|--:|--:|--:|--:|--:|")
    for number, recovery in enumerate(chaos.recoveries(), 1):
        blow = recovery.blow
        print(
            f"| {number} | {blow.kind} | {blow.host} | {blow.step} | {recovery.resumed} | {recovery.lost} | "
            f"{recovery.seconds:.0f} | {recovery.workers} |"
        )
    print()


def print_machine() -> None:
    """Cores, load and versions."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("ray", "torch", "transformers", "peft"))
    print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}")
    print(f"{versions}; {HOSTS} hosts, a checkpoint every {EVERY} steps")


if __name__ == "__main__":
    main()
