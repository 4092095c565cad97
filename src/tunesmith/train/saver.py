"""Checkpoints written behind the training's back: it waits for the copy of its values, not for disks and networks."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import asdict, dataclass, replace

from tunesmith.errors import TrainError
from tunesmith.train.pieces import Piece, snapshot, write_pieces
from tunesmith.train.places import Place
from tunesmith.train.progress import Progress

FAILURES = 3
"""Checkpoints in a row that may fail to reach their place before the run stops."""


@dataclass(frozen=True)
class Saved:
    """A checkpoint and its cost: the `bytes` of this worker's part, the seconds that training stood still for it, and
    those that writing took meanwhile. `problem` says why it is not in force, or what was done to make it so."""

    step: int
    bytes: int
    stalled: float
    seconds: float = 0.0
    problem: str | None = None
    failed: bool = False


class Saver:
    """Writes this worker's part of checkpoints, one at a time, in a thread; the first worker also publishes and prunes.

    `mine` says whether this attempt is still the run's own: a lost worker that comes to life again publishes nothing.
    """

    def __init__(
        self, place: Place, rank: int, world_size: int, attempt: str, keep: int, mine: Callable[[], bool]
    ) -> None:
        self.place, self.rank, self.world_size, self.attempt = place, rank, world_size, attempt
        self.keep, self.mine = keep, mine
        self.last_step: int | None = None
        self._thread: threading.Thread | None = None
        self._given_up = threading.Event()
        self._reports: list[Saved] = []
        self._failures = 0
        self._error: TrainError | None = None

    @property
    def busy(self) -> bool:
        """Whether the last checkpoint is still being written."""
        return self._thread is not None and self._thread.is_alive()

    def save(self, progress: Progress, pieces: Iterable[Piece]) -> float:
        """Copy the values and let them be written; returns the seconds that took, waiting for the last one included.

        Nothing happens when the last checkpoint is of the same step. Raises TrainError when checkpoints have failed
        for good.
        """
        if progress.step == self.last_step:
            return 0.0
        began = time.perf_counter()
        self.wait()
        self.check()
        copies = snapshot(pieces)
        stalled = time.perf_counter() - began
        self.last_step = progress.step
        self._given_up = threading.Event()
        self._thread = threading.Thread(target=self._write, args=(deepcopy(progress), copies, stalled), daemon=True)
        self._thread.start()
        return stalled

    def wait(self) -> None:
        """Return when nothing is being written any more."""
        if self._thread is not None:
            self._thread.join()

    def check(self) -> None:
        """Raise what makes further checkpoints impossible."""
        if self._error is not None:
            raise self._error

    def reports(self) -> list[Saved]:
        """The checkpoints that were written, or failed, since the last call."""
        reports, self._reports = self._reports, []
        return reports

    def give_up(self) -> None:
        """Wait no longer for the parts of others: one has failed."""
        self._given_up.set()

    def _write(self, progress: Progress, copies: list[Piece], stalled: float) -> None:
        began = time.perf_counter()
        size = sum(piece.values.numel() * piece.values.element_size() for piece in copies)
        report = Saved(progress.step, size, stalled)
        try:
            problem = self._with_room(progress, copies)
            self._failures = 0
            report = replace(report, problem=problem)
        except TrainError as error:
            self._error = error
            report = replace(report, problem=error.what, failed=True)
        except Exception as error:
            self._fail(progress.step, error)
            problem = f"it failed ({_reason(error)}); the one before it is in force"
            report = replace(report, problem=problem, failed=True)
        self._reports.append(replace(report, seconds=time.perf_counter() - began))

    def _with_room(self, progress: Progress, copies: list[Piece]) -> str | None:
        """Write; when the disk is full remove old checkpoints, and write again. Returns what had to be done."""
        try:
            self._once(progress, copies)
            return None
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
        removed = self.place.prune(1, progress.best_step)
        try:
            self._once(progress, copies)
        except OSError as error:
            raise TrainError(
                f"the disk is full ({_reason(error)}), also without old checkpoints",
                where=self.place.shown(progress.step),
                fix="free space, then give the same command again: the run goes on from its last checkpoint",
            ) from error
        return f"the disk was full: {len(removed)} old checkpoints were removed"

    def _once(self, progress: Progress, copies: list[Piece]) -> None:
        step = progress.step
        if step in self.place.steps():
            return  # an earlier attempt wrote it, so it holds the same
        self.place.write_part(step, self.attempt, self.rank, lambda path: write_pieces(path, copies))
        if self.rank == 0 and self.mine():
            if not self.place.commit(step, self.attempt, self.world_size, asdict(progress), self._given_up):
                raise RuntimeError("another worker could not write its part")
            self.place.prune(self.keep, progress.best_step)

    def _fail(self, step: int, error: Exception) -> None:
        self._failures += 1
        if self._failures >= FAILURES:
            self._error = TrainError(
                f"{FAILURES} checkpoints in a row could not be written ({_reason(error)})",
                where=self.place.shown(step),
                fix="mend that, then give the same command again: the run goes on from its last checkpoint",
            )


def _reason(error: Exception) -> str:
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return text.splitlines()[0][:300]
