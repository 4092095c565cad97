"""The traffic log of one gateway: a bounded queue on the request's side, a thread that does the work on the other.

Nothing unredacted ever touches a disk, so what a gateway that is killed has not written yet is lost: `FLUSH_SECONDS` of
it at most, where storage works.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from filelock import FileLock, Timeout

from tunesmith.errors import TunesmithError
from tunesmith.monitor.traffic.place import Place
from tunesmith.monitor.traffic.rows import FLUSH_SECONDS, TrafficRow
from tunesmith.monitor.traffic.seen import Seen, row_of
from tunesmith.monitor.traffic.write import delete_old, put_together, write_rows
from tunesmith.recipe.monitor import TrafficSection
from tunesmith.store.home import Home

FLUSH_ROWS = 2000
"""Rows are written when the first is `FLUSH_SECONDS` old, or when there are so many."""

TURN_SECONDS = 0.25
"""The thread looks at what has come so often: a little at a time, not all in one go."""

CLOSE_SECONDS = 10.0
"""How long a gateway that ends waits for storage."""

log = logging.getLogger(__name__)


@dataclass
class _Batch:
    """Rows of one file, under the name that it keeps when it is tried again, with the bytes that they hold."""

    rows: list[TrafficRow] = field(default_factory=list)
    size: int = 0
    file: str = field(default_factory=lambda: f"{secrets.token_hex(8)}.parquet")
    since: float = field(default_factory=time.monotonic)


class TrafficLog:
    """`offer` may be called from anywhere and takes microseconds; the thread of `start` does the rest.

    `written` and `lost` count rows; `pending` is the bytes that wait. `tell` is called with each row, in the thread.
    """

    def __init__(
        self,
        home: Home,
        section: TrafficSection,
        tell: Callable[[TrafficRow], None] | None = None,
        flush_seconds: float = FLUSH_SECONDS,
    ) -> None:
        self._section, self._tell, self._flush_seconds = section, tell, flush_seconds
        self._place, self._folder = Place(home), home.folder
        self._most = int(section.max_pending_mib * 2**20)
        self._lock, self._queue = threading.Lock(), deque[Seen]()
        self._batch, self._ending = _Batch(), threading.Event()
        self._thread: threading.Thread | None = None
        self._trouble: str | None = None
        self.pending = self.written = self.lost = 0

    def tell(self, tell: Callable[[TrafficRow], None]) -> None:
        """Have somebody else see each row too."""
        self._tell = tell

    def wants(self, request: str, opted_out: str | None) -> bool:
        """Whether a request is written down: by its id, which is random, and unless its client has said no.

        `opted_out` is the header: anything but 0 or nothing is a no.
        """
        if opted_out is not None and opted_out.strip() not in ("", "0"):
            return False
        return int(request[:8], 16) < self._section.rate * 2**32

    def offer(self, seen: Seen) -> None:
        """Hand over a request that has been answered. Where too much waits already it is counted, and lost."""
        size = seen.size
        with self._lock:
            if self.pending + size > self._most:
                self.lost += 1
                return
            self.pending += size
            self._queue.append(seen)

    def pass_over(self) -> None:
        """Count a request that cannot be handed over: its answer is too long to be kept."""
        with self._lock:
            self.lost += 1

    def start(self) -> None:
        """Begin to write, in a thread that ends with `close`."""
        self._thread = threading.Thread(target=self._run, name="traffic log", daemon=True)
        self._thread.start()

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Write what waits, if storage lets that happen within so many seconds."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join(seconds)
        if left := len(self._queue) + len(self._batch.rows):
            self.lost += left
            log.warning("traffic log: %d rows are lost, storage did not take them in time", left)

    def tidy(self, now: datetime | None = None) -> None:
        """Delete what is too old, and put small files of past hours together; where storage is gone, another time.

        Of the gateways that share a home folder one does it.
        """
        now = now or datetime.now(UTC)
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self._folder / ".traffic.lock", timeout=0):
                delete_old(self._place, self._section.retention_days, now)
                put_together(self._place, now)
        except Timeout:
            return
        except TunesmithError as error:
            log.warning("traffic log: old files stay for now: %s", error.what)

    def flush(self) -> bool:
        """Look at what has come and write all of it; False where storage does not take it."""
        self._look()
        return self._write()

    def _run(self) -> None:
        pause = TURN_SECONDS
        while not self._ending.wait(pause):
            pause = TURN_SECONDS
            self._look()
            batch = self._batch
            due = len(batch.rows) >= FLUSH_ROWS or time.monotonic() - batch.since >= self._flush_seconds
            if batch.rows and due and not self._write():
                # What comes meanwhile waits in the queue, which is bounded.
                pause = min(self._flush_seconds, 5.0)
        while self.flush() and (self._queue or self._batch.rows):
            pass

    def _look(self) -> None:
        """Turn what waits into rows, but no more than one file holds."""
        while self._queue and len(self._batch.rows) < FLUSH_ROWS:
            seen = self._queue.popleft()
            row = self._row(seen)
            if row is None:
                self._release(seen.size)
                continue
            if not self._batch.rows:
                self._batch.since = time.monotonic()
            self._batch.rows.append(row)
            self._batch.size += seen.size

    def _row(self, seen: Seen) -> TrafficRow | None:
        try:
            row = row_of(seen, self._section.redact)
            if row is not None and self._tell is not None:
                self._tell(row)
            return row
        except Exception:
            # One request that is like no other must not end the log of all others.
            self.lost += 1
            log.exception("traffic log: a request cannot be written down")
            return None

    def _write(self) -> bool:
        if not (batch := self._batch).rows:
            return True
        try:
            write_rows(self._place, batch.rows, batch.file)
            self.written += len(batch.rows)
            if self._trouble is not None:
                log.warning("traffic log: storage takes rows again; %d were lost so far", self.lost)
            self._trouble = None
        except (TunesmithError, OSError) as error:
            what = error.what if isinstance(error, TunesmithError) else str(error)
            if self._trouble is None:
                log.warning("traffic log: rows wait in memory, up to %g MiB: %s", self._most / 2**20, what)
            self._trouble = what
            return False
        except Exception:
            self.lost += len(batch.rows)
            log.exception("traffic log: %d rows cannot be written", len(batch.rows))
        self._release(batch.size)
        self._batch = _Batch()
        return True

    def _release(self, size: int) -> None:
        with self._lock:
            self.pending -= size
