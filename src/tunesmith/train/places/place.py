"""What the training loop asks of a place that keeps checkpoints."""

from __future__ import annotations

import hashlib
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tunesmith.errors import TrainError

STATE = "state.json"
FILES = "files"
WAIT_SECONDS = 1800
"""How long the first worker waits for the others' files."""


class Place(ABC):
    """Checkpoints by their step, each whole or absent.

    All workers of an attempt write their parts at the same time; when all of them have said that they are done, the
    first worker adds the manifest, and only then is there a checkpoint. `attempt` is the same for all workers and
    another after every restart, so that what a lost worker left, or still writes, is never taken for a part.
    """

    @abstractmethod
    def steps(self) -> list[int]:
        """The steps of the checkpoints that are whole, ascending."""

    @abstractmethod
    def shown(self, step: int) -> str:
        """Where a checkpoint is, for people."""

    @abstractmethod
    def write_part(self, step: int, attempt: str, rank: int, write: Callable[[Path], None]) -> None:
        """Keep the file that `write` makes as this worker's part, and say that it is done."""

    @abstractmethod
    def publish(self, step: int, attempt: str, files: dict[str, str], values: dict[str, Any]) -> None:
        """Add the manifest: from now on the checkpoint counts."""

    @abstractmethod
    def fetch(self, step: int, rank: int, world_size: int) -> tuple[dict[str, Any], list[Path]]:
        """The manifest's values and the files of all workers, checked. The workers share out the checking.

        Raises OSError, ValueError or KeyError when something is not as it was written.
        """

    def release(self) -> None:  # noqa: B027
        """Free what `fetch` has put on this node's disk."""

    @abstractmethod
    def remove(self, step: int) -> None:
        """Take a checkpoint away, so that no reader sees a part of it."""

    @abstractmethod
    def clean(self) -> None:
        """Remove what killed attempts left unfinished. Only for the one process that writes here, before it does."""

    @abstractmethod
    def _announced(self, step: int, attempt: str, rank: int) -> tuple[str, str] | None:
        """Name and SHA-256 of a worker's part, or None while it has not said that it is done."""

    def commit(
        self, step: int, attempt: str, world_size: int, values: dict[str, Any], given_up: threading.Event
    ) -> bool:
        """Wait for all parts and publish the checkpoint; returns whether it is there, `given_up` ends the waiting.

        Raises TrainError when a worker does not deliver its part for half an hour.
        """
        files: dict[str, str] = {}
        deadline = time.monotonic() + WAIT_SECONDS
        rank, pause = 0, 0.005
        while rank < world_size:
            if (found := self._announced(step, attempt, rank)) is not None:
                files[found[0]] = found[1]
                rank += 1
                continue
            if step in self.steps():
                return True  # a lost worker of an earlier attempt was first: it holds the same
            if given_up.wait(pause):
                return False
            pause = min(pause * 1.5, 0.5)
            if time.monotonic() > deadline:
                raise TrainError(
                    f"worker {rank} did not write its part of a checkpoint in {WAIT_SECONDS // 60} minutes",
                    where=self.shown(step),
                    fix="look into the workers' logs; the last checkpoint is kept",
                )
        self.publish(step, attempt, files, values)
        return True

    def prune(self, keep: int, best_step: int | None) -> list[int]:
        """Remove all but the newest `keep` checkpoints and the best one; returns the steps of those removed."""
        doomed = [step for step in self.steps()[:-keep] if step != best_step]
        for step in doomed:
            self.remove(step)
        return doomed


def part_name(rank: int) -> str:
    """What a worker's file is called."""
    return f"rank-{rank:05d}"


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
