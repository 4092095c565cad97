"""What a cluster costs an hour: its head always, its workers while they are there."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tunesmith.cluster.launch.groups import Group
from tunesmith.plan.catalog import Catalog
from tunesmith.plan.money import Market, Price

NOT_COUNTED = "disks, addresses, storage and traffic are not counted"


@dataclass(frozen=True)
class PricedGroup:
    """A group and the price of one of its machines, None where the catalog has none."""

    group: Group
    price: Price | None

    @property
    def most_usd_per_hour(self) -> Decimal | None:
        """With as many machines as there may be."""
        return self.price.usd_per_hour * self.group.most if self.price else None

    def to_json(self) -> dict[str, Any]:
        """Plain values; amounts as text."""
        most = self.most_usd_per_hour
        return {
            "group": self.group.name,
            "machine": self.group.machine,
            "market": self.group.market,
            "head": self.group.head,
            "least": self.group.least,
            "most": self.group.most,
            "price": self.price.to_json() if self.price else None,
            "most_usd_per_hour": None if most is None else str(most),
        }


@dataclass(frozen=True)
class Quote:
    """The prices of a launcher file's groups."""

    groups: tuple[PricedGroup, ...]

    @property
    def least_usd_per_hour(self) -> Decimal:
        """Of what is always there, so far as prices are known."""
        return sum((one.price.usd_per_hour * one.group.least for one in self.groups if one.price), Decimal(0))

    @property
    def most_usd_per_hour(self) -> Decimal:
        """With every group at its maximum, so far as prices are known."""
        return sum((one.most_usd_per_hour or Decimal(0) for one in self.groups), Decimal(0))

    @property
    def unknown(self) -> list[str]:
        """Machines without a price."""
        return sorted({f"{one.group.machine} ({one.group.market})" for one in self.groups if one.price is None})


def quote(groups: list[Group], catalog: Catalog) -> Quote:
    """Price every group. Prices are those of one region, whichever the file names; each says which."""
    return Quote(tuple(PricedGroup(group, price_of(catalog, group.machine, group.market)) for group in groups))


def price_of(catalog: Catalog, machine: str, market: Market) -> Price | None:
    """The price of a machine for an hour, None where it is not known."""
    known = catalog.rented(machine)
    return known.price(market) if known else None
