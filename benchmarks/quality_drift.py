"""Watching answers get worse, simulated: false alarms of streams that do not change, delay where one does.

    python benchmarks/quality_drift.py           two minutes on one core
    python benchmarks/quality_drift.py --quick   a tenth of the streams

The detectors are called as `tunesmith monitor` calls them, with the recipe's defaults. Beside them stands what many do
by hand: the last 100 values against the first 100, a t-test at 5 % at every 100th value.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable

import numpy as np
import river
from scipy.stats import ttest_ind

from tunesmith.monitor.quality.detect import DETECTORS, FIRST, on_scale
from tunesmith.recipe.monitor import QualitySection

LENGTH, CHANGE = 2000, 500
SETTINGS = QualitySection()
Draw = Callable[[np.random.Generator, int], np.ndarray]

STATIONARY: dict[str, tuple[Draw, bool]] = {
    "thumbs, 50 % up": (lambda rng, number: rng.binomial(1, 0.5, number).astype(float), True),
    "thumbs, 80 % up": (lambda rng, number: rng.binomial(1, 0.8, number).astype(float), True),
    "thumbs, 95 % up": (lambda rng, number: rng.binomial(1, 0.95, number).astype(float), True),
    "valid answers, 99 %": (lambda rng, number: rng.binomial(1, 0.99, number).astype(float), True),
    "distance to corrections": (lambda rng, number: 1 - rng.beta(2, 5, number), True),
    "a score of one's own, log-normal": (lambda rng, number: rng.lognormal(0, 1, number), False),
    "stars, 1 to 5": (lambda rng, number: rng.choice(5, number, p=[0.05, 0.05, 0.1, 0.3, 0.5]) + 1.0, False),
}
DROPS: dict[str, tuple[Draw, Draw, bool]] = {
    f"thumbs, {before:.0%} to {after:.0%}": (
        lambda rng, number, rate=before: rng.binomial(1, rate, number).astype(float),  # type: ignore[misc]
        lambda rng, number, rate=after: rng.binomial(1, rate, number).astype(float),  # type: ignore[misc]
        True,
    )
    for before, after in ((0.8, 0.75), (0.8, 0.7), (0.8, 0.6), (0.95, 0.9), (0.95, 0.85), (0.99, 0.95))
} | {
    "a score of one's own, a median lower by a third": (
        lambda rng, number: rng.lognormal(0, 1, number), lambda rng, number: rng.lognormal(-0.4, 1, number), False
    )
}  # fmt: skip


def main() -> None:
    """Print tables and one line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the streams")
    quick = parser.parse_args().quick
    streams = 20 if quick else 200
    print(f"Python {platform.python_version()}, river {river.__version__}, {streams} streams of {LENGTH:,} values")
    print(f"ADWIN delta {SETTINGS.delta:g}, Page-Hinkley threshold {SETTINGS.page_hinkley_threshold:g}")
    rules = {name: alarms(name) for name in DETECTORS} | {"t-tests": t_tests}
    heads = " | ".join(rules)
    print(f"\nStreams that do not change: share with an alarm\n\n| | {heads} |\n|---|{'--:|' * len(rules)}")
    false: dict[str, list[float]] = {name: [] for name in rules}
    for seed, (kind, (draw, bounded)) in enumerate(STATIONARY.items()):
        rng = np.random.default_rng([seed, 1])
        every = [on_scale(draw(rng, LENGTH), bounded) for _ in range(streams)]
        for name, rule in rules.items():
            false[name].append(float(np.mean([bool(rule(one)) for one in every])))
        print(f"| {kind} | {' | '.join(f'{false[name][-1]:.1%}' for name in rules)} |", flush=True)
    print(
        f"\nA drop after {CHANGE} values: share that is seen within {LENGTH - CHANGE:,} more; values until then, median"
    )
    print(f"\n| | {heads} |\n|---|{'--:|' * len(rules)}")
    delays: dict[str, dict[str, tuple[float, float | None]]] = {name: {} for name in rules}
    for seed, (kind, (before, after, bounded)) in enumerate(DROPS.items()):
        rng = np.random.default_rng([seed, 2])
        every = [
            on_scale(np.concatenate([before(rng, CHANGE), after(rng, LENGTH - CHANGE)]), bounded)
            for _ in range(streams)
        ]
        for name, rule in rules.items():
            later = [[index for index in rule(one) if index >= CHANGE] for one in every]
            seen = [found[0] - CHANGE for found in later if found]
            delays[name][kind] = (len(seen) / streams, float(np.median(seen)) if seen else None)
        cells = [
            f"{share:.0%}, {middle:,.0f}" if middle is not None else "0 %"
            for share, middle in (delays[name][kind] for name in rules)
        ]
        print(f"| {kind} | {' | '.join(cells)} |", flush=True)
    busy = long_streams(streams // 5)
    print(json.dumps({
        "false_alarms_of_100000": busy, "false_alarms": {name: max(shares) for name, shares in false.items()},
        "delay": {name: {kind: middle for kind, (_, middle) in found.items()} for name, found in delays.items()},
    }))  # fmt: skip


def long_streams(streams: int) -> dict[str, float]:
    """Share with an alarm among streams of 100,000 values: false alarms do not come by the number of values."""
    draw, bounded = STATIONARY["thumbs, 80 % up"]
    rng = np.random.default_rng(3)
    every = [on_scale(draw(rng, 100_000), bounded) for _ in range(streams)]
    found = {name: float(np.mean([bool(alarms(name)(one)) for one in every])) for name in DETECTORS}
    told = ", ".join(f"{name} {share:.1%}" for name, share in found.items())
    print(f"\n{streams} streams of 100,000 thumbs, 80 % up, that do not change: {told} with an alarm\n")
    return found


def alarms(name: str) -> Callable[[np.ndarray], list[int]]:
    """Where one of our detectors speaks."""
    return lambda good: [alarm.index for alarm in DETECTORS[name](good, SETTINGS)]


def t_tests(good: np.ndarray) -> list[int]:
    """Where a t-test, made at every 100th value, says that the last 100 are worse than the first 100."""
    first = good[:FIRST]
    found = []
    for end in range(2 * FIRST, len(good) + 1, FIRST):
        last = good[end - FIRST : end]
        if np.ptp(first) + np.ptp(last) > 0 and ttest_ind(first, last, alternative="greater").pvalue < 0.05:
            found.append(end - 1)
    return found


if __name__ == "__main__":
    main()
