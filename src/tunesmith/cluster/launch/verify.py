"""After a cluster was ended: ask the cloud until nothing of it is left, or say what is."""

from __future__ import annotations

import time
from collections.abc import Callable

from tunesmith.cluster.launch.rented import Left, View

EVERY = 5.0


def wait_until_gone(
    view: View,
    seconds: float,
    tell: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Left]:
    """What is left after so many seconds at most: machines take a while to end. Raises ClusterError."""
    until = clock() + seconds
    told = ""
    while left := view.left():
        text = in_words(left)
        if text != told:
            tell(f"still there: {text}")
            told = text
        if clock() >= until:
            break
        sleep(min(EVERY, max(0.0, until - clock())))
    return left


def in_words(left: list[Left]) -> str:
    """`machine i-1 (stopped), disk vol-2 (available)`."""
    return ", ".join(f"{one.kind} {one.id} ({one.state})" for one in left)
