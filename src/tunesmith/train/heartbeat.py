"""Signs of life: what each worker does and since when, and an end for one that hangs, with its stacks written down."""

from __future__ import annotations

import faulthandler
import json
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

WORKERS = "workers"
EVERY = 1.0
HUNG = 70
"""Exit status of a worker that ended itself because it hung."""

LAST_SECONDS = 10.0
"""For the last words of a worker that hung to reach the driver."""

WAITING = "waiting for the others"


@dataclass(frozen=True)
class Sign:
    """A worker's last sign of life: `doing` since `since` (seconds since the epoch), told at `at`."""

    rank: int
    world_size: int
    host: str
    pid: int
    step: int
    doing: str
    since: float
    at: float
    hung: bool = False


class Heartbeat:
    """A thread that writes a worker's sign every second, and ends the process when it has done one thing for too long.

    Only what `doing` is told within `limited` counts: loading a model may take as long as it takes. `sync` brings what
    it has written to the driver, before the end.
    """

    def __init__(
        self, folder: Path, rank: int, world_size: int, limit: float, sync: Callable[[], None] = lambda: None
    ) -> None:
        self.folder, self.limit, self.sync = folder / WORKERS, limit, sync
        self.rank, self.world_size = rank, world_size
        self.host, self.pid = socket.gethostname(), os.getpid()
        self._now: tuple[int, str, float, bool] = (0, "starting", time.time(), False)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Heartbeat:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._tell()
        self._thread.start()
        return self

    def __exit__(self, *problem: Any) -> None:
        self._done.set()
        self._thread.join()
        self.path.unlink(missing_ok=True)

    @property
    def path(self) -> Path:
        """This worker's file."""
        return self.folder / f"{self.rank:05d}.json"

    def doing(self, what: str, step: int = 0, limited: bool = True) -> None:
        """Say what is begun now."""
        self._now = (step, what, time.time(), limited)

    def _beat(self) -> None:
        while not self._done.wait(EVERY):
            _, _, since, limited = self._now
            if limited and time.time() - since > self.limit:
                self._end()
            self._tell()

    def _tell(self, hung: bool = False) -> None:
        step, doing, since, _ = self._now
        sign = Sign(self.rank, self.world_size, self.host, self.pid, step, doing, since, time.time(), hung)
        temporary = self.path.with_suffix(f".{self.pid}")
        try:
            temporary.write_text(json.dumps(asdict(sign)), encoding="utf-8")
            temporary.replace(self.path)
        except OSError:
            return  # a full disk is told of where something is lost by it

    def _end(self) -> None:
        """Stacks of all threads, the sign, and out: a process in a collective hears no exception."""
        with (self.folder / f"stacks-{self.rank:05d}.txt").open("w", encoding="utf-8") as file:
            faulthandler.dump_traceback(file, all_threads=True)
        self._tell(hung=True)
        last = threading.Thread(target=self._bring, daemon=True)
        last.start()
        last.join(LAST_SECONDS)
        os._exit(HUNG)

    def _bring(self) -> None:
        with suppress(Exception):  # the driver may be what it hangs for
            self.sync()


def signs(folder: Path) -> list[Sign]:
    """The last sign of each worker that has not ended, by rank."""
    found = []
    for path in sorted((folder / WORKERS).glob("*.json")):
        try:
            found.append(Sign(**json.loads(path.read_text(encoding="utf-8"))))
        except (OSError, ValueError, TypeError):
            continue  # it has ended in this moment
    return found


def forget(folder: Path) -> None:
    """Remove the signs of workers of earlier commands."""
    for path in (folder / WORKERS).glob("*"):
        path.unlink(missing_ok=True)


def who_hung(found: list[Sign]) -> str | None:
    """Name the workers that others waited for, or None when none has ended itself for hanging."""
    if not any(sign.hung for sign in found):
        return None
    newest = max(sign.at for sign in found)
    # A worker that gives no sign is the one; else those that do not wait for others, as far as they know.
    silent = [sign for sign in found if newest - sign.at > 3 * EVERY]
    guilty = silent or [sign for sign in found if sign.doing != WAITING] or found
    named = [
        f"worker {sign.rank} on {sign.host} (process {sign.pid}) in '{sign.doing}' of step {sign.step} "
        f"for {newest - sign.since:.0f} s" + (", without a sign of life" if silent else "")
        for sign in guilty
    ]
    return "the workers hung: " + "; ".join(named)
