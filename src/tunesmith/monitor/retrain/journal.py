"""Retrains in SQL: one in flight for each name, the step it is at, what every step came to, and who drives it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from tunesmith.errors import StoreError
from tunesmith.monitor.findings import plain
from tunesmith.monitor.retrain.driver import Driver
from tunesmith.report.legible import visible
from tunesmith.store.clock import utc_now
from tunesmith.store.database import Database
from tunesmith.store.tables import retrain_steps, retrains

LEASE = timedelta(seconds=90)
"""A driver that has given no sign for so long has died, and another may go on from where it was."""

NO_RETRAIN = 0
"""The number that decisions not to retrain are written under."""

MAX_REASON = 4000


class Taken(StoreError):
    """Another driver is at it, or was quicker."""


@dataclass(frozen=True)
class Retrain:
    """A retrain as it is now. `next` is the step that is to be done; `state` all that its steps have handed on."""

    name: str
    number: int
    running: bool
    revision: int
    state: Mapping[str, Any]
    started_at: datetime
    changed_at: datetime

    @property
    def reference(self) -> str:
        """As it is called: `summaries retrain 3`."""
        return f"{self.name} retrain {self.number}"

    @property
    def next(self) -> str:
        """The step that has not been done."""
        return str(self.state["next"])

    def to_json(self) -> dict[str, Any]:
        """Plain values; times in ISO 8601, UTC."""
        times = {"started_at": self.started_at.isoformat(), "changed_at": self.changed_at.isoformat()}
        return {"name": self.name, "number": self.number, "running": self.running, **times, **self.state}


@dataclass(frozen=True)
class Step:
    """What one step came to: `done`, `pass`, `warn`, `fail`, `skip`, or, of decisions, `start` and `stay`."""

    step: str
    at: datetime
    verdict: str
    reason: str
    evidence: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "step": self.step, "at": self.at.isoformat(), "verdict": self.verdict, "reason": self.reason,
            "evidence": self.evidence,
        }  # fmt: skip


class Journal:
    """The retrains of one database, as one driver sees them."""

    def __init__(self, database: Database, now: Callable[[], datetime] = utc_now, driver: Driver | None = None) -> None:
        self._database, self._now = database, now
        self.driver = driver or Driver.here()

    def begin(self, name: str, state: Mapping[str, Any], decision: Step) -> Retrain:
        """Begin one, with the decision that started it. Raises Taken when one of the name is in flight."""
        with self._database.writing(_lock(name)) as connection:
            if (other := _in_flight(connection, name)) is not None:
                raise Taken(
                    f"{other.reference} is in flight already", where=name,
                    fix=f"wait for it, or end it: tunesmith retrain stop {name}",
                )  # fmt: skip
            newest = select(func.max(retrains.c.number)).where(retrains.c.name == name)
            number = (connection.execute(newest).scalar() or 0) + 1
            now = self._now()
            connection.execute(
                insert(retrains).values(
                    name=name, number=number, running=True, revision=1, state=dict(state), started_at=now,
                    changed_at=now, owner=self.driver.token, beat_at=now,
                )
            )  # fmt: skip
            _write(connection, name, number, decision)
            return _read(connection, name, number)

    def decided(self, name: str, decision: Step) -> None:
        """Write down a decision that started nothing."""
        with self._database.writing(_lock(name)) as connection:
            _write(connection, name, NO_RETRAIN, decision)

    def record(self, before: Retrain, steps: Sequence[Step], changes: Mapping[str, Any]) -> Retrain:
        """Write what was done and where that leads, in one transaction; `changes` go into the state.

        `end` among the changes ends the retrain. Raises Taken where another driver has been at it since `before`.
        """
        with self._database.writing(_lock(before.name)) as connection:
            row = _row(connection, before.name, before.number)
            if row.revision != before.revision or not row.running or row.owner != self.driver.token:
                raise Taken(
                    f"another driver has gone on with {before.reference}", where=before.name,
                    fix="leave it to that one; `tunesmith retrain show` says how far it is",
                )  # fmt: skip
            state = {**row.state, **changes}
            _put(connection, before, state, "end" not in changes, self._now())
            for step in steps:
                _write(connection, before.name, before.number, step)
            return _read(connection, before.name, before.number)

    def claim(self, retrain: Retrain) -> Retrain:
        """Become its driver. Raises Taken while another one lives."""
        with self._database.writing(_lock(retrain.name)) as connection:
            row, now = _row(connection, retrain.name, retrain.number), self._now()
            lives = row.owner is not None and now - row.beat_at < LEASE and not self.driver.knows_dead(row.owner)
            if lives and row.owner != self.driver.token:
                raise Taken(
                    f"{retrain.reference} is driven by {Driver.shown(row.owner)}", where=retrain.name,
                    fix=f"wait for it; it counts as dead when it has given no sign for {LEASE.seconds} seconds",
                )  # fmt: skip
            connection.execute(_of(retrain).values(owner=self.driver.token, beat_at=now))
            return _retrain(row)

    def beat(self, retrain: Retrain) -> bool:
        """Give a sign of life; False where another driver has taken over."""
        with self._database.writing(_lock(retrain.name)) as connection:
            mine = _of(retrain).where(retrains.c.owner == self.driver.token)
            return connection.execute(mine.values(beat_at=self._now())).rowcount == 1

    def release(self, retrain: Retrain) -> None:
        """Leave it to whoever comes next."""
        with self._database.writing(_lock(retrain.name)) as connection:
            mine = _of(retrain).where(retrains.c.owner == self.driver.token)
            connection.execute(mine.values(owner=None, beat_at=None))

    def ask_to_stop(self, retrain: Retrain, who: str, why: str) -> None:
        """Leave word for its driver, which ends it before its next step."""
        with self._database.writing(_lock(retrain.name)) as connection:
            row = _row(connection, retrain.name, retrain.number)
            if row.running:
                # The revision stays: what the driver is doing just now is still to be written down.
                state = {**row.state, "stop": {"who": who, "why": why}}
                connection.execute(_of(retrain).values(state=state))

    def in_flight(self, name: str) -> Retrain | None:
        """The one of a name that has not ended."""
        with self._database.reading() as connection:
            return _in_flight(connection, name)

    def find(self, name: str, number: int | None = None) -> Retrain:
        """One by its number, or the newest of a name. Raises StoreError when there is none."""
        with self._database.reading() as connection:
            newest = select(func.max(retrains.c.number)).where(retrains.c.name == name)
            wanted = number or connection.execute(newest).scalar()
            if wanted is None:
                raise StoreError(
                    f"{name[:80]!a} was never retrained", where=name[:80], fix="`tunesmith retrain ls` lists what was"
                )
            return _read(connection, name, wanted)

    def every(self, name: str | None = None) -> list[Retrain]:
        """All there were, oldest first."""
        found = select(retrains).order_by(retrains.c.name, retrains.c.number)
        if name is not None:
            found = found.where(retrains.c.name == name)
        with self._database.reading() as connection:
            return [_retrain(row) for row in connection.execute(found)]

    def steps(self, name: str, number: int = NO_RETRAIN) -> list[Step]:
        """What its steps came to, oldest first; of number 0, the decisions that started nothing."""
        mine = select(retrain_steps).where(retrain_steps.c.name == name, retrain_steps.c.number == number)
        with self._database.reading() as connection:
            rows = connection.execute(mine.order_by(retrain_steps.c.id))
            return [Step(row.step, row.at, row.verdict, row.reason, row.evidence) for row in rows]


def _write(connection: Connection, name: str, number: int, step: Step) -> None:
    connection.execute(
        insert(retrain_steps).values(
            name=name, number=number, step=step.step, at=step.at, verdict=step.verdict,
            reason=visible(step.reason)[:MAX_REASON], evidence=plain(step.evidence),
        )
    )  # fmt: skip


def _put(connection: Connection, before: Retrain, state: Mapping[str, Any], running: bool, now: datetime) -> None:
    changed = _of(before).values(revision=retrains.c.revision + 1, state=dict(state), running=running, changed_at=now)
    connection.execute(changed if running else changed.values(owner=None, beat_at=None))


def _of(retrain: Retrain) -> Any:
    return update(retrains).where(retrains.c.name == retrain.name, retrains.c.number == retrain.number)


def _row(connection: Connection, name: str, number: int) -> Row[Any]:
    row = connection.execute(select(retrains).where(retrains.c.name == name, retrains.c.number == number)).one_or_none()
    if row is None:
        raise StoreError(
            f"there is no retrain {number} of '{name}'", where=name, fix=f"`tunesmith retrain ls {name}` lists them"
        )
    return row


def _read(connection: Connection, name: str, number: int) -> Retrain:
    return _retrain(_row(connection, name, number))


def _in_flight(connection: Connection, name: str) -> Retrain | None:
    running = select(retrains).where(retrains.c.name == name, retrains.c.running.is_(True))
    row = connection.execute(running).one_or_none()
    return None if row is None else _retrain(row)


def _retrain(row: Row[Any]) -> Retrain:
    return Retrain(row.name, row.number, row.running, row.revision, row.state, row.started_at, row.changed_at)


def _lock(name: str) -> str:
    return f"retrain {name}"
