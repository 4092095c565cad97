"""A layout with what it holds, how long it takes and what it costs: plain values that can be kept beside a version."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, Literal

from tunesmith.plan.money import Market, Price
from tunesmith.plan.search.layout import Settings

Verdict = Literal["FITS", "TIGHT", "OOM"]

TIGHT = 0.9
"""From this share of the memory on a layout is tight: estimates are not better than a tenth."""


@dataclass(frozen=True)
class Held:
    """One term of a worker's memory: what, how many bytes, where, and how they were counted."""

    what: str
    bytes: int
    where: str
    formula: str


@dataclass(frozen=True)
class Option:
    """One way to do the run, planned.

    `device_bytes` of one GPU (0 without), `host_bytes` of all workers of a machine; the limits are what there is.
    `seconds` by part; `interruption_seconds` what losing spot machines is expected to add; `usd` is for all of it.
    `rates` says what the seconds rest on.
    """

    machine: str
    accelerator: str | None
    num_accelerators: int
    count: int
    market: Market
    workers: int
    settings: Settings
    verdict: Verdict
    memory: tuple[Held, ...]
    device_bytes: int
    device_limit: int
    host_bytes: int
    host_limit: int
    seconds: dict[str, float]
    interruption_seconds: float
    steps: int
    tokens_per_second: float
    rates: str
    price: Price
    usd: Decimal

    @property
    def total_seconds(self) -> float:
        """From the machines rented to the report written, interruptions included."""
        return sum(self.seconds.values()) + self.interruption_seconds

    @property
    def fits(self) -> bool:
        """Whether it can be run at all."""
        return self.verdict != "OOM"

    @property
    def share_of_memory(self) -> float:
        """Of the scarcer of the GPU's memory and the machine's."""
        return share_of_memory(self.device_bytes, self.device_limit, self.host_bytes, self.host_limit)

    def to_json(self) -> dict[str, Any]:
        """Plain values; amounts as text."""
        return {
            **asdict(self),
            "price": self.price.to_json(),
            "usd": str(self.usd),
            "total_seconds": self.total_seconds,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Option:
        """The option that `to_json` wrote."""
        plain = {name: value for name, value in values.items() if name != "total_seconds"}
        return cls(
            **{
                **plain,
                "settings": Settings(**values["settings"]),
                "memory": tuple(Held(**one) for one in values["memory"]),
                "price": Price.from_json(values["price"]),
                "usd": Decimal(values["usd"]),
            }
        )


@dataclass(frozen=True)
class Refusal:
    """A layout that is out of the question, and why."""

    machine: str
    count: int
    method: str
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def share_of_memory(device_bytes: int, device_limit: int, host_bytes: int, host_limit: int) -> float:
    """Of the scarcer memory; a machine whose memory is not known does not count."""
    device = device_bytes / device_limit if device_limit else 0.0
    return max(device, host_bytes / host_limit if host_limit else 0.0)


def verdict_of(share: float) -> Verdict:
    """What a share of the memory means."""
    if share > 1:
        return "OOM"
    return "TIGHT" if share > TIGHT else "FITS"
