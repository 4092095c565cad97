"""One source against another, as people saw it: items won, lost and tied, an exact test and interval."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from tunesmith.review.item import TIE, Item, Rating

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Preferences:
    """Items as votes of their raters came out: won by the candidate, lost to the baseline, or neither.

    `win_rate` is the share of wins among items that were won or lost, `low` to `high` its exact interval (Clopper and
    Pearson 1934), `p` that of the exact two-sided sign test. None where nothing was decided.
    """

    candidate: str
    baseline: str
    wins: int
    losses: int
    ties: int
    win_rate: float | None
    low: float | None
    high: float | None
    p: float | None
    confidence: float = CONFIDENCE

    @property
    def items(self) -> int:
        """Items that were judged."""
        return self.wins + self.losses + self.ties

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "items": self.items}


def prefer(items: Iterable[Item], ratings: Iterable[Rating], candidate: str, baseline: str) -> Preferences:
    """Count what was said of pairs of the two, without those that only check raters. Needs scipy where any was decided.

    An item counts once, for the side more of its raters chose: ratings of one item are no independent trials.
    """
    pair = {candidate, baseline}
    ours = {one.id for one in items if one.kind == "pair" and one.gold is None and set(one.sources) == pair}
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    for said in ratings:
        if said.item in ours and said.choice in (candidate, baseline, TIE):
            votes[said.item][said.choice] += 1
    margins = [came[candidate] - came[baseline] for came in votes.values()]
    wins, losses = sum(one > 0 for one in margins), sum(one < 0 for one in margins)
    rate, low, high, p = _exact(wins, losses)
    return Preferences(candidate, baseline, wins, losses, len(margins) - wins - losses, rate, low, high, p)


def _exact(wins: int, losses: int) -> tuple[float | None, float | None, float | None, float | None]:
    if not wins + losses:
        return None, None, None, None
    from scipy.stats import binomtest

    test = binomtest(wins, wins + losses, 0.5)
    interval = test.proportion_ci(CONFIDENCE, method="exact")
    return wins / (wins + losses), float(interval.low), float(interval.high), float(test.pvalue)
