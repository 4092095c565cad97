"""How what a worker writes reaches the driver, and what the driver wishes reaches the worker."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

from tunesmith.train.job import TrainJob


class Delivery:
    """Of a worker that sees the driver's files: it writes into the run's folder itself, and nothing is left to do.

    `job` has the folders that this worker reads and writes; `own_files` says that they are its node's own.
    """

    own_files = False

    def __init__(self, job: TrainJob) -> None:
        self.job = job

    def __enter__(self) -> Delivery:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def ready(self) -> TrainJob:
        """The job, with rows and base model at hand. Raises TunesmithError when they cannot be had."""
        return self.job

    def sync(self) -> None:
        """Return when the driver has all that was written so far, and this worker what the driver wishes."""

    def one_at_a_time(self) -> AbstractContextManager[Any]:
        """A block that workers with the same cache go through one after the other."""
        from filelock import FileLock

        cache = Path(self.job.cache_folder)
        cache.mkdir(parents=True, exist_ok=True)
        return FileLock(cache / ".base.lock")

    def hand_over(self) -> None:
        """Return when the driver has the finished artefact, whole."""

    def shown(self, place: str | None) -> str | None:
        """A place as the user finds it."""
        return place
