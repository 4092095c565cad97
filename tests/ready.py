"""Processes that start with everything imported: a fork server that has done it once for the whole test run."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from typing import Any


def with_environment(environment: dict[str, str], work: Callable[..., None], *arguments: Any) -> None:
    """Run `work` under the environment of the test: a process has that of the fork server, which may be of another."""
    os.environ.clear()
    os.environ.update(environment)
    work(*arguments)


def ready_processes() -> ForkServerContext:
    """A context whose processes begin with torch, transformers, PEFT, DeepSpeed and the loop imported."""
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.preload"])
    return context
