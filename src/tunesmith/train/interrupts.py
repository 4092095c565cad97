"""Ctrl-C and SIGTERM as a wish the training loop can read."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tunesmith.train.job import STOP, TrainJob

ECHO_SECONDS = 1.0
"""Signals so soon after the first are the same wish."""


@contextmanager
def interrupts(job: TrainJob) -> Iterator[None]:
    """Inside the block, the first signal asks the run for a checkpoint and an orderly end; the second is raised.

    What comes within a second of the first belongs to it: a job that is stopped hears it from Ray and from its parent.
    A wish left from an earlier run is taken back first.
    """
    wish = job.folder / STOP
    wish.unlink(missing_ok=True)
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    first: list[float] = []

    def handle(number: int, frame: Any) -> None:
        if not first:
            first.append(time.monotonic())
            wish.touch()
        elif time.monotonic() - first[0] > ECHO_SECONDS:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
