"""Keeps a run's ledger while it holds machines."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from types import TracebackType

from tunesmith.plan.ledger.ledger import Entry, Ledger, append
from tunesmith.plan.ledger.now import COST, tell
from tunesmith.plan.money import SECONDS_PER_HOUR, Price

EVERY = 10.0
"""Seconds between entries: the most that a crash of the machine that counts leaves uncounted."""


class Meter:
    """Accrues from the moment it is entered, start-up and waiting included, until it is left. One at a time for a run.

    Call `look` from time to time. `machines` says how many are held, which may change; `worked_until` when a run that
    nobody watched any more was last seen to work, as after the meter was killed: that time is counted too. `why` is
    written into each entry.
    """

    def __init__(
        self,
        folder: Path,
        price: Price,
        machines: Callable[[], float] = lambda: 1.0,
        worked_until: Callable[[], float] = lambda: 0.0,
        every: float = EVERY,
        clock: Callable[[], float] = time.time,
        why: str | None = None,
    ) -> None:
        self.folder, self.price, self.machines, self.worked_until = folder, price, machines, worked_until
        self.every, self.clock, self.why = every, clock, why
        self._turn = threading.Lock()

    def __enter__(self) -> Meter:
        self.folder.mkdir(parents=True, exist_ok=True)
        ledger = Ledger.read(self.folder)
        last, until = ledger.last, self.worked_until()
        if last is not None and last.ended < until and (self.folder / COST).exists():
            missed = Entry(last.ended, until, last.machines, last.price, "not watched, after a crash")
            append(self.folder, missed)
            ledger = Ledger((*ledger.entries, missed))
        self._usd, self._hours = ledger.usd, ledger.hours
        self._began, self._held = self.clock(), self.machines()
        tell(self.folder, self._usd, self._began, self._rate())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._turn:
            self._close(self.clock())
            (self.folder / COST).unlink(missing_ok=True)

    def look(self) -> None:
        """Write an entry when it is time, or when another number of machines is held."""
        with self._turn:
            now, held = self.clock(), self.machines()
            if now - self._began >= self.every or held != self._held:
                self._close(now)
                self._held = held
                tell(self.folder, self._usd, now, self._rate())

    @property
    def usd(self) -> Decimal:
        """Spent in all until now."""
        return self._usd + self._open(self.clock()).usd

    @property
    def hours(self) -> float:
        """Machines were held for, in all, until now."""
        return self._hours + self._open(self.clock()).seconds / SECONDS_PER_HOUR

    @property
    def usd_per_hour(self) -> Decimal:
        """What the machines of the moment cost."""
        return self._rate()

    def _rate(self) -> Decimal:
        return self.price.of(self._held * SECONDS_PER_HOUR)

    def _open(self, now: float) -> Entry:
        return Entry(self._began, max(now, self._began), self._held, self.price, self.why)

    def _close(self, now: float) -> None:
        entry = self._open(now)
        if entry.seconds > 0:
            append(self.folder, entry)
        self._usd, self._hours = self._usd + entry.usd, self._hours + entry.seconds / SECONDS_PER_HOUR
        self._began = entry.ended
