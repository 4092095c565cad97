"""What a run has cost: machine-hours at the price fixed at launch, in its folder, over all its starts."""

from tunesmith.plan.ledger.ledger import Entry, Ledger
from tunesmith.plan.ledger.limit import Limit
from tunesmith.plan.ledger.meter import Meter
from tunesmith.plan.ledger.now import cost_at

__all__ = ["Entry", "Ledger", "Limit", "Meter", "cost_at"]
