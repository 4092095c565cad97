"""A training process to be killed."""

from __future__ import annotations

from multiprocessing.connection import Connection
from typing import Any


def train(values: dict[str, Any], ready: Connection) -> None:
    """Load, say so, train."""
    from tunesmith.train.job import TrainJob
    from tunesmith.train.loop import Loop

    loop = Loop(TrainJob(**values))
    ready.send("ready")
    loop.run()
