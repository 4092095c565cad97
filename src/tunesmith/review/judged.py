"""Two sources as those raters judged them who can be trusted: for a gate, and for an experiment's report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tunesmith.review.agreement import Alpha, alpha
from tunesmith.review.item import TIE, Item, Rating
from tunesmith.review.preference import CONFIDENCE, Preferences, prefer
from tunesmith.review.raters import check_raters


@dataclass(frozen=True)
class Judged:
    """Items won, lost and tied, without the raters who are too often wrong where the answer is known (`left_out`).

    `share` is that of wins among all items that were judged, a tie as half a win; `low` to `high` its interval. None
    where nothing was judged. `everybody` are the items as they came with those raters, `agreement` is on the choice.
    """

    preferences: Preferences
    share: float | None
    low: float | None
    high: float | None
    agreement: Alpha
    left_out: tuple[str, ...]
    everybody: Preferences

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        found = self.preferences
        figures = {
            "candidate": found.candidate, "baseline": found.baseline, "items": found.items, "wins": found.wins,
            "losses": found.losses, "ties": found.ties, "share": self.share, "low": self.low, "high": self.high,
            "confidence": found.confidence, "win_rate": found.win_rate, "p": found.p,
            "agreement": asdict(self.agreement), "left_out": list(self.left_out),
        }  # fmt: skip
        counts = {"wins": self.everybody.wins, "losses": self.everybody.losses, "ties": self.everybody.ties}
        return {**figures, "with_them": counts} if self.left_out else figures


def judge(items: Sequence[Item], ratings: Sequence[Rating], candidate: str, baseline: str) -> Judged:
    """What was said of the pairs of the two. `items` and `ratings` are all of a name: those with a known answer show
    whom to trust. Needs numpy, and scipy where anything was decided.
    """
    left_out = tuple(one.rater for one in check_raters(items, ratings) if one.flagged)
    trusted = [one for one in ratings if one.rater not in left_out]
    found = prefer(items, trusted, candidate, baseline)
    everybody = prefer(items, ratings, candidate, baseline) if left_out else found
    choices: dict[str, list[str]] = defaultdict(list)
    pairs = {one.id for one in items if one.gold is None and set(one.sources) == {candidate, baseline}}
    for said in trusted:
        if said.item in pairs and said.choice in (candidate, baseline, TIE):
            choices[said.item].append(said.choice)
    return Judged(found, *share_of(found), alpha(list(choices.values()), "nominal"), left_out, everybody)


def share_of(found: Preferences) -> tuple[float | None, float | None, float | None]:
    """The share of wins among all items, a tie as half a win, and its interval.

    That of Clopper and Pearson (1934) for so many wins and half wins of so many items: exact without ties and too wide
    with them, since a half that is always there varies less than a win that comes half the time.
    """
    if not found.items:
        return None, None, None
    from scipy.stats import beta

    wins, losses, tail = found.wins + found.ties / 2, found.losses + found.ties / 2, (1 - CONFIDENCE) / 2
    low = float(beta.ppf(tail, wins, losses + 1)) if wins else 0.0
    high = float(beta.ppf(1 - tail, wins + 1, losses)) if losses else 1.0
    return wins / found.items, low, high
