"""Whether engines say what the trainer's model says: the gateways compare each new version, and it is waited for."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select

from tunesmith.monitor.retrain.work import Result, Waiting, Work
from tunesmith.store.database import Database
from tunesmith.store.tables import parity, requests

PATIENCE = timedelta(hours=2)
"""How long a check is waited for, from the registration on. A gate that cannot tell fails."""

SERVED_WITHIN = timedelta(days=1)
"""An endpoint that had no request for the name for so long does not count as one that serves it."""


def wait_for_parity(work: Work) -> Result | Waiting:
    """Go on when an engine that serves the name has passed the version; stop when one has refused it."""
    version = work.version(str(work.retrain.state["version"]))
    found = _checks(work.database, version.reference)
    if refused := [one for one in found if not one["passed"]]:
        return Result.stop(f"parity: {refused[0]['reason']}", {"checks": found})
    if found:
        return Result("pass", f"{found[0]['engine']}: {found[0]['reason']}", {"checks": found})
    champion = str(work.retrain.state["champion"])
    if not (_checks(work.database, champion) and _served(work.database, champion, work.now())):
        reason = f"not served: no endpoint that compares versions had a request for {champion} within a day"
        return Result("skip", reason, {"checks": []})
    waited = work.now() - version.created_at
    if waited > PATIENCE:
        return Result.stop(
            f"parity: no engine has compared {version.reference} within {PATIENCE.seconds // 3600} hours"
        )
    return Waiting(f"an engine compares {version.reference} with the trainer's model")


def _checks(database: Database, version: str) -> list[dict[str, Any]]:
    mine = select(parity.c.engine, parity.c.passed, parity.c.reason, parity.c.at).where(parity.c.version == version)
    with database.reading() as connection:
        rows = connection.execute(mine.order_by(parity.c.engine)).all()
    return [
        {"engine": row.engine, "passed": row.passed, "reason": row.reason, "at": row.at.isoformat()} for row in rows
    ]


def _served(database: Database, version: str, now: datetime) -> bool:
    recent = select(func.count()).where(requests.c.version == version, requests.c.at > now - SERVED_WITHIN)
    with database.reading() as connection:
        return bool(connection.execute(recent).scalar())
