"""Which cluster is at a job: a note in the storage, written anew while it runs. Two must not share checkpoints."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tunesmith.cluster.storage import JOBS, Storage
from tunesmith.cluster.targets import TargetError
from tunesmith.errors import TunesmithError
from tunesmith.report.legible import one_line

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
        return abs(now - self.time) < STALE_SECONDS


def read_lease(storage: Storage, id: str) -> Lease | None:
    """Who was last at a job, or None. Raises TargetError."""
    content = storage.read(f"{JOBS}/{id}/{NAME}")
    try:
        if content is None:
            return None
        note = json.loads(content)
        return Lease(one_line(str(note["holder"]), 100), float(note["time"]))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise TargetError(f"{JOBS}/{id}/{NAME} is damaged ({error})", where=storage.shown, fix="remove it") from None


def _end() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def held(storage: Storage, id: str, holder: str, lost: Callable[[], None] = _end) -> Iterator[None]:
    """Hold a job for the time of the block; a cluster that ends in order gives it back.

    Where another has taken it over, because this one could not say for long that it is at it, `lost` is called once:
    by default the process is asked to end. Raises TargetError at once where the storage cannot be written; later,
    writing is tried again.
    """
    name, over = f"{JOBS}/{id}/{NAME}", threading.Event()

    def note() -> None:
        storage.write(name, json.dumps({"holder": holder, "time": time.time()}).encode())

    def is_mine() -> bool:
        now = read_lease(storage, id)
        return now is None or now.holder == holder or not now.is_fresh(time.time())

    def keep() -> None:
        while not over.wait(SECONDS):
            try:
                if not is_mine():
                    print(f"error: another cluster has taken {id} over; this one ends", file=sys.stderr)
                    lost()
                    return
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
            if is_mine():
                storage.remove(name)
        except TunesmithError as error:
            print(f"warning: {error}", file=sys.stderr)
