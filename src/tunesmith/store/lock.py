"""A folder that one process at a time works in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tunesmith.errors import TrainError


@contextmanager
def only_one(folder: Path, what: str) -> Iterator[None]:
    """Hold the folder's lock for the time of the block. Raises TrainError when another process has it."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise TrainError(
            f"this {what} is going on in another process", where=str(folder), fix="wait for it, or stop it first"
        ) from None
    try:
        yield
    finally:
        lock.release()
