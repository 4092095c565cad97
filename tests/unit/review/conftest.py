"""A database of the test's own, and items to judge."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tunesmith.review.item import Answer, Gold, NewItem
from tunesmith.review.reviews import Reviews
from tunesmith.store.database import Database

BEGIN = datetime(2026, 11, 27, 6, 0, tzinfo=UTC)


class Clock:
    """A minute passes with every look."""

    def __init__(self) -> None:
        self.now = BEGIN

    def __call__(self) -> datetime:
        self.now += timedelta(minutes=1)
        return self.now


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database.open(f"sqlite:///{tmp_path}/registry.db")


@pytest.fixture
def reviews(database: Database) -> Reviews:
    return Reviews(database, Clock())


def pair(
    number: int, gold: str | None = None, priority: float = 0.0, sources: tuple[str, str] = ("new", "old")
) -> NewItem:
    return NewItem(
        "summaries", "pair", [{"role": "user", "content": f"question {number}"}],
        [Answer(source, f"{source} answer {number}") for source in sources], priority, Gold(gold) if gold else None,
    )  # fmt: skip


def single(number: int, source: str = "new", gold: dict[str, int] | None = None) -> NewItem:
    return NewItem(
        "summaries", "answer", [{"role": "user", "content": f"question {number}"}],
        [Answer(source, f"{source} answer {number}")], gold=Gold(scales=gold) if gold else None,
    )  # fmt: skip
