"""What a metadata service may say of its machine, the same for every cloud."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Notice:
    """The machine will be, or may be, taken away. `seconds` are left; `certain` is False for a mere warning."""

    what: str
    seconds: float
    certain: bool = True


class Unreachable(Exception):
    """The metadata service gives no answer, or one that cannot be read: nothing is known."""


class Service(Protocol):
    """The metadata service of a cloud."""

    def look(self, now: float) -> Notice | None:
        """What it says now (seconds since 1970), None when nothing is to come. Raises Unreachable."""


SHORTEST = 5.0
"""Seconds that a node is given at least: a notice read late, or by a clock that is wrong, still drains."""


def seconds_left(at: float, now: float) -> float:
    """From now until then, never less than `SHORTEST`."""
    return max(SHORTEST, at - now)
