"""Compare two contestants on the same rows: difference, bootstrap interval, permutation test.

Rows are drawn, never scores: a resample's value is computed from the sums of its rows' statistics, for both contestants
on the same rows. This is right for a mean and for corpus metrics alike (Koehn 2004, W04-3250, for BLEU).
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.errors import EvaluationError
from tunesmith.evaluate.comparison import Comparison, IntervalMethod
from tunesmith.evaluate.metrics.metric import Floats, Measured, Metric

MIN_ROWS = 10
"""With fewer rows a bootstrap interval is far too narrow."""

FEW_ROWS = 30
"""Below this many rows the interval gets a word of caution."""

INDICES_AT_ONCE = 2_000_000
"""Bounds the memory of a batch of resamples, whatever the number of rows."""

TIE = 1e-9
"""Scores nearer than this are a tie."""

Indices = npt.NDArray[np.int64]


def compare(
    metric: Metric,
    candidate: tuple[str, Measured],
    baseline: tuple[str, Measured],
    *,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Compare a named candidate with a named baseline that was measured on the same rows by the same metric.

    The interval is BCa (Efron 1987), or percentile for a metric that jumps when a row leaves. The p-value is two-sided:
    how often a difference as large appears when each row's two answers are exchanged by the toss of a coin. The same
    seed gives the same numbers. Raises EvaluationError when the two were not measured on the same number of rows.
    """
    ours, theirs = candidate[1], baseline[1]
    num_rows = len(ours.statistics)
    if ours.statistics.shape != theirs.statistics.shape or ours.result.signature != theirs.result.signature:
        raise EvaluationError(
            f"{metric.name} of '{candidate[0]}' and '{baseline[0]}' was not measured on the same rows in the same way",
            fix="measure both on the same rows with the same settings",
        )
    difference = ours.result.value - theirs.result.value
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    method: IntervalMethod = "none"
    if num_rows < MIN_ROWS:
        note = f"no interval from {num_rows} rows: at least {MIN_ROWS} are needed"
    else:
        low, high, method, note = _interval(metric, ours, theirs, confidence, resamples, seed)
        p_value = _p_value(metric, ours.statistics, theirs.statistics, resamples, seed)
    wins, ties, losses = _count_wins(ours.result.per_example, theirs.result.per_example, metric.higher_is_better)
    return Comparison(
        metric=metric.name, title=metric.title, candidate=candidate[0], baseline=baseline[0],
        candidate_value=ours.result.value, baseline_value=theirs.result.value, difference=difference,
        low=low, high=high, confidence=confidence, method=method, p_value=p_value,
        wins=wins, ties=ties, losses=losses, num_rows=num_rows,
        higher_is_better=metric.higher_is_better, resamples=resamples, seed=seed, note=note,
    )  # fmt: skip


def _interval(
    metric: Metric, ours: Measured, theirs: Measured, confidence: float, resamples: int, seed: int
) -> tuple[float, float, IntervalMethod, str]:
    """Ends of the bootstrap interval of the difference, how they were found, and a caution where one is due."""
    from scipy.stats import bootstrap

    num_rows = len(ours.statistics)
    both = np.stack([ours.statistics, theirs.statistics])

    def difference(rows: Indices, axis: int) -> Floats:
        values = metric.corpus(_counts(rows, num_rows) @ both[:, None])
        return values[0, 0] - values[1, 0]

    settings: dict[str, Any] = {
        "vectorized": True, "axis": -1, "confidence_level": confidence, "batch": max(1, INDICES_AT_ONCE // num_rows),
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy warns of degenerate data, which are told apart below
        rows = (np.arange(num_rows),)
        found = bootstrap(
            rows, difference, n_resamples=resamples, method="percentile", rng=np.random.default_rng(seed), **settings
        )
        spread = np.ptp(found.bootstrap_distribution)
        if spread <= TIE:
            constant = ours.result.value - theirs.result.value
            return (
                constant,
                constant,
                "constant",
                "the difference is the same on every row, so the interval has no width",
            )
        ends = found.confidence_interval
        method: IntervalMethod = "percentile"
        if metric.smooth:
            corrected = bootstrap(
                rows, difference, n_resamples=0, method="BCa", bootstrap_result=found, rng=np.random.default_rng(seed),
                **settings,
            ).confidence_interval  # fmt: skip
            if np.isfinite([corrected.low, corrected.high]).all():
                ends, method = corrected, "bca"
    note = f"only {num_rows} rows: the interval is likely a little too narrow" if num_rows < FEW_ROWS else ""
    return float(ends.low), float(ends.high), method, note


def _p_value(metric: Metric, ours: Floats, theirs: Floats, resamples: int, seed: int) -> float:
    """Two-sided p-value of a permutation test that exchanges the two contestants' statistics within rows."""
    from scipy.stats import permutation_test

    num_rows = len(ours)
    total, change = ours.sum(axis=0) + theirs.sum(axis=0), ours - theirs

    def difference(first: Indices, second: Indices, axis: int) -> Floats:
        # A row's index says whose statistics stand first: below num_rows the candidate's, from there on the baseline's.
        kept = (np.moveaxis(first, axis, -1) < num_rows).astype(np.float64)
        sums = kept @ change + theirs.sum(axis=0)
        return metric.corpus(sums) - metric.corpus(total - sums)

    rows = np.arange(num_rows)
    found = permutation_test(
        (rows, rows + num_rows), difference, permutation_type="samples", vectorized=True, axis=-1,
        n_resamples=resamples, batch=max(1, INDICES_AT_ONCE // num_rows), rng=np.random.default_rng(seed),
    )  # fmt: skip
    return float(found.pvalue)


def _counts(rows: Indices, num_rows: int) -> Floats:
    """How often each row was drawn: indices [..., drawn] to counts [..., num_rows]; sums become one product."""
    flat = rows.reshape(-1, rows.shape[-1])
    offsets = np.arange(len(flat))[:, None] * num_rows
    counts = np.bincount((flat + offsets).ravel(), minlength=len(flat) * num_rows)
    return counts.reshape(*rows.shape[:-1], num_rows).astype(np.float64)


def _count_wins(
    ours: tuple[float, ...], theirs: tuple[float, ...], higher_is_better: bool | None
) -> tuple[int, int, int]:
    sign = -1 if higher_is_better is False else 1
    gains = sign * (np.asarray(ours) - np.asarray(theirs))
    wins, losses = int((gains > TIE).sum()), int((gains < -TIE).sum())
    return wins, len(gains) - wins - losses, losses
