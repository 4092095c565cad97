"""What all ratings of a name say together: agreement, strengths, means, preferences, and who rated."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from tunesmith.review.agreement import Alpha, alpha
from tunesmith.review.item import UNSURE, Item, Rating
from tunesmith.review.preference import Preferences, prefer
from tunesmith.review.raters import RaterCheck, check_raters
from tunesmith.review.rubric import Rubric
from tunesmith.review.strengths import Strength, strengths

CHOICE = "choice"
"""The question of which answer is better, among the scales."""


@dataclass(frozen=True)
class Mean:
    """One source on one scale. `low` to `high` is the 95 % interval with items as clusters; None with one item."""

    source: str
    scale: str
    mean: float
    low: float | None
    high: float | None
    items: int
    ratings: int


@dataclass(frozen=True)
class Results:
    """All figures. Items that only check raters count for `raters` and for nothing else.

    `trusted` are the same figures without flagged raters; None where nobody is flagged.
    """

    name: str
    items: int
    judged: int
    ratings: int
    unsure: int
    corrections: int
    agreement: dict[str, Alpha]
    strengths: list[Strength]
    preferences: list[Preferences]
    means: list[Mean]
    raters: list[RaterCheck]
    trusted: Results | None = None

    @property
    def flagged(self) -> list[str]:
        """Raters who were wrong too often where the answer is known."""
        return [one.rater for one in self.raters if one.flagged]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        kept = asdict(self)
        kept["preferences"] = [one.to_json() for one in self.preferences]
        kept["trusted"] = self.trusted.to_json() if self.trusted else None
        return {**kept, "flagged": self.flagged}


def conclude(name: str, items: Sequence[Item], ratings: Sequence[Rating], rubric: Rubric) -> Results:
    """Compute them all; once more without flagged raters where there are any."""
    whole = _conclude(name, items, ratings, rubric)
    if not whole.flagged:
        return whole
    trusted = _conclude(name, items, [said for said in ratings if said.rater not in whole.flagged], rubric)
    return Results(**{**vars(whole), "trusted": trusted})


def _conclude(name: str, items: Sequence[Item], ratings: Sequence[Rating], rubric: Rubric) -> Results:
    real = {one.id: one for one in items if one.gold is None}
    said = [one for one in ratings if one.item in real]
    order = [scale.name for scale in rubric.scales]
    return Results(
        name=name, items=len(real), judged=len({one.item for one in said if one.says}), ratings=len(said),
        unsure=sum(not one.says for one in said), corrections=sum(one.correction is not None for one in said),
        agreement=_agreement(said, order), strengths=strengths(items, ratings),
        preferences=_preferences(list(real.values()), said), means=_means(said, order),
        raters=check_raters(items, ratings),
    )  # fmt: skip


def _agreement(ratings: Sequence[Rating], order: Sequence[str]) -> dict[str, Alpha]:
    """Agreement on the choice, and on each scale, whose units are answers: two for a pair."""
    choices: dict[str, list[str]] = defaultdict(list)
    values: dict[str, dict[tuple[str, str], list[int]]] = defaultdict(lambda: defaultdict(list))
    for one in ratings:
        if one.choice is not None and one.choice != UNSURE:
            choices[one.item].append(one.choice)
        for source, scales in one.scales.items():
            for scale, value in scales.items():
                values[scale][one.item, source].append(value)
    found = {CHOICE: alpha(list(choices.values()), "nominal")} if choices else {}
    for scale in _sorted(values, order):
        found[scale] = alpha(list(values[scale].values()), "ordinal")
    return found


def _preferences(items: Sequence[Item], ratings: Sequence[Rating]) -> list[Preferences]:
    """Each two sources that were compared; the one with more wins is the candidate."""
    pairs = {tuple(sorted(one.sources)) for one in items if one.kind == "pair"}
    sources = sorted({source for pair in pairs for source in pair})
    found = [
        prefer(items, ratings, first, second) for first, second in combinations(sources, 2) if (first, second) in pairs
    ]
    return [
        one if one.wins >= one.losses else prefer(items, ratings, one.baseline, one.candidate)
        for one in found
        if one.items
    ]


def _means(ratings: Sequence[Rating], order: Sequence[str]) -> list[Mean]:
    values: dict[tuple[str, str], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for one in ratings:
        for source, scales in one.scales.items():
            for scale, value in scales.items():
                values[source, scale][one.item].append(value)
    rank = {scale: place for place, scale in enumerate(_sorted({scale for _, scale in values}, order))}
    keys = sorted(values, key=lambda key: (rank[key[1]], key[0]))
    return [_mean(source, scale, list(values[source, scale].values())) for source, scale in keys]


def _mean(source: str, scale: str, by_item: list[list[int]]) -> Mean:
    """The mean over ratings, and its interval from the items' sums: a ratio whose clusters are items."""
    counts = np.array([len(one) for one in by_item], dtype=float)
    sums = np.array([sum(one) for one in by_item], dtype=float)
    mean = float(sums.sum() / counts.sum())
    low = high = None
    if len(by_item) > 1:
        from scipy.stats import t

        rest = sums - mean * counts
        factor = len(by_item) / (len(by_item) - 1)
        half = float(t.ppf(0.975, len(by_item) - 1) * np.sqrt(factor * (rest**2).sum()) / counts.sum())
        low, high = mean - half, mean + half
    return Mean(source, scale, mean, low, high, len(by_item), round(counts.sum()))


def _sorted(scales: Any, order: Sequence[str]) -> list[str]:
    """In the rubric's order; those it no longer has come last."""
    return sorted(scales, key=lambda one: (order.index(one) if one in order else len(order), one))
