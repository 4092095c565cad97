"""What rules of monitoring found, in SQL: every evaluation of every rule, fired or not, never changed afterwards."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Row, func, insert, select

from tunesmith.report.legible import visible
from tunesmith.store.clock import utc_now
from tunesmith.store.database import Database
from tunesmith.store.tables import findings as table

FindingKind = Literal["drift", "quality", "health"]
SECONDS_PER_DAY = 86_400
LOCK = "findings"
GOLDEN = "quality.golden"
"""The rule of the golden set, which stands beside those of streams: `quality.METRIC.DETECTOR`."""

MAX_REASON = 2000


@dataclass(frozen=True)
class Finding:
    """One evaluation of one rule: what it looked at, whether it fired, and why or why not.

    `evidence` is JSON: numbers, texts, lists and mappings of them. `version` is the one that answered, `name@N`, where
    the rule is about one; `id` is there once it has been written down.
    """

    name: str
    at: datetime
    rule: str
    kind: FindingKind
    fired: bool
    reason: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    version: str | None = None
    id: int | None = field(default=None, compare=False)

    def to_json(self) -> dict[str, Any]:
        """Plain values; times in ISO 8601, UTC."""
        return {**asdict(self), "at": self.at.isoformat(), "evidence": plain(self.evidence)}


class Findings:
    """The findings of one database."""

    def __init__(self, database: Database, now: Callable[[], datetime] = utc_now) -> None:
        self._database, self._now = database, now

    def note(self, findings: Iterable[Finding], unless_after: int | None = None) -> bool:
        """Write them down, all or none. Raises StoreError.

        With `unless_after`, the newest id when the look began, nothing is written where somebody else has written down
        one of these rules since, who has looked at the same: then False.
        """
        rows = [
            {
                "name": one.name, "version": one.version, "at": one.at, "rule": one.rule, "kind": one.kind,
                "fired": bool(one.fired), "reason": visible(one.reason)[:MAX_REASON], "evidence": plain(one.evidence),
            }
            for one in findings
        ]  # fmt: skip
        if not rows:
            return True
        with self._database.writing(LOCK) as connection:
            if unless_after is not None:
                same = (table.c.name == rows[0]["name"]) & table.c.rule.in_(sorted({row["rule"] for row in rows}))
                others = select(func.count()).where(same, table.c.id > unless_after)
                if connection.execute(others).scalar_one():
                    return False
            connection.execute(insert(table), rows)
        return True

    def newest(self, name: str) -> tuple[int, datetime | None]:
        """Id and time of what was written down last of a name; 0 and None where nothing was."""
        with self._database.reading() as connection:
            last = select(func.max(table.c.id), func.max(table.c.at)).where(table.c.name == name)
            number, moment = connection.execute(last).one()
        return int(number or 0), moment

    def since(
        self, name: str, moment: datetime | None, kind: FindingKind | None = None, fired: bool | None = None
    ) -> list[Finding]:
        """Those of a name after a moment, oldest first: all, or of one kind, or those that fired, or those that did
        not."""
        wanted = select(table).where(table.c.name == name)
        if moment is not None:
            wanted = wanted.where(table.c.at > moment)
        if kind is not None:
            wanted = wanted.where(table.c.kind == kind)
        if fired is not None:
            wanted = wanted.where(table.c.fired.is_(fired))
        with self._database.reading() as connection:
            return [_finding(row) for row in connection.execute(wanted.order_by(table.c.at, table.c.id))]

    def of(self, name: str, rule: str, version: str | None = None) -> list[Finding]:
        """What one rule found, oldest first; only what is about one version, where one is given."""
        wanted = select(table).where(table.c.name == name, table.c.rule == rule)
        if version is not None:
            wanted = wanted.where(table.c.version == version)
        with self._database.reading() as connection:
            return [_finding(row) for row in connection.execute(wanted.order_by(table.c.id))]

    def last(self, name: str, rule: str, version: str | None = None) -> Finding | None:
        """What one rule found last; of what is about one version, where one is given."""
        wanted = select(table).where(table.c.name == name, table.c.rule == rule)
        if version is not None:
            wanted = wanted.where(table.c.version == version)
        with self._database.reading() as connection:
            row = connection.execute(wanted.order_by(table.c.id.desc()).limit(1)).first()
        return None if row is None else _finding(row)

    def latest(self, name: str) -> dict[str, Finding]:
        """Rule -> what was written down of it last, by name of the rule."""
        newest = select(func.max(table.c.id)).where(table.c.name == name).group_by(table.c.rule)
        with self._database.reading() as connection:
            rows = connection.execute(select(table).where(table.c.id.in_(newest)).order_by(table.c.rule))
            return {row.rule: _finding(row) for row in rows}

    def days_since(self, name: str, rule: str, version: str | None = None) -> float | None:
        """Days since the rule was last evaluated, for one version where one is given; None where it never was."""
        found = self.last(name, rule, version)
        return None if found is None else (self._now() - found.at).total_seconds() / SECONDS_PER_DAY

    def names(self) -> list[str]:
        """Names that something was found about."""
        with self._database.reading() as connection:
            return list(connection.execute(select(table.c.name).distinct().order_by(table.c.name)).scalars())


def plain(value: Any) -> Any:
    """JSON that every database takes: arrays as lists, numbers that are none as null, texts without what cannot be
    written."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {plain(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):  # an array, or one number of it
        return plain(value.tolist())
    return plain(str(value))


def _finding(row: Row[Any]) -> Finding:
    kept = ("name", "at", "rule", "kind", "fired", "reason", "evidence", "version", "id")
    return Finding(**{key: getattr(row, key) for key in kept})
