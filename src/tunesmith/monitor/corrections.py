"""Corrected answers beside what was asked and answered: feedback joined with the traffic log."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update

from tunesmith.experiment.evidence import LIVE
from tunesmith.monitor.quality.distance import edit_distance
from tunesmith.monitor.quality.streams import CORRECTION
from tunesmith.monitor.traffic.read import read_traffic
from tunesmith.store.database import Database
from tunesmith.store.home import Home
from tunesmith.store.tables import feedback, requests

AROUND = timedelta(hours=1)
"""The log has the moment at which an answer ended, the table that at which it was asked for."""

AT_ONCE = timedelta(hours=6)
"""Of the log so much is read at a time."""


@dataclass(frozen=True)
class Corrected:
    """What a client wants an answer to be: the request's id and time, who says so and when, the version that answered;
    and from the log the conversation and the answer, redacted if the log is."""

    request: str
    asked_at: datetime
    tenant: str
    at: datetime
    version: str
    wanted: str
    messages: tuple[Mapping[str, Any], ...]
    given: str | None


def corrected(
    database: Database, home: Home, name: str, since: datetime | None = None, measured: bool = True
) -> list[Corrected]:
    """Corrections of answers that users saw, in order of time; without those whose request the log has not, or no
    longer. With `measured=False` only those whose distance is not known yet. Raises StoreError."""
    wanted = (
        select(feedback.c.request, requests.c.at.label("asked_at"), feedback.c.tenant, feedback.c.at,
               requests.c.version, feedback.c.text)
        .join(requests, requests.c.id == feedback.c.request)
        .where(
            feedback.c.metric == CORRECTION, feedback.c.text.is_not(None), requests.c.role == LIVE,
            requests.c.version.startswith(f"{name}@", autoescape=True),
        )
    )  # fmt: skip
    if since is not None:
        wanted = wanted.where(feedback.c.at > since)
    if not measured:
        wanted = wanted.where(feedback.c.value.is_(None))
    with database.reading() as connection:
        rows = connection.execute(wanted.order_by(feedback.c.at, feedback.c.request, feedback.c.tenant)).all()
    logged = _logged(home, name, {row.request: row.asked_at for row in rows})
    return [
        Corrected(row.request, row.asked_at, row.tenant, row.at, row.version, row.text, *logged[row.request])
        for row in rows
        if row.request in logged
    ]


def measure(database: Database, home: Home, name: str, since: datetime | None = None) -> int:
    """Write beside each correction after a moment how far it is from the answer, as the feedback's number; returns how
    many.

    It stays when the log's files are deleted. Raises StoreError.
    """
    found = [one for one in corrected(database, home, name, since, measured=False) if one.given is not None]
    if found:
        with database.writing("feedback") as connection:
            for one in found:
                mine = (feedback.c.request == one.request) & (feedback.c.tenant == one.tenant)
                # Only where it is still the same: who corrects an answer again is measured again.
                same = mine & (feedback.c.metric == CORRECTION) & (feedback.c.at == one.at)
                connection.execute(
                    update(feedback).where(same).values(value=edit_distance(one.given or "", one.wanted))
                )
    return len(found)


def _logged(home: Home, name: str, asked: dict[str, datetime]) -> dict[str, tuple[tuple[Any, ...], str | None]]:
    """Request -> conversation and answer."""
    found: dict[str, tuple[tuple[Any, ...], str | None]] = {}
    for begin, end in _stretches(sorted(asked.values())):
        table = read_traffic(home, name, begin, end, columns=("id", "messages", "answer"))
        for row in table.to_pylist():
            if row["id"] in asked:
                try:
                    messages = json.loads(row["messages"])
                except ValueError:
                    continue
                if isinstance(messages, list) and messages and all(isinstance(one, dict) for one in messages):
                    found[row["id"]] = (tuple(messages), row["answer"])
    return found


def _stretches(moments: list[datetime]) -> Iterator[tuple[datetime, datetime]]:
    """Of time around the moments, apart from one another and none of them long."""
    end: datetime | None = None
    for moment in moments:
        begin = moment - AROUND if end is None else max(end, moment - AROUND)
        while begin < moment + AROUND:
            end = min(begin + AT_ONCE, moment + AROUND)
            yield begin, end
            begin = end
