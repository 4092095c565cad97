"""Asynchronous successive halving with dollars in place of steps (Li et al. 2018, arXiv:1810.05934)."""

from __future__ import annotations

from decimal import Decimal

from tunesmith.sweep.schedule.base import Decision, Scheduler


class DollarAsha(Scheduler):
    """At each amount, a trial goes on if it is among the best of all that spent as much: one in `reduction_factor`.

    A trial that had its end for less stands for what its loss was: a dear trial must beat what was had for less.
    """

    def __init__(self, full_usd: Decimal, reduction_factor: float = 3.0, num_rungs: int = 2) -> None:
        super().__init__(full_usd)
        self.reduction_factor = reduction_factor
        self.num_rungs = num_rungs

    @property
    def rungs(self) -> list[float]:
        """The amounts in US dollars at which trials are compared, rising."""
        return [self.full_usd / self.reduction_factor**power for power in range(self.num_rungs, 0, -1)]

    def _decide(self, trial_id: str, before: float, usd: float) -> Decision:
        crossed = [rung for rung in self.rungs if before < rung <= usd]
        if not crossed:
            return "continue"
        reached = {name: curve.at(crossed[-1]) for name, curve in self.curves.items()}
        losses = {name: loss for name, loss in reached.items() if loss is not None}
        better = sum(loss < losses[trial_id] for loss in losses.values())
        return "continue" if better < max(1, int(len(losses) / self.reduction_factor)) else "stop"
