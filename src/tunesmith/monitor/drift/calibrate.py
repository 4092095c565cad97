"""How strong evidence must be: from streams of windows drawn from the reference itself, where nothing changes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tunesmith.monitor.drift.compare import DIVERGENCE, Chance, Test, p_values
from tunesmith.monitor.drift.reference import Reference
from tunesmith.monitor.drift.resample import Resampler

HORIZON = 30
"""Windows within which the chance of a false alarm is what the recipe allows."""

LEAN = 0.25
"""In each window of a row the descriptor that alarms must by itself be at least so unlikely."""

STREAMS = 200
TAIL = 0.2
CAUTION = 0.8
"""Part of the false alarms that is aimed at: a threshold from so few streams errs to either side."""

MAX_WINDOWS = 10
MIN_ROWS = 200
"""Rows of a profile below which nothing can be said."""


@dataclass(frozen=True)
class Calibration:
    """`threshold` for the corrected p-value of windows in a row; `chance` of the vocabulary's divergence."""

    threshold: float
    chance: Chance


def calibrate(
    reference: Reference, window: int, in_row: int, false_alarms: float, streams: int = STREAMS, seed: int = 0
) -> Calibration:
    """Split the reference again and again into a smaller reference and windows that follow each other.

    No row is in both, and all windows of a stream meet the same reference, whose own error they share. The sizes keep
    the proportion of window and reference that there will be. What is needed is rarer than what so few streams show:
    the tail is continued as an exponential one of the logarithm (Weissman 1978).
    """
    coded = Resampler(reference)
    num_rows = len(reference)
    num_windows = int(np.clip(num_rows // (2 * window), in_row + 2, MAX_WINDOWS))
    size = int(num_rows / (num_rows / window + num_windows))
    rest = num_rows - num_windows * size
    draw = np.random.default_rng(seed)
    drawn = [coded.stream(draw.permutation(num_rows), size, num_windows, in_row) for _ in range(streams)]
    statistic, degrees = (np.array([pair[part] for pair in drawn]) for part in range(2))
    chance = _chance(coded.tests, statistic[:, :num_windows], (rest, size))
    alone, together = (
        p_values(coded.tests, statistic[:, rows], degrees[:, rows], sizes, chance)
        for rows, sizes in (
            (slice(None, num_windows), (rest, size)),
            (slice(num_windows, None), (rest, size * in_row)),
        )
    )
    worst = np.array([min(scores(coded.tests, one, run, in_row)) for one, run in zip(alone, together, strict=True)])
    ends, all_ends = num_windows - in_row + 1, max(1, HORIZON - in_row + 1)
    share = 1 - (1 - CAUTION * false_alarms) ** (ends / all_ends)
    return Calibration(_threshold(worst, share), chance)


def scores(tests: list[Test], alone: np.ndarray, together: np.ndarray, in_row: int) -> list[float]:
    """The corrected p-value at the end of each run of windows: the least of those that lean in all of its windows.

    `alone` (windows, tests), `together` (runs, tests).
    """
    weights = np.array([test.weight for test in tests])
    result = []
    for end, run in enumerate(together):
        leans = (alone[end : end + in_row] <= LEAN).all(axis=0)
        result.append(float(np.where(leans, run / weights, 1.0).min(initial=1.0)))
    return result


def _threshold(worst: np.ndarray, share: float) -> float:
    """The value below which at most `share` of the streams' least p-values lie."""
    depth = np.sort(-np.log(worst))[::-1]
    num_tail = max(2, int(TAIL * len(depth)))
    if share >= num_tail / len(depth):
        return float(np.exp(-np.quantile(depth, 1 - share)))
    slope = float((depth[:num_tail] - depth[num_tail]).mean())
    return float(np.exp(-(depth[num_tail] + slope * np.log(num_tail / (len(depth) * share)))))


def _chance(tests: list[Test], statistic: np.ndarray, sizes: tuple[int, int]) -> Chance:
    place = next((place for place, test in enumerate(tests) if test.kind == DIVERGENCE), None)
    if place is None:
        return Chance()
    scaled = statistic[..., place] * (sizes[0] * sizes[1] / (sizes[0] + sizes[1]))
    return Chance(max(1e-9, float(scaled.mean())), max(1e-12, float(scaled.var())))
