"""What a run may be placed on: accelerators, machines, and how many of which at what price."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from tunesmith.plan.money import Market, Price


@dataclass(frozen=True)
class Accelerator:
    """A GPU. Bytes, bytes a second, and dense floating-point operations a second by type; None where it has none.

    `link` is the bandwidth to the other GPUs of a machine in one direction, over NVLink or PCIe; `watts` its board
    power; `ray_name` what Ray calls it; `bfloat16` whether it computes in that type. `source` names the data sheet.
    """

    name: str
    ray_name: str | None
    memory_bytes: int
    bandwidth: float
    flops_float32: float
    flops_16bit: float
    bfloat16: bool
    link: float
    watts: float
    source: str


@dataclass(frozen=True)
class Machine:
    """A type of machine that can be rented or owned.

    `memory_bytes` is that of the host, `network` its bandwidth to other machines in bytes a second, `interruptions` the
    share of spot machines lost in an hour, None where it is not known; `bfloat16` whether its processor is known to
    have instructions for that type.
    """

    provider: str
    name: str
    region: str
    accelerator: Accelerator | None
    num_accelerators: int
    cpus: int
    memory_bytes: int
    network: float
    prices: tuple[Price, ...]
    interruptions: float | None = None
    bfloat16: bool = False

    @property
    def key(self) -> str:
        """What a recipe writes in `resources.machine`: `aws:g5.xlarge`."""
        return f"{self.provider}:{self.name}"

    def price(self, market: Market) -> Price | None:
        """The price in that market, None where it is not offered."""
        return next((price for price in self.prices if price.market == market), None)


@dataclass(frozen=True)
class Placement:
    """So many machines of a type, in a market."""

    machine: Machine
    count: int
    market: Market

    @property
    def workers(self) -> int:
        """One for each GPU, or one for each machine without."""
        return self.count * max(1, self.machine.num_accelerators)

    @property
    def usd_per_hour(self) -> Decimal:
        """Of all machines together. Raises LookupError where the machine is not offered in that market."""
        price = self.machine.price(self.market)
        if price is None:
            raise LookupError(f"{self.machine.key} has no {self.market} price")
        return price.usd_per_hour * self.count
