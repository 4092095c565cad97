"""Whether a run has to stop so that its budget is not crossed."""

from __future__ import annotations

from decimal import Decimal

from tunesmith.errors import PlanError
from tunesmith.plan.ledger.ledger import Ledger
from tunesmith.plan.money import SECONDS_PER_HOUR, usd
from tunesmith.recipe.budget import BudgetSection


class Limit:
    """A recipe's budget beside what is spent of it."""

    def __init__(self, section: BudgetSection) -> None:
        self.max_usd = None if section.max_usd is None else Decimal(str(section.max_usd))
        self.max_hours = section.max_hours

    def reached(self, spent: Decimal, hours: float, usd_per_hour: Decimal, reserve: float) -> str | None:
        """Why the run has to stop now, when stopping with a checkpoint takes `reserve` seconds; None when it may go on.

        `spent` dollars and `hours` are those of all starts, `usd_per_hour` what the machines of the moment cost.
        """
        behind = spent + usd_per_hour * Decimal(str(reserve)) / SECONDS_PER_HOUR
        if self.max_usd is not None and behind >= self.max_usd:
            return f"{usd(spent)} of the budget's {usd(self.max_usd)} are spent"
        if self.max_hours is not None and hours + reserve / SECONDS_PER_HOUR >= self.max_hours:
            return f"{hours:.2f} of the budget's {self.max_hours:g} hours are over"
        return None

    def check(self, ledger: Ledger, least_usd: Decimal = Decimal(0), least_hours: float = 0.0) -> None:
        """Refuse a start for which too little is left: nothing, or less than gets it to its first evaluation.

        Raises PlanError.
        """
        left = None if self.max_usd is None else self.max_usd - ledger.usd
        if left is not None and (left <= 0 or left < least_usd):
            raise PlanError(
                f"{usd(max(left, Decimal(0)))} are left of the budget of {usd(self.max_usd or left)}"
                + (f", and the first evaluation is {usd(least_usd)} away" if left > 0 else ""),
                where="budget.max_usd",
                fix=f"raise it to {usd(ledger.usd + least_usd)} or more"
                if left > 0
                else "raise it: the run goes on from its last checkpoint",
            )
        hours = None if self.max_hours is None else self.max_hours - ledger.hours
        if hours is not None and (hours <= 0 or hours < least_hours):
            raise PlanError(
                f"{max(hours, 0):.2f} hours are left of the budget of {self.max_hours:g}"
                + (f", and the first evaluation is {least_hours:.2f} hours away" if hours > 0 else ""),
                where="budget.max_hours",
                fix="raise it: the run goes on from its last checkpoint" if hours <= 0 else "raise it",
            )
