"""Raters by what is known: how often each was right on items planted for that, and who is flagged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from tunesmith.review.item import Item, Rating

LEAST_RIGHT = 0.7
"""Share of known items below which a rater is flagged; who guesses at pairs is right on half of them."""

LEAST_GOLD = 5
"""Known items it takes to flag anybody."""

CONFIDENCE = 0.95


@dataclass(frozen=True)
class RaterCheck:
    """One rater. `accuracy` is the share of `gold` known items that were judged rightly, `low` to `high` its exact
    interval; None without any. `left_share` is how often the left one was chosen, of pairs with a choice."""

    rater: str
    ratings: int
    gold: int
    right: int
    accuracy: float | None
    low: float | None
    high: float | None
    flagged: bool
    left_share: float | None
    median_seconds: float | None


def check_raters(items: Sequence[Item], ratings: Sequence[Rating]) -> list[RaterCheck]:
    """Every rater, by name. Needs scipy where items are known."""
    by_id = {one.id: one for one in items}
    by_rater: dict[str, list[Rating]] = defaultdict(list)
    for said in ratings:
        by_rater[said.rater].append(said)
    return [_check(rater, said, by_id) for rater, said in sorted(by_rater.items())]


def _check(rater: str, ratings: list[Rating], items: dict[str, Item]) -> RaterCheck:
    known = [(items[said.item].gold, said) for said in ratings if items[said.item].gold is not None]
    right = sum(gold is not None and gold.right(said) for gold, said in known)
    accuracy, low, high = right / len(known) if known else None, None, None
    if known:
        from scipy.stats import binomtest

        interval = binomtest(right, len(known)).proportion_ci(CONFIDENCE, method="exact")
        low, high = float(interval.low), float(interval.high)
    sides = [
        items[said.item].shown_to(rater)[0].source == said.choice
        for said in ratings
        if items[said.item].kind == "pair" and said.choice in items[said.item].sources
    ]
    taken = [said.seconds for said in ratings if said.seconds is not None]
    return RaterCheck(
        rater, len(ratings), len(known), right, accuracy, low, high,
        flagged=accuracy is not None and len(known) >= LEAST_GOLD and accuracy < LEAST_RIGHT,
        left_share=sum(sides) / len(sides) if sides else None, median_seconds=median(taken) if taken else None,
    )  # fmt: skip
