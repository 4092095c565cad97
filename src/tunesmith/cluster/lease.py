"""Which cluster is at a job: a note in the storage, written anew while it runs. Two must not share checkpoints."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tunesmith.cluster.storage import JOBS, Storage
from tunesmith.cluster.targets import TargetError
from tunesmith.errors import TunesmithError

NAME = "running.json"
SECONDS = 20.0
"""Between two notes."""

STALE_SECONDS = 120.0
"""A note so old says that the cluster is lost. Clocks of clusters and laptops may differ by less than this."""


@dataclass(frozen=True)
class Lease:
    """`holder` names the cluster; `time` in seconds since 1970, as it was there."""

    holder: str
    time: float

    def is_fresh(self, now: float) -> bool:
        """Whether the cluster has said so of late."""
        return now - self.time < STALE_SECONDS


def read_lease(storage: Storage, id: str) -> Lease | None:
    """Who was last at a job, or None. Raises TargetError."""
    content = storage.read(f"{JOBS}/{id}/{NAME}")
    try:
        return None if content is None else Lease(**json.loads(content))
    except (ValueError, TypeError) as error:
        raise TargetError(f"{JOBS}/{id}/{NAME} is damaged ({error})", where=storage.shown, fix="remove it") from None


@contextmanager
def held(storage: Storage, id: str, holder: str) -> Iterator[None]:
    """Hold a job for the time of the block; a cluster that ends in order gives it back. Raises TargetError at once
    where the storage cannot be written; later, writing is tried again."""
    name, over = f"{JOBS}/{id}/{NAME}", threading.Event()

    def note() -> None:
        storage.write(name, json.dumps({"holder": holder, "time": time.time()}).encode())

    def keep() -> None:
        while not over.wait(SECONDS):
            try:
                note()
            except TunesmithError as error:
                print(f"warning: {error}", file=sys.stderr)

    note()
    thread = threading.Thread(target=keep, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        try:
            storage.remove(name)
        except TunesmithError as error:
            print(f"warning: {error}", file=sys.stderr)
