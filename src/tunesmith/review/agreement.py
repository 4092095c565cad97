"""Krippendorff's alpha: how far raters agree beyond chance.

From its definition by coincidences (Krippendorff 2011, Computing Krippendorff's Alpha-Reliability,
repository.upenn.edu/asc_papers/43): 1 for agreement, 0 for chance, below for raters who contradict each other. Items
may have any number of ratings; those with fewer than two say nothing.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Level = Literal["nominal", "ordinal", "interval"]
Floats: TypeAlias = "NDArray[np.float64]"

RESAMPLES = 1000
CONFIDENCE = 0.95
LEAST_ITEMS = 5
"""Items below which no interval is given."""


@dataclass(frozen=True)
class Alpha:
    """Agreement on one question. `value` is None where it has none: fewer than two items, or no rating that differs.

    `low` to `high` is its interval by resampling items (percentile bootstrap); `items` those with two or more ratings.
    """

    value: float | None
    low: float | None
    high: float | None
    items: int
    ratings: int
    level: Level


def alpha(units: Sequence[Sequence[Hashable]], level: Level, seed: int = 0) -> Alpha:
    """Agreement on units, each the values its raters gave (missing ones left out).

    Values are any for `nominal`, sorted for `ordinal`, numbers for `interval`.
    """
    paired = [list(unit) for unit in units if len(unit) >= 2]
    counted = sum(len(unit) for unit in paired)
    values: list[Any] = sorted({value for unit in paired for value in unit}, key=_rank)
    if not values:
        return Alpha(None, None, None, 0, 0, level)
    place = {value: index for index, value in enumerate(values)}
    table = np.zeros((len(paired), len(values)))
    for row, unit in enumerate(paired):
        for value in unit:
            table[row, place[value]] += 1
    coincidences = _coincidences(table)
    points = (
        np.array([float(value) for value in values]) if level == "interval" else np.arange(len(values), dtype=float)
    )
    found = _of(coincidences.sum(axis=0), level, points)
    low, high = _interval(coincidences, level, points, seed) if len(paired) >= LEAST_ITEMS else (None, None)
    return Alpha(found, low, high, len(paired), counted, level)


def _rank(value: Any) -> tuple[str, Any]:
    """Numbers by their size, whether JSON wrote 4 or 4.0; other values by their kind and then themselves."""
    return ("" if isinstance(value, int | float) else str(type(value))), value


def _coincidences(table: Floats) -> Floats:
    """For each unit the pairs of values of two different raters, each weighted so that the unit counts its ratings."""
    raters = table.sum(axis=1)
    pairs = table[:, :, None] * table[:, None, :]
    same = np.arange(table.shape[1])
    pairs[:, same, same] -= table
    return np.asarray(pairs / (raters - 1)[:, None, None])


def _of(coincidences: Floats, level: Level, points: Floats) -> float | None:
    totals = coincidences.sum(axis=1)
    apart = _distances(totals, level, points)
    count = totals.sum()
    expected = (np.outer(totals, totals) * apart).sum() / (count - 1) if count > 1 else 0.0
    return None if expected <= 0 else float(1 - (coincidences * apart).sum() / expected)


def _distances(totals: Floats, level: Level, points: Floats) -> Floats:
    """The squared difference of each two values. Between ranks lie the ratings that fell there."""
    if level == "nominal":
        return np.asarray(1.0 - np.eye(len(totals)))
    if level == "interval":
        return np.asarray((points[:, None] - points[None, :]) ** 2)
    middle = np.cumsum(totals) - totals / 2
    return np.asarray((middle[:, None] - middle[None, :]) ** 2)


def _interval(coincidences: Floats, level: Level, points: Floats, seed: int) -> tuple[float | None, float | None]:
    generator = np.random.default_rng(seed)
    num_units = len(coincidences)
    weights = generator.multinomial(num_units, np.full(num_units, 1 / num_units), size=RESAMPLES)
    resampled = np.tensordot(weights.astype(np.float64), coincidences, axes=1)
    found = [one for one in (_of(matrix, level, points) for matrix in resampled) if one is not None]
    if len(found) < RESAMPLES / 2:
        return None, None
    return float(np.quantile(found, (1 - CONFIDENCE) / 2)), float(np.quantile(found, (1 + CONFIDENCE) / 2))
