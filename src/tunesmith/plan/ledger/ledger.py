"""The ledger of a run: one line for each stretch of time that it held machines, only ever appended to."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from tunesmith.errors import PlanError
from tunesmith.plan.money import SECONDS_PER_HOUR, Price
from tunesmith.store.durable import sync_file

LEDGER = "ledger.jsonl"


@dataclass(frozen=True)
class Entry:
    """From `began` to `ended`, in seconds since the epoch, so many `machines` were held at a price for each.

    Half of a shared machine counts as half. `why` says what a stretch is that nobody watched, or that is no training.
    """

    began: float
    ended: float
    machines: float
    price: Price
    why: str | None = None

    @property
    def seconds(self) -> float:
        """How long."""
        return self.ended - self.began

    @property
    def usd(self) -> Decimal:
        """What it cost."""
        return self.price.of(self.seconds * self.machines)

    def to_json(self) -> dict[str, Any]:
        """Plain values; `usd` is for those who read along."""
        told = {"began": self.began, "ended": self.ended, "machines": self.machines, "price": self.price.to_json()}
        return {**told, "usd": str(self.usd), **({"why": self.why} if self.why else {})}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Entry:
        """The entry that `to_json` wrote."""
        price = Price.from_json(values["price"])
        return cls(values["began"], values["ended"], values["machines"], price, values.get("why"))


@dataclass(frozen=True)
class Ledger:
    """All that a run has cost so far."""

    entries: tuple[Entry, ...] = ()

    @property
    def usd(self) -> Decimal:
        """In all."""
        return sum((entry.usd for entry in self.entries), Decimal(0))

    @property
    def hours(self) -> float:
        """How long machines were held, however many at once."""
        return sum(entry.seconds for entry in self.entries) / SECONDS_PER_HOUR

    def without(self, why: str) -> Ledger:
        """The entries that were not made for this."""
        return Ledger(tuple(entry for entry in self.entries if entry.why != why))

    @property
    def last(self) -> Entry | None:
        """The newest entry."""
        return self.entries[-1] if self.entries else None

    @classmethod
    def read(cls, folder: Path) -> Ledger:
        """The ledger of a run's folder; a last line that a crash cut short is passed over.

        Raises PlanError when another line cannot be read: what a run has cost is not guessed.
        """
        path = folder / LEDGER
        if not path.is_file():
            return cls()
        lines = path.read_bytes().split(b"\n")
        entries = []
        for number, line in enumerate(lines, 1):
            try:
                if line:
                    entries.append(Entry.from_json(json.loads(line)))
            except (ValueError, TypeError, KeyError, ArithmeticError) as error:
                if number >= len(lines):
                    break
                raise PlanError(
                    f"this line is no entry of a ledger ({error})",
                    where=f"{path}:{number}",
                    fix="mend or remove the line; the run counts what the others say",
                ) from error
        return cls(tuple(entries))


def append(folder: Path, entry: Entry) -> None:
    """Write an entry to the disk behind the others; what a crash left of a line is cut off first."""
    with (folder / LEDGER).open("a+b") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(0)
        whole = file.read().rfind(b"\n") + 1
        if whole < end:
            file.truncate(whole)
        file.write(json.dumps(entry.to_json()).encode() + b"\n")
        file.flush()
        sync_file(file.fileno())
