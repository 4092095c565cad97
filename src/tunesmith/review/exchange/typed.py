"""What a file says of an item, with the kinds that a rating has: both forms of files are read by the same rules."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from tunesmith.review.fits import kept_seconds
from tunesmith.review.item import Rating, clean

WRONG = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError)
"""What reading a value of another kind, or one out of bounds, raises."""


def json_of(text: str) -> Any:
    """Read JSON. Raises ValueError, also where it is nested too deeply to be read."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def rating_from(
    item: str, rater: Any, at: Any, choice: Any = None, scales: Any = None, correction: Any = None, seconds: Any = None
) -> Rating:
    """A rating of values from outside. Raises one of WRONG, in words."""
    return Rating(
        item, _text(rater, "rater"), moment(at), None if choice is None else _text(choice, "choice"), _scales(scales),
        None if correction is None else _text(correction, "correction"), _seconds(seconds),
    )  # fmt: skip


def moment(value: Any) -> datetime:
    """A moment in ISO 8601, in UTC. Raises one of WRONG."""
    found = datetime.fromisoformat(_text(value, "at"))
    if found.tzinfo is None:
        raise ValueError("a moment without a time zone")
    return found.astimezone(UTC)


def whole(value: Any) -> int:
    """A whole number; JSON may write it as `4.0`. Raises ValueError for any other value, `true` too."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not isfinite(value) or value != int(value):
        raise ValueError(f"{str(value)[:40]!a} is not a whole number")
    return int(value)


def _scales(value: Any) -> dict[str, dict[str, int]]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(one, Mapping) for one in value.values()):
        raise ValueError("scales are an object for each source")
    return {
        clean(source): {clean(name): whole(number) for name, number in scales.items()}
        for source, scales in value.items()
    }


def _seconds(value: Any) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError(f"seconds cannot be {str(value)[:40]!a}")
    return kept_seconds(float(value))


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"'{what}' cannot be {str(value)[:40]!a}")
    return clean(value)
