"""What a run has cost at this moment, for those that do not keep its ledger: workers, and who looks on."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

from tunesmith.plan.money import SECONDS_PER_HOUR
from tunesmith.store.durable import write_whole

COST = "cost.json"
STALE_SECONDS = 60.0
"""So long after its last word a meter is taken to be gone: nothing more accrues."""


def tell(folder: Path, usd: Decimal, at: float, usd_per_hour: Decimal) -> None:
    """Leave word of what was spent until `at`, and at which rate more is."""
    content = {"usd": str(usd), "at": at, "usd_per_hour": str(usd_per_hour)}
    write_whole(folder / COST, json.dumps(content).encode())


def cost_at(folder: Path, now: float) -> Decimal | None:
    """Dollars spent until `now`, in seconds since the epoch; None where nobody keeps count."""
    try:
        told = json.loads((folder / COST).read_bytes())
        since = min(max(0.0, now - told["at"]), STALE_SECONDS)
        return Decimal(told["usd"]) + Decimal(told["usd_per_hour"]) * Decimal(str(since)) / SECONDS_PER_HOUR
    except (OSError, ValueError, KeyError, TypeError):
        return None
