"""The loop: look at the metadata service every few seconds, drain on a notice, say what happened."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from tunesmith.cluster.spot.drain import NoNode
from tunesmith.cluster.spot.notice import Notice, Service, Unreachable

EVERY = 5.0
"""Seconds between looks, as AWS advises. The shortest notice of any cloud is thirty."""

SLOWEST = 60.0
"""Seconds between looks at a service that has never answered, at most: the machine may be on no such cloud."""

SOON = 1.0
"""Seconds until a drain that did not work is tried again: there is little time."""

log = logging.getLogger("tunesmith.spot")


def watch(
    service: Service,
    drain: Callable[[Notice], str],
    early: bool = False,
    every: float = EVERY,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> Notice:
    """Watch until the node is drained; returns the notice.

    It looks more rarely at a service that has never answered. At one that has, it goes on as before: a minute
    of pause is longer than the shortest notice.

    `early`: a mere recommendation drains, too; else it is written into the log, once.
    """
    pause = every
    slowest = SLOWEST
    told: str | None = None
    while True:
        try:
            notice = service.look(clock())
        except Unreachable as error:
            pause = min(slowest, pause * 2)
            told = _tell(logging.WARNING, f"nothing is known: {error}", told)
            sleep(pause)
            continue
        pause = slowest = every
        if notice is None:
            told = _tell(logging.INFO, "the metadata service answers; nothing is announced", told)
        elif not notice.certain and not early:
            told = _tell(logging.WARNING, f"{notice.what}; waiting for the notice itself", told)
        elif _drained(notice, drain):
            return notice
        else:
            pause = SOON
        sleep(pause)


def _drained(notice: Notice, drain: Callable[[Notice], str]) -> bool:
    log.warning("%s in %.0f s: draining this node", notice.what, notice.seconds)
    try:
        node = drain(notice)
    except NoNode as error:
        log.error("the node could not be drained: %s", error)
        return False
    log.warning("node %s is drained: training checkpoints and moves", node)
    return True


def _tell(level: int, text: str, told: str | None) -> str:
    """Write a line unless it was the last one."""
    if text != told:
        log.log(level, text)
    return text
