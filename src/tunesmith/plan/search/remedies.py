"""The cheapest ways to make a recipe fit: what to set, or where to run it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tunesmith.plan.search.layout import Settings
from tunesmith.plan.search.option import Option

FIELDS = {
    "method": "method.type",
    "strategy": "resources.strategy",
    "offload": "resources.offload",
    "micro_batch_tokens": "train.micro_batch_tokens",
    "gradient_checkpointing": "train.gradient_checkpointing",
}
"""A setting -> the field of the recipe."""


@dataclass(frozen=True)
class Remedy:
    """What to do, in words for `--set` and `--machine`; what the run then costs and takes."""

    what: str
    usd: Decimal
    hours: float
    verdict: str

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"what": self.what, "usd": str(self.usd), "hours": self.hours, "verdict": self.verdict}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Remedy:
        """The remedy that `to_json` wrote."""
        return cls(**{**values, "usd": Decimal(values["usd"])})


def remedies(written: Settings, machine: str, options: Iterable[Option], number: int = 3) -> list[Remedy]:
    """The cheapest of the options that fit, each a different thing to do: settings here, or another machine."""
    seen: set[tuple[str, ...]] = set()
    found: list[Remedy] = []
    for one in sorted(options, key=lambda option: (option.usd, len(list(_changes(written, option.settings))))):
        changes = tuple(_changes(written, one.settings))
        kind = changes if one.machine == machine else ("elsewhere", one.accelerator or "")
        if not one.fits or kind in seen:
            continue
        seen.add(kind)
        place = [] if one.machine == machine else [f"--machine {one.machine}{_many(one)} ({one.market})"]
        found.append(Remedy(", ".join([*place, *changes]), one.usd, one.total_seconds / 3600, one.verdict))
        if len(found) == number:
            break
    return found


def _many(option: Option) -> str:
    return f" x{option.count}" if option.count > 1 else ""


def _changes(written: Settings, other: Settings) -> Iterator[str]:
    for name, field in FIELDS.items():
        value = getattr(other, name)
        if value != getattr(written, name):
            yield f"{field}={str(value).lower() if isinstance(value, bool) else value}"
