"""Stop what is worse than the median at the same dollars (Golovin et al. 2017, doi:10.1145/3097983.3098043)."""

from __future__ import annotations

from decimal import Decimal
from statistics import median

from tunesmith.sweep.schedule.base import Decision, Scheduler

FEWEST = 2
"""Other trials must have spent as much before their median means something."""


class DollarMedian(Scheduler):
    """After `min_share` of a whole trial's dollars, every report is compared."""

    def __init__(self, full_usd: Decimal, min_share: float = 0.1) -> None:
        super().__init__(full_usd)
        self.min_share = min_share

    def _decide(self, trial_id: str, before: float, usd: float) -> Decision:
        if usd < self.min_share * self.full_usd:
            return "continue"
        reached = {name: curve.at(usd) for name, curve in self.curves.items()}
        own = reached.pop(trial_id)
        others = [loss for loss in reached.values() if loss is not None]
        worse = own is not None and len(others) >= FEWEST and own > median(others)
        return "stop" if worse else "continue"
