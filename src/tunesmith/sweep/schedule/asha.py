"""Asynchronous successive halving with dollars in place of steps (Li et al. 2018, arXiv:1810.05934)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Decimal

from tunesmith.sweep.schedule.base import Decision, Outlook, Scheduler


class DollarAsha(Scheduler):
    """At each amount (a rung) a trial rests, unless it is among the best of all that spent as much.

    The best are one in `reduction_factor`. When more trials have come to a rung, one that rests there may be among the
    best of them: it is called again (`resumable`). A trial that had its end for less stands for what its loss was: a
    dear trial must beat what was had for less. Trials are compared by their `outlook`, the loss they are expected to
    end with, where one is given: at the same dollars, a short training is further on than a long one.
    """

    rests = True

    def __init__(
        self,
        full_usd: Decimal,
        reduction_factor: float = 2.5,
        num_rungs: int = 1,
        outlook: Outlook | None = None,
    ) -> None:
        super().__init__(full_usd)
        self.reduction_factor, self.num_rungs, self.outlook = reduction_factor, num_rungs, outlook
        self.passed: dict[str, int] = {}

    @property
    def rungs(self) -> list[float]:
        """The amounts in US dollars at which trials are compared, rising."""
        return [self.full_usd / self.reduction_factor**power for power in range(self.num_rungs, 0, -1)]

    def next_stop(self, trial_id: str) -> float:
        """The amount at which a trial is next compared; infinity behind the last."""
        return [*self.rungs, math.inf][self.passed.get(trial_id, 0)]

    def resumable(self, resting: Iterable[str]) -> list[str]:
        """Resting trials that are now among the best of their rung: those of the highest rung first, then the best."""
        found = []
        for rung in range(self.num_rungs, 0, -1):
            best = self._best(rung)
            here = {trial_id for trial_id in resting if self.passed.get(trial_id) == rung}
            found += [trial_id for trial_id in best if trial_id in here]
        return found

    def _decide(self, trial_id: str, before: float, usd: float) -> Decision:
        passed = sum(rung <= usd for rung in self.rungs)
        if passed <= self.passed.get(trial_id, 0):
            return "continue"
        self.passed[trial_id] = passed
        return "continue" if trial_id in self._best(passed) else "stop"

    def _best(self, rung: int) -> list[str]:
        """The best one in `reduction_factor` of the trials that came as far as a rung (from 1), the best first."""
        usd = self.rungs[rung - 1]
        reached = {name: curve.at(usd) for name, curve in self.curves.items()}
        losses = {name: loss for name, loss in reached.items() if loss is not None}
        if self.outlook:
            losses = {name: self.outlook(name, losses[name]) for name in losses}
        return sorted(losses, key=lambda name: losses[name])[: int(len(losses) / self.reduction_factor)]
