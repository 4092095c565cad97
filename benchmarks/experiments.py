"""Experiments, simulated: shares of users, false decisions when one looks a hundred times, power, and what that costs.

    python benchmarks/experiments.py           some minutes on one core
    python benchmarks/experiments.py --quick   a tenth of it

Every decision is taken by `tunesmith.experiment.decide`, as the endpoint takes it. A z-test that is looked at as often
stands beside it, and `ville.AsymptoticABTest` (another implementation, by the paper's pseudo-outcomes).
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable
from math import sqrt

import numpy as np
import scipy.stats
import ville

from tunesmith.experiment.assignment import allocate, slot_of
from tunesmith.experiment.decision import Metric, decide
from tunesmith.experiment.sample import Sample

ALPHA, LOOKS = 0.05, 100
METRIC = [Metric("value")]
Draw = Callable[[np.random.Generator, int], np.ndarray]

KINDS: dict[str, Draw] = {
    "conversion of 5 %": lambda rng, number: rng.binomial(1, 0.05, number).astype(float),
    "conversion of 30 %": lambda rng, number: rng.binomial(1, 0.3, number).astype(float),
    "seconds, exponential": lambda rng, number: rng.exponential(2.0, number),
}


def main() -> None:
    """Print tables and one line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the experiments")
    quick = parser.parse_args().quick
    times = 100 if quick else 1000
    print(f"Python {platform.python_version()}, ville {ville.__version__}, {times} experiments, {LOOKS} looks each")
    worst, sticky = split(10_000 if quick else 100_000)
    wrong = [row for kind, draw in KINDS.items() for row in [false_decisions(kind, draw, times)]]
    power(times)
    print(json.dumps({
        "split_error": worst, "sticky": sticky, "false_decisions": max(row[0] for row in wrong),
        "false_decisions_z": max(row[1] for row in wrong), "false_decisions_ville": max(row[2] for row in wrong),
    }))  # fmt: skip


def split(users: int) -> tuple[float, float]:
    """The largest error of a share, and how many users saw the same variant again."""
    worst, same = 0.0, 0
    print(f"\n{users:,} users\n\n| weights | largest error of a share |\n|---|--:|")
    for weights in ({"control": 99, "a": 1}, {"control": 50, "a": 50}, {"control": 60, "a": 30, "b": 10}):
        allocation = allocate(weights)
        owners = [name for name, length in allocation.runs for _ in range(length)]
        first = [owners[slot_of("salt", f"user-{user}")] for user in range(users)]
        again = [owners[slot_of("salt", f"user-{user}")] for user in range(users)]
        error = max(abs(first.count(name) / users - weight / 100) for name, weight in weights.items())
        worst, same = max(worst, error), same + sum(a == b for a, b in zip(first, again, strict=True))
        print(f"| {' / '.join(str(weight) for weight in weights.values())} | {error:.2%} |")
    return worst, same / (3 * users)


def false_decisions(kind: str, draw: Draw, times: int, users: int = 5000) -> tuple[float, float, float]:
    """Shares of experiments without a difference that are decided all the same: ours, a z-test, ville."""
    rng = np.random.default_rng(0)
    wrong = np.zeros(3)
    for _ in range(times):
        pair = draw(rng, users), draw(rng, users)
        looks = moments(pair, users)
        ours = any(decide(METRIC, {"value": [look]}, ALPHA, users).verdict != "inconclusive" for look in looks)
        z = any(abs(statistic(*look)) > scipy.stats.norm.ppf(1 - ALPHA / 2) for look in looks)
        arms = np.tile([1, 0], users)
        theirs = ville.AsymptoticABTest(alpha=ALPHA, t_opt=users).fit(np.stack(pair, 1).reshape(-1), arms)
        at = np.linspace(0, 2 * users, LOOKS + 1).astype(int)[1:] - 1
        wrong += ours, z, bool(((theirs.lower_[at] > 0) | (theirs.upper_[at] < 0)).any())
    found = wrong / times
    print(f"\nA/A, {kind}: decided {found[0]:.1%}; a z-test {found[1]:.1%}; ville {found[2]:.1%}", flush=True)
    return float(found[0]), float(found[1]), float(found[2])


def power(times: int, base: float = 0.3, lift: float = 0.03) -> None:
    """How often a real difference is found, and after how many users, beside a test that is looked at once."""
    variance = base * (1 - base) + (base + lift) * (1 - base - lift)
    z = scipy.stats.norm.ppf(1 - ALPHA / 2) + scipy.stats.norm.ppf(0.8)
    once = int(np.ceil(variance * z**2 / lift**2))
    rng = np.random.default_rng(1)
    print(
        f"\n{base:.0%} against {base + lift:.0%}: a test that is looked at once needs {once:,} users of each for 80 %"
    )
    print("\n| users of each at most | looked at once | ours, at any look | users of each when decided, median |")
    print("|--:|--:|--:|--:|")
    for users in (once, int(1.5 * once), 2 * once):
        found, ends = np.zeros(2), []
        for _ in range(times):
            pair = tuple(rng.binomial(1, rate, users).astype(float) for rate in (base + lift, base))
            looks = moments(pair, users)
            verdicts = [decide(METRIC, {"value": [look]}, ALPHA, 2 * once).verdict for look in looks]
            found += abs(statistic(*looks[-1])) > scipy.stats.norm.ppf(1 - ALPHA / 2), "promote" in verdicts
            if "promote" in verdicts:
                ends.append((verdicts.index("promote") + 1) * users / LOOKS)
        print(f"| {users:,} | {found[0] / times:.1%} | {found[1] / times:.1%} | {np.median(ends):,.0f} |", flush=True)


def moments(pair: tuple[np.ndarray, ...], users: int) -> list[tuple[Sample, Sample]]:
    """Samples of variant and control at each look."""
    at = np.linspace(0, users, LOOKS + 1).astype(int)[1:]
    found = []
    for values in pair:
        sums, squares = values.cumsum(), (values**2).cumsum()
        found.append([Sample(int(n), sums[n - 1] / n, squares[n - 1] - sums[n - 1] ** 2 / n) for n in at])
    return list(zip(*found, strict=True))


def statistic(variant: Sample, control: Sample) -> float:
    """Of a z-test."""
    error = sqrt(variant.variance / variant.users + control.variance / control.users)
    return (variant.mean - control.mean) / error if error else 0.0


if __name__ == "__main__":
    main()
