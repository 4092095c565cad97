"""Processes that start with everything imported: a fork server that has done it once for the whole test run."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.context import ForkServerContext


def ready_processes() -> ForkServerContext:
    """A context whose processes begin with torch, transformers, PEFT, DeepSpeed and the loop imported."""
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.preload"])
    return context
