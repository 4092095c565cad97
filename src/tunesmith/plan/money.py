"""Money: decimals in US dollars, each with the price it comes from, that price's date and its source."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Literal

Market = Literal["on-demand", "spot", "owned"]
"""How a machine is had: rented until given back, rented until somebody pays more, or one's own."""

SECONDS_PER_HOUR = 3600


@dataclass(frozen=True)
class Price:
    """What a machine costs for an hour, where that was read, and when."""

    usd_per_hour: Decimal
    market: Market
    date: date
    source: str

    def of(self, seconds: float) -> Decimal:
        """US dollars for one machine held so long."""
        return self.usd_per_hour * Decimal(str(seconds)) / SECONDS_PER_HOUR

    def to_json(self) -> dict[str, Any]:
        """Plain values; the amount as text, so that nothing is rounded."""
        return {
            "usd_per_hour": str(self.usd_per_hour),
            "market": self.market,
            "date": self.date.isoformat(),
            "source": self.source,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Price:
        """The price that `to_json` wrote."""
        return cls(
            Decimal(values["usd_per_hour"]), values["market"], date.fromisoformat(values["date"]), values["source"]
        )


def usd(amount: Decimal) -> str:
    """An amount as people read it: cents, or two significant digits where there would be none."""
    if amount == 0 or abs(amount) >= Decimal("0.1"):
        return f"${amount:,.2f}"
    return f"${amount:.2g}" if abs(amount) >= Decimal("0.0001") else f"${amount:.1e}"
