"""How often drift is seen where there is none, how soon where there is, and whether the right requests are shown.

    python benchmarks/drift.py            500 stationary streams, 100 of each drift; ten minutes on two quiet cores
    python benchmarks/drift.py --quick    20 and 8
    python benchmarks/drift.py --test-traffic   (b) with traffic of the rows that were published as test rows

banking77 (`../shared/data/banking77`), the settings of `DriftSection` as they are, profiles of 5,000 rows. (a) All rows
in random order: the profile of some, streams of 30 windows of the others, no row twice in a stream. (b) Profiles of
training rows of 57 of the 77 intents; traffic of other rows of these, with a share of rows of the 20 others, no row
twice in a window. Ten streams of (a) and four of each share of (b) have one profile, drawn anew for the next. In the
same run, on the same windows: a Kolmogorov-Smirnov test of each numeric descriptor at 0.05, the same with Bonferroni's
correction, and one of the distance to the nearest rows alone; each with an alarm at once and at the second window in a
row. `--seed N` draws others, so that parts of a long run can be put together. Prints the machine, tables, and one
closing line of JSON.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.data.example import Example, Origin
from tunesmith.data.profile import Features, Profile, build_profile
from tunesmith.monitor.drift.observed import Observed
from tunesmith.monitor.drift.reference import Reference
from tunesmith.monitor.drift.statistics import kolmogorov_smirnov, ks_p_value
from tunesmith.monitor.drift.watch import begin, judge
from tunesmith.recipe.monitor import DriftSection

BANKING77 = Path(__file__).parents[2] / "shared" / "data" / "banking77"
SETTINGS = DriftSection()
WINDOWS = 30
DELAY = 12
"""Windows that a drift is waited for."""

PER_PROFILE = {"calm": 10, "drifting": 4}
ROWS = 5_000
HELD_BACK = 20
SHARES = {"none": 0.0, "5 %": 0.05, "10 %": 0.1, "20 %": 0.2, "50 %": 0.5}
BASELINES = ("KS each 0.05", "KS Bonferroni", "KS distance 0.05")
OURS = "tunesmith"


@dataclass(frozen=True)
class Ready:
    """A reference, what follows from it once, and all rows as requests."""

    reference: Reference
    state: Any
    everything: Profile
    observed: Observed


def main() -> None:
    """Run both parts and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few streams")
    parser.add_argument("--streams", type=int, help="stationary streams")
    parser.add_argument("--drifts", type=int, help="streams of each share of new intents")
    parser.add_argument("--seed", type=int, default=0, help="of the first group; others follow")
    parser.add_argument("--test-traffic", action="store_true", help="traffic of (b) is of test.csv")
    options = parser.parse_args()
    if not BANKING77.is_dir():
        raise SystemExit(f"{BANKING77} is not there: train.csv and test.csv of banking77 are needed")
    streams, drifts = options.streams or (20 if options.quick else 500), options.drifts or (8 if options.quick else 100)
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
          f"numpy {np.__version__}, {SETTINGS}, seed {options.seed}")  # fmt: skip
    started = time.perf_counter()
    stationary = calm(streams, options.seed)
    shifted = drifting(drifts, options.seed, options.test_traffic)
    report(stationary, shifted, time.perf_counter() - started)


def rows_of(*names: str) -> list[Example]:
    """Rows of banking77 as conversations."""
    rows = []
    for name in names:
        with (BANKING77 / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            for line, row in enumerate(csv.DictReader(file), 2):
                asked, label = row["text"], row["category"]
                turns: Any = [{"role": "user", "content": asked}, {"role": "assistant", "content": label}]
                rows.append(Example(turns, Origin(name, line), label=label))
    return rows


def chosen(profile: Profile, rows: np.ndarray) -> Profile:
    """A profile of some of the rows of another."""
    of = profile.features
    places = np.concatenate([np.arange(of.starts[row], of.starts[row + 1]) for row in rows])
    starts = np.concatenate([[0], np.cumsum(np.diff(of.starts)[rows])])
    return Profile(
        len(rows),
        {name: values[rows] for name, values in profile.numbers.items()},
        {name: values[rows] for name, values in profile.categories.items()},
        Features(starts, of.columns[places], of.counts[places]),
        profile.shared,
    )


def ready(everything: Profile, rows: np.ndarray) -> Ready:
    """A reference made of some rows; all rows are observed against it, so that windows only pick from them."""
    reference = Reference(chosen(everything, rows))
    return Ready(reference, begin(reference, SETTINGS), everything, reference.observe(everything))


def some(observed: Observed, rows: np.ndarray) -> Observed:
    """The columns of some rows."""
    return Observed(
        {name: values[rows] for name, values in observed.numbers.items()},
        {name: values[rows] for name, values in observed.categories.items()},
        observed.buckets[rows],
        observed.unlikeness[rows],
    )


def first_alarms(made: Ready, windows: list[np.ndarray], is_new: np.ndarray) -> tuple[dict[str, int | None], Any]:
    """Number of the window (from 1) of each method's first alarm, and the share of new intents in our region then."""
    state, region = made.state, None
    found: dict[str, int | None] = dict.fromkeys([OURS, *BASELINES, *(f"{name}, twice" for name in BASELINES)])
    before = dict.fromkeys(BASELINES, False)
    inside, far = made.reference.side.numbers, np.sort(made.reference.observed.unlikeness)
    for number, rows in enumerate(windows, 1):
        observed = some(made.observed, rows)
        window, state = judge(made.reference, chosen(made.everything, rows), observed, 0, SETTINGS, state)
        if window.alarm and found[OURS] is None:
            found[OURS] = number
            region = float(is_new[rows[window.region]].mean())
        p = [window.results[name].p for name in inside]
        distance = kolmogorov_smirnov(far, np.sort(observed.unlikeness))
        p_distance = float(ks_p_value(distance, ROWS, SETTINGS.window))
        now = dict(zip(BASELINES, (min(p) < 0.05, min(p) < 0.05 / len(p), p_distance < 0.05), strict=True))
        for name in BASELINES:
            if now[name] and found[name] is None:
                found[name] = number
            if now[name] and before[name] and found[f"{name}, twice"] is None:
                found[f"{name}, twice"] = number
        before = now
    return found, region


def calm(streams: int, seed: int) -> list[dict[str, int | None]]:
    """(a) First alarms of streams in which nothing changes."""
    examples = rows_of("train", "test")
    everything = build_profile(examples, max_rows=len(examples))
    nothing = np.zeros(len(examples), bool)
    groups = max(1, streams // PER_PROFILE["calm"])
    results = []
    for group in range(groups):
        draw = np.random.default_rng([seed, group])
        order = draw.permutation(len(examples))
        made = ready(everything, order[:ROWS])
        for _ in range(streams // groups):
            traffic = draw.permutation(order[ROWS:])[: WINDOWS * SETTINGS.window].reshape(WINDOWS, -1)
            results.append(first_alarms(made, list(traffic), nothing)[0])
    return results


def drifting(streams: int, seed: int, test_traffic: bool = False) -> dict[str, list[tuple[dict[str, int | None], Any]]]:
    """(b) First alarms in traffic with new intents from the first window on; a window has no row twice."""
    examples = rows_of("train", "test")
    everything = build_profile(examples, max_rows=len(examples))
    labels = everything.categories["answer.label"]
    is_test = np.array([example.origin.file == "test" for example in examples])
    results = defaultdict(list)
    groups = max(1, streams // PER_PROFILE["drifting"])
    for group in range(groups):
        draw = np.random.default_rng([seed, 1, group])
        is_new = np.isin(labels, draw.choice(np.unique(labels), HELD_BACK, replace=False))
        trained, new = (draw.permutation(np.flatnonzero(which & ~is_test)) for which in (~is_new, is_new))
        made, known = ready(everything, trained[:ROWS]), trained[ROWS:]
        if test_traffic:
            known, new = (np.flatnonzero(which & is_test) for which in (~is_new, is_new))
        for name, share in SHARES.items():
            num_new = round(share * SETTINGS.window)
            for _ in range(streams // groups):
                windows = [
                    np.concatenate([
                        draw.choice(known, SETTINGS.window - num_new, replace=False),
                        draw.choice(new, num_new, replace=False),
                    ])
                    for _ in range(DELAY if share else SETTINGS.windows_in_row)
                ]  # fmt: skip
                results[name].append(first_alarms(made, windows, is_new))
    return results


def report(
    stationary: list[dict[str, int | None]], shifted: dict[str, list[tuple[dict[str, int | None], Any]]], seconds: float
) -> None:
    """Tables, then the figures as JSON."""
    false = {name: sum(one[name] is not None for one in stationary) / len(stationary) for name in stationary[0]}
    print(f"\n(a) {len(stationary)} stationary streams of {WINDOWS} windows of {SETTINGS.window}: share with an alarm")
    for name, share in false.items():
        print(f"  {name:28} {100 * share:5.1f} %")
    print("\n(b) windows until the alarm: median (90th percentile), share within 500 requests, share ever")
    delays: dict[str, Any] = {}
    for share, found in shifted.items():
        print(f"  new intents {share}, {len(found)} streams")
        delays[share] = {"streams": len(found)}
        for name in found[0][0]:
            at = np.array([one[name] or np.inf for one, _ in found])
            within, ever = float((at * SETTINGS.window <= 500).mean()), float(np.isfinite(at).mean())
            middle, late = np.quantile(at, [0.5, 0.9], method="higher")
            delays[share][name] = {"median": _number(middle), "p90": _number(late), "within_500": within, "ever": ever,
                                   "first_alarms": [one[name] for one, _ in found]}  # fmt: skip
            print(f"    {name:28} {middle:5.0f} ({late:4.0f})   {100 * within:5.1f} %   {100 * ever:5.1f} %")
        regions = [region for _, region in found if region is not None]
        if regions:
            mostly = float(np.mean([region > 0.5 for region in regions]))
            delays[share]["region_new"], delays[share]["region_mostly"] = float(np.mean(regions)), mostly
            delays[share]["regions"] = regions
            print(f"    of the region {100 * np.mean(regions):.0f} % are new intents, most in {100 * mostly:.0f} %")
    print(f"\n{seconds:.0f} s")
    print(json.dumps({"streams": len(stationary), "false_alarms": false, "drift": delays, "seconds": round(seconds)}))


def _number(value: float) -> int | None:
    return int(value) if np.isfinite(value) else None


if __name__ == "__main__":
    main()
