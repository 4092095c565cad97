"""Times of day in which no retrain starts."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime


def quiet_now(hours: Iterable[str], moment: datetime) -> str | None:
    """The first of the spans (`08:00-18:00`, UTC) that the moment lies in; one may go over midnight.

    A span holds its first minute and not its last; one that begins when it ends is the whole day.
    """
    now = f"{moment.astimezone(UTC):%H:%M}"
    for span in hours:
        begin, end = span.split("-")
        inside = begin <= now < end if begin < end else now >= begin or now < end
        if inside:
            return span
    return None
