"""Items and ratings as rows of SQL, and back."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from tunesmith.review.item import Answer, Item, NewItem, Rating, gold_of
from tunesmith.store.tables import review_items, review_ratings


def row_of(new: NewItem, now: datetime) -> dict[str, Any]:
    """An item as a row."""
    content = {"messages": new.messages, "answers": [asdict(one) for one in new.answers], "request": new.request}
    return {
        "id": new.id, "name": new.name, "kind": new.kind, "priority": new.priority, "content": content,
        "sources": [one.source for one in new.answers], "gold": asdict(new.gold) if new.gold else None,
        "created_at": now,
    }  # fmt: skip


def item_of(row: Any) -> Item:
    """A row as an item."""
    content = row.content
    return Item(
        row.id, row.name, row.kind, content["messages"], [Answer(**one) for one in content["answers"]], row.priority,
        gold_of(row.gold), content["request"], row.created_at,
    )  # fmt: skip


def ratings_of(connection: Connection, name: str) -> list[Rating]:
    """All ratings of a name, oldest first."""
    asked = select(review_ratings).join(review_items, review_items.c.id == review_ratings.c.item)
    rows = connection.execute(
        asked.where(review_items.c.name == name).order_by(review_ratings.c.at, review_ratings.c.item)
    )
    return [rating_of(row) for row in rows]


def rating_of(row: Any) -> Rating:
    """A row as a rating."""
    return Rating(row.item, row.rater, row.at, row.choice, row.scales, row.correction, row.seconds)
