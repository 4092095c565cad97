"""Ctrl-C and SIGTERM as a wish the training loop can read."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tunesmith.train.job import STOP, TrainJob


@contextmanager
def interrupts(job: TrainJob) -> Iterator[None]:
    """Inside the block, the first signal asks the run for a checkpoint and an orderly end; the second is raised.

    A wish left from an earlier run is taken back first.
    """
    wish = job.folder / STOP
    wish.unlink(missing_ok=True)
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: Any) -> None:
        if wish.exists():
            raise KeyboardInterrupt
        wish.touch()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
