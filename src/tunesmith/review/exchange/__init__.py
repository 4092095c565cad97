"""Items and ratings as files: one JSON object a line, and what Label Studio reads and writes."""

from __future__ import annotations

from dataclasses import dataclass

from tunesmith.review.item import NewItem, Rating


@dataclass(frozen=True)
class Brought:
    """An item from a file, with what was said of it there. `where` is its place in the file."""

    item: NewItem
    ratings: tuple[Rating, ...]
    where: str
