"""The machine that a recipe names and its price: the same for the plan, the ledger and a sweep."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from tunesmith.errors import PlanError
from tunesmith.plan.catalog import Catalog
from tunesmith.plan.hardware import Machine
from tunesmith.plan.money import Market, Price
from tunesmith.recipe.resources import ResourcesSection

OWN = "the recipe, resources.usd_per_hour"


def market_of(resources: ResourcesSection) -> Market:
    """How the recipe's machine is paid for; the one at hand, where it names none, is one's own."""
    return resources.market if resources.machine else "owned"


def machine_of(resources: ResourcesSection, catalog: Catalog) -> Machine:
    """The machine of `resources.machine`, else the one at hand, at `resources.usd_per_hour` where that is given.

    Raises PlanError for a machine that is not in the catalog.
    """
    machine = catalog.machine(resources.machine or "here")
    if resources.usd_per_hour is None:
        return machine
    market, today = market_of(resources), datetime.now(UTC).date()
    own = Price(Decimal(str(resources.usd_per_hour)), market, today, OWN)
    return replace(machine, prices=(own, *(price for price in machine.prices if price.market != market)))


def price_of(resources: ResourcesSection, catalog: Catalog) -> Price:
    """What one machine of a run costs. Raises PlanError for a machine that is not offered in the recipe's market."""
    machine = machine_of(resources, catalog)
    price = machine.price(market_of(resources))
    if price is None:
        offered = ", ".join(one.market for one in machine.prices) or "none"
        raise PlanError(
            f"{machine.key} has no {resources.market} price (known: {offered})",
            where="resources.market",
            fix="choose another market, or name the price in resources.usd_per_hour",
        )
    return price
