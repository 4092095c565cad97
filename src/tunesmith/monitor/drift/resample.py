"""Streams of windows drawn from the reference, compared with the rest of it: many at once."""

from __future__ import annotations

import numpy as np

from tunesmith.monitor.drift.compare import CHI_SQUARE, DIVERGENCE, KS, Test, all_tests
from tunesmith.monitor.drift.likeness import to_unlikeness_among
from tunesmith.monitor.drift.observed import NOT_COUNTED
from tunesmith.monitor.drift.reference import Reference
from tunesmith.monitor.drift.statistics import chi_square, jensen_shannon


class Resampler:
    """The reference's columns as small integers, so that all windows of a stream are counted in one go.

    Gives the same statistics as `compare.measure` on the rows themselves; unlikeness as if the weights of words were
    the smaller reference's too.
    """

    def __init__(self, reference: Reference) -> None:
        self.tests = all_tests(reference.observed)
        self._observed = reference.observed
        self._neighbours = reference.neighbours
        self._codes = {
            name: np.unique(values, return_inverse=True)[1] for name, values in reference.observed.numbers.items()
        }

    def stream(self, order: np.ndarray, size: int, num_windows: int, in_row: int) -> tuple[np.ndarray, np.ndarray]:
        """(windows + runs, tests) statistics and degrees of freedom.

        The first windows * size rows of `order` are the windows, the others what they are compared with; a run is
        `in_row` windows that follow each other, taken together.
        """
        windows = order[: num_windows * size].reshape(num_windows, size)
        rest = order[num_windows * size :]
        shape = 2 * num_windows - in_row + 1, len(self.tests)
        statistic: np.ndarray = np.zeros(shape)
        degrees: np.ndarray = np.zeros(shape, int)
        sizes = _with_runs(np.full(num_windows, size), in_row)[:, None]
        for place, test in enumerate(self.tests):
            if test.kind == KS:
                codes = self._codes[test.name]
                kept = np.cumsum(_counts(codes[rest][None], codes), axis=1) / len(rest)
                counts = _with_runs(np.cumsum(_counts(codes[windows], codes), axis=1), in_row)
                statistic[:, place] = np.abs(counts / sizes - kept).max(axis=1)
            elif test.kind in {CHI_SQUARE, DIVERGENCE}:
                kept, counts = self._counted(test, rest, windows)
                for at, row in enumerate(_with_runs(counts, in_row)):
                    if test.kind == CHI_SQUARE:
                        statistic[at, place], degrees[at, place] = chi_square(kept, row)
                    else:
                        statistic[at, place] = jensen_shannon(kept, row)
            elif self._neighbours is not None:
                chosen: np.ndarray = np.zeros(len(order), bool)
                chosen[rest] = True
                # What is left is the whole reference: neither windows nor it have the windows' rows as neighbours.
                far = to_unlikeness_among(*self._neighbours, chosen)
                sums = _with_runs(far[windows].sum(axis=1), in_row)
                statistic[:, place] = (sums / sizes[:, 0] - far[rest].mean()) / max(1e-9, float(far[rest].std()))
        return statistic, degrees

    def _counted(self, test: Test, rest: np.ndarray, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(cells,) of the rest and (windows, cells)."""
        if test.kind == DIVERGENCE and (buckets := self._observed.buckets) is not None:
            return buckets[rest].sum(axis=0).astype(float), buckets[windows].sum(axis=1).astype(float)
        codes: np.ndarray = self._observed.categories[test.name] - NOT_COUNTED
        return _counts(codes[rest][None], codes)[0, 1:], _counts(codes[windows], codes)[:, 1:]


def _counts(codes: np.ndarray, of: np.ndarray) -> np.ndarray:
    """(windows, codes there are in `of`) how often each comes in each row of (windows, size)."""
    width = int(of.max(initial=0)) + 1
    shifted = codes + width * np.arange(len(codes))[:, None]
    counts = np.bincount(shifted.ravel(), minlength=width * len(codes))
    table: np.ndarray = counts.reshape(len(codes), width).astype(float)
    return table


def _with_runs(values: np.ndarray, in_row: int) -> np.ndarray:
    """The rows, then the sums of `in_row` that follow each other."""
    runs = [values[at : at + in_row].sum(axis=0) for at in range(len(values) - in_row + 1)]
    both: np.ndarray = np.concatenate([values, np.stack(runs)])
    return both
