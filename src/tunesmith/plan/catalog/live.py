"""Offers of today, asked of `gpuhunt` (https://github.com/dstackai/gpuhunt), which collects them from many clouds."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from types import ModuleType
from typing import Any

from tunesmith.errors import PlanError
from tunesmith.plan.catalog.table import GIBIBYTE, accelerators
from tunesmith.plan.hardware import Machine
from tunesmith.plan.money import Market, Price

PROVIDERS = {"aws": "aws", "gcp": "gcp", "azure": "azure", "runpod": "runpod", "lambdalabs": "lambda"}
"""Provider as gpuhunt names it -> as the table does."""

NAMES = {"A6000": "RTX A6000", "RTX3090": "RTX 3090", "RTX4090": "RTX 4090", "RTX6000Ada": "RTX 6000 Ada"}
NETWORK = 1.25e9
"""Bytes a second, assumed of a machine that only gpuhunt knows: ten gigabits."""


def live_machines(known: Iterable[Machine], today: date | None = None) -> list[Machine]:
    """Machines with the cheapest offer of each market; specifications from the table where it has the machine.

    Raises PlanError where gpuhunt is not installed or reaches nobody.
    """
    gpuhunt = _gpuhunt()
    try:
        items = [item for name in PROVIDERS for item in gpuhunt.query(provider=name, min_gpu_count=1)]
    except Exception as error:  # each provider has errors of its own
        raise PlanError(
            f"live prices cannot be had ({type(error).__name__}: {error})",
            where="--live",
            fix="check the network, or leave --live out: the table in the package has dated prices",
        ) from None
    return merge_offers(items, known, today or date.today())


def merge_offers(items: Iterable[Any], known: Iterable[Machine], today: date) -> list[Machine]:
    """Offers as gpuhunt gives them (its CatalogItem), the cheapest region of each machine and market."""
    table = {machine.key: machine for machine in known}
    cheapest: dict[tuple[str, Market], Any] = {}
    for item in items:
        if item.provider not in PROVIDERS or not item.gpu_name:
            continue
        place = (f"{PROVIDERS[item.provider]}:{item.instance_name}", market_of(item))
        if place not in cheapest or item.price < cheapest[place].price:
            cheapest[place] = item
    found: dict[str, Machine] = {}
    for (key, market), item in cheapest.items():
        base = found.get(key) or table.get(key) or _machine(key, item)
        if base is None:
            continue
        price = Price(Decimal(str(item.price)), market, today, f"offer in {item.location}, read by gpuhunt")
        others = tuple(other for other in base.prices if other.market != market)
        found[key] = Machine(**{**base.__dict__, "prices": (*others, price)})
    return list(found.values())


def market_of(item: Any) -> Market:
    """The market of an offer."""
    return "spot" if item.spot else "on-demand"


def _machine(key: str, item: Any) -> Machine | None:
    """A machine that the table lacks, of a GPU that it has."""
    wide = f"{item.gpu_name}-{round(item.gpu_memory or 0)}GB"
    names = (NAMES.get(item.gpu_name, item.gpu_name), wide, f"{item.gpu_name} SXM")
    accelerator = next((accelerators()[name] for name in names if name in accelerators()), None)
    if accelerator is None:
        return None
    provider, _, name = key.partition(":")
    return Machine(
        provider=provider, name=name, region=item.location, accelerator=accelerator, num_accelerators=item.gpu_count,
        cpus=item.cpu, memory_bytes=int(item.memory * GIBIBYTE), network=NETWORK, prices=(),
    )  # fmt: skip


def _gpuhunt() -> ModuleType:
    try:
        import gpuhunt
    except ImportError:
        raise PlanError(
            "live prices need the package gpuhunt, which is not installed",
            where="--live",
            fix="pip install 'tunesmith[prices]', or leave --live out: the table in the package has dated prices",
        ) from None
    module: ModuleType = gpuhunt
    return module
