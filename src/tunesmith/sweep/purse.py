"""The dollars of a sweep: spent, set aside for what runs, and left."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal


@dataclass
class Purse:
    """No trial starts that is not expected to fit into what is left; what it does not use goes back.

    Dollars are counted as they accrue, so that the sweep as a whole can be stopped at the report at which `max_usd` is
    reached.
    """

    max_usd: Decimal
    spent_by: dict[str, Decimal] = field(default_factory=dict)
    expected_of: dict[str, Decimal] = field(default_factory=dict)

    @property
    def spent(self) -> Decimal:
        """By all trials, ended and running."""
        return sum(self.spent_by.values(), Decimal(0))

    @property
    def set_aside(self) -> Decimal:
        """What running trials are expected to spend from now on."""
        unspent = (usd - self.spent_by.get(trial_id, Decimal(0)) for trial_id, usd in self.expected_of.items())
        return sum((max(usd, Decimal(0)) for usd in unspent), Decimal(0))

    @property
    def left(self) -> Decimal:
        """What a new trial may be expected to cost."""
        return max(self.max_usd - self.spent - self.set_aside, Decimal(0))

    @property
    def is_empty(self) -> bool:
        """Whether everything that runs must stop."""
        return self.spent >= self.max_usd

    def set_aside_for(self, trial_id: str, usd: Decimal) -> None:
        """A trial starts, or its forecast is corrected: `usd` is what it is expected to cost as a whole."""
        self.expected_of[trial_id] = usd

    def pay(self, trial_id: str, usd: Decimal) -> None:
        """A trial has cost so much so far; less than it had cost before changes nothing."""
        self.spent_by[trial_id] = max(usd, self.spent_by.get(trial_id, Decimal(0)))

    def settle(self, trial_id: str) -> None:
        """A trial has ended: what it did not spend is free again."""
        self.expected_of.pop(trial_id, None)
