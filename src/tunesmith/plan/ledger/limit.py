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

    def check(self, ledger: Ledger) -> None:
        """Refuse a start for which nothing is left. Raises PlanError."""
        fix = "raise it: the run goes on from its last checkpoint"
        if self.max_usd is not None and ledger.usd >= self.max_usd:
            what = f"nothing is left of the budget of {usd(self.max_usd)}: {usd(ledger.usd)} are spent"
            raise PlanError(what, where="budget.max_usd", fix=fix)
        if self.max_hours is not None and ledger.hours >= self.max_hours:
            what = f"nothing is left of the budget of {self.max_hours:g} hours: {ledger.hours:.2f} are over"
            raise PlanError(what, where="budget.max_hours", fix=fix)
