"""How often somebody may try to log in: a bound on failures, by address and altogether."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

MINUTE = 60.0
BY_ADDRESS, ALTOGETHER = 10, 200
"""Failures a minute."""


class Attempts:
    """Failures of the last minute. A key has 256 random bits: this bounds the work of guessing, not its chance."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: deque[tuple[float, str]] = deque(maxlen=ALTOGETHER)

    def allowed(self, address: str) -> bool:
        """Whether this address may try now."""
        since = self._clock() - MINUTE
        recent = [who for at, who in self._failed if at > since]
        return len(recent) < ALTOGETHER and recent.count(address) < BY_ADDRESS

    def failed(self, address: str) -> None:
        """One more that was no key."""
        self._failed.append((self._clock(), address))
