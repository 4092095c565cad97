"""What a cloud says that a cluster has: machines with their launch time, and whatever else costs money."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from tunesmith.cluster.launch.file import ClusterError, LauncherFile
from tunesmith.cluster.launch.prices import price_of
from tunesmith.plan.catalog import Catalog
from tunesmith.plan.money import Market, Price


@dataclass(frozen=True)
class RentedMachine:
    """A machine of the cluster. `machine` is its key in the catalog; `ended` is None while it costs money."""

    id: str
    group: str
    machine: str
    market: Market
    state: str
    address: str | None
    launched: datetime
    ended: datetime | None

    def price(self, catalog: Catalog) -> Price | None:
        """For an hour."""
        return price_of(catalog, self.machine, self.market)

    def usd(self, catalog: Catalog, now: datetime) -> Decimal | None:
        """Since it was launched, None without a price."""
        price = self.price(catalog)
        return price.of(max(0.0, ((self.ended or now) - self.launched).total_seconds())) if price else None

    def to_json(self, catalog: Catalog, now: datetime) -> dict[str, Any]:
        """Plain values; amounts as text."""
        price, usd = self.price(catalog), self.usd(catalog, now)
        return {
            "id": self.id, "group": self.group, "machine": self.machine, "market": self.market, "state": self.state,
            "address": self.address, "launched": self.launched.isoformat(),
            "ended": self.ended.isoformat() if self.ended else None,
            "price": price.to_json() if price else None, "usd": None if usd is None else str(usd),
        }  # fmt: skip


@dataclass(frozen=True)
class Left:
    """Something that may cost money: `kind` is machine, disk or address."""

    kind: str
    id: str
    state: str


class View(Protocol):
    """The API of a cloud, asked about one cluster."""

    def machines(self) -> list[RentedMachine]:
        """Every machine with the cluster's name, those that ended lately too. Raises ClusterError."""

    def left(self) -> list[Left]:
        """What costs money, or will again: machines in any state but ended, disks, addresses. Raises ClusterError."""


CONSOLES = {"azure": "https://portal.azure.com, the resource group: nothing but its network may be there"}
"""Provider whose API is not asked here -> where its user must look."""


def view_of(file: LauncherFile) -> View | None:
    """The API that can be asked about the cluster, None where it is not asked. Raises ClusterError."""
    provider = file.values["provider"]
    if file.provider == "aws":
        from tunesmith.cluster.launch.aws import Aws

        return Aws(provider["region"], file.name)
    if file.provider == "gcp":
        from tunesmith.cluster.launch.gcp import Gcp

        return Gcp(provider["project_id"], file.name)
    return None


def needed_view(file: LauncherFile, verb: str) -> View:
    """As `view_of`. Raises ClusterError where the cloud is not asked."""
    view = view_of(file)
    if view is None:
        where = CONSOLES.get(file.provider)
        raise ClusterError(
            f"{verb} asks AWS and Google Cloud only, and provider.type is {file.provider}",
            where=file.place("provider", "type"),
            fix=f"look at {where}" if where else f"`ray exec {file.path} 'ray status'` lists its nodes",
        )
    return view
