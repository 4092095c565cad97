"""A training process to be killed; imports everything first, so that a fork server starts it in no time."""

from __future__ import annotations

from multiprocessing.connection import Connection
from typing import Any

import peft  # noqa: F401
import transformers.models.llama.modeling_llama  # noqa: F401

from tunesmith.train.job import TrainJob
from tunesmith.train.loop import Loop


def train(values: dict[str, Any], ready: Connection) -> None:
    """Load, say so, train."""
    loop = Loop(TrainJob(**values))
    ready.send("ready")
    loop.run()
