"""Experiments in SQL: started, changed and ended, each change with who made it and why."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, func, insert, select, update

from tunesmith.errors import StoreError
from tunesmith.experiment.experiment import CONTROL, Experiment, Stage, Variant, new_experiment
from tunesmith.store.clock import utc_now
from tunesmith.store.database import Database
from tunesmith.store.tables import experiment_changes, experiments


class Book:
    """The experiments of one database. One name has at most one that runs."""

    def __init__(self, database: Database, now: Callable[[], datetime] = utc_now) -> None:
        self._database, self._now = database, now

    def start(
        self, name: str, variants: dict[str, Variant], stage: Stage, who: str, why: str, **settings: Any
    ) -> Experiment:
        """Begin an experiment on a name. Raises StoreError when one runs there, or it makes no sense."""
        with self._database.writing(_lock(name)) as connection:
            running = select(experiments.c.id).where(experiments.c.name == name, experiments.c.running.is_(True))
            if (other := connection.execute(running).scalar()) is not None:
                raise StoreError(
                    f"'{name}' takes part in {other} already",
                    where=name,
                    fix=f"end it first: tunesmith experiment rollback {other}",
                )
            number = connection.execute(
                select(func.count()).select_from(experiments).where(experiments.c.name == name)
            ).scalar_one()
            try:
                made = new_experiment(
                    f"{name[:50]}.{number + 1}", name, secrets.token_hex(8), variants, stage, **settings
                )
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(str(part) for part in first["loc"]) or "experiment"
                raise StoreError(str(first["msg"]).removeprefix("Value error, "), where=where) from None
            now = self._now()
            values = {"id": made.id, "name": name, "started_at": now}
            connection.execute(insert(experiments).values(**values, **_columns(made, now)))
            self._note(connection, made, who, "start", why, now)
            return made

    def change(
        self, experiment_id: str, make: Callable[[Experiment], Experiment | None], who: str, action: str, why: str
    ) -> Experiment:
        """Put what `make` returns in the place of what is there now, in one step; None leaves it as it is. Named by its
        id, or the newest of a name.

        `make` is called under the experiment's lock, with its newest state: of two who want the same, the second sees
        what the first has done. Raises StoreError for an experiment that there is not.
        """
        found = self.find(experiment_id)
        with self._database.writing(_lock(found.name)) as connection:
            before = _read(connection, found.id)
            after = make(before)
            if after is None or after == before:
                return before
            after = after.model_copy(update={"revision": before.revision + 1})
            now = self._now()
            changed = update(experiments).where(experiments.c.id == found.id)
            connection.execute(changed.values(**_columns(after, now)))
            self._note(connection, after, who, action, why, now)
            return after

    def find(self, experiment_id: str) -> Experiment:
        """An experiment by its id, or the newest of a name. Raises StoreError when there is none."""
        with self._database.reading() as connection:
            return _read(connection, experiment_id)

    def running(self) -> list[Experiment]:
        """Those that take part in traffic."""
        with self._database.reading() as connection:
            rows = connection.execute(select(experiments.c.state).where(experiments.c.running.is_(True)))
            return [Experiment.model_validate(state) for state in rows.scalars()]

    def every(self) -> list[tuple[Experiment, datetime, datetime]]:
        """All there were, newest first, with when they began and were last changed."""
        with self._database.reading() as connection:
            rows = connection.execute(select(experiments).order_by(experiments.c.started_at.desc()))
            return [(Experiment.model_validate(row.state), row.started_at, row.changed_at) for row in rows]

    def history(self, experiment_id: str) -> list[dict[str, Any]]:
        """Its changes, oldest first: when, who, what, why, and the weights since."""
        changes = select(experiment_changes).where(experiment_changes.c.experiment == experiment_id)
        with self._database.reading() as connection:
            rows = connection.execute(changes.order_by(experiment_changes.c.revision)).all()
        return [
            {
                "at": row.at.isoformat(), "who": row.who, "action": row.action, "why": row.why,
                "stage": row.state["stage"], "weights": row.state["weights"], "epoch": row.state["epoch"],
            }
            for row in rows
        ]  # fmt: skip

    def state(self) -> tuple[int, int]:
        """Changes whenever an experiment is begun or changed."""
        with self._database.reading() as connection:
            seen = select(func.count(experiments.c.id), func.coalesce(func.sum(experiments.c.revision), 0))
            begun, changed = connection.execute(seen).one()
            return int(begun), int(changed)

    def _note(self, connection: Connection, made: Experiment, who: str, action: str, why: str, now: datetime) -> None:
        connection.execute(
            insert(experiment_changes).values(
                experiment=made.id, revision=made.revision, at=now, who=who, action=action, why=why,
                state=made.model_dump(mode="json"),
            )
        )  # fmt: skip


def rolled_back(experiment: Experiment, reason: str) -> Experiment | None:
    """All traffic to the control, and the experiment ended; None where it has ended already."""
    if not experiment.running:
        return None
    back = experiment.with_weights({CONTROL: 100.0}, "ended")
    return back.model_copy(update={"verdict": "rolled back", "reason": reason})


def promoted(experiment: Experiment, variant: str, reason: str) -> Experiment | None:
    """All traffic to a variant, and the experiment ended; the alias is to be moved there. None where it has ended.

    Raises StoreError for a variant that there is not.
    """
    if not experiment.running:
        return None
    if variant not in experiment.treatments:
        raise StoreError(
            f"there is no variant {variant[:40]!a} to promote", where="variant",
            fix=f"choose from {', '.join(experiment.treatments)}",
        )  # fmt: skip
    ahead = experiment.with_weights({variant: 100.0}, "ended")
    return ahead.model_copy(update={"verdict": f"promoted {variant}", "reason": reason})


def _read(connection: Connection, wanted: str) -> Experiment:
    found = connection.execute(select(experiments.c.state).where(experiments.c.id == wanted)).scalar()
    if found is None:
        newest = select(experiments.c.state).where(experiments.c.name == wanted)
        found = connection.execute(newest.order_by(experiments.c.started_at.desc()).limit(1)).scalar()
    if found is None:
        raise StoreError(
            f"there is no experiment {wanted[:80]!a}", where="experiment", fix="`tunesmith experiment ls` lists them"
        )
    return Experiment.model_validate(found)


def _columns(experiment: Experiment, now: datetime) -> dict[str, Any]:
    return {
        "running": experiment.running, "revision": experiment.revision, "changed_at": now,
        "state": experiment.model_dump(mode="json"),
    }  # fmt: skip


def _lock(name: str) -> str:
    return f"experiment {name}"
