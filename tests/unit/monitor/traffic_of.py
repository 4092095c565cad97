"""Requests of a served version and what clients said of them, written as a gateway writes them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert

from tunesmith.store.database import Database
from tunesmith.store.tables import feedback, requests

APART = timedelta(seconds=30)


def answered(
    database: Database, ids: Sequence[str], begin: datetime, version: str = "story@1", **columns: Any
) -> list[datetime]:
    """One request for each id, half a minute apart. A column's list holds a value for each. Returns their times."""
    moments = [begin + number * APART for number in range(len(ids))]
    values: dict[str, Any] = {
        "tenant": "shop", "model": "story", "role": "live", "status": 200, "seconds": 1.0, "first_seconds": 0.1,
        "pieces": 5, "empty": False, "truncated": False, **columns,
    }  # fmt: skip
    rows = [
        {
            "id": one, "at": moment, "version": version,
            **{key: value[number] if isinstance(value, list) else value for key, value in values.items()},
        }
        for number, (one, moment) in enumerate(zip(ids, moments, strict=True))
    ]  # fmt: skip
    with database.writing("test") as connection:
        connection.execute(insert(requests), rows)
    return moments


def said(
    database: Database, ids: Sequence[str], moments: Sequence[datetime], metric: str, values: Sequence[float | str]
) -> None:
    """What a client says of each request, at its time."""
    rows = [
        {
            "request": one, "metric": metric, "tenant": "shop", "at": moment,
            "value": None if isinstance(value, str) else float(value),
            "text": value if isinstance(value, str) else None,
        }
        for one, moment, value in zip(ids, moments, values, strict=True)
    ]  # fmt: skip
    with database.writing("test") as connection:
        connection.execute(insert(feedback), rows)
