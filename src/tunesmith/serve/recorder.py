"""Requests written down: into a file at once, into the database in batches, nothing on a request's way.

A gateway that is killed leaves its file; the next one on this machine takes it up. A row that was written twice counts
once: its id is the key.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from tunesmith.errors import TunesmithError
from tunesmith.store.database import Database
from tunesmith.store.tables import requests

LOCK = "requests"
BATCH = 500
MOST = 100_000
"""Rows that wait while the database is gone; further ones are counted and left out."""

log = logging.getLogger(__name__)


class Recorder:
    """One gateway's. `note` may be called from anywhere; `flush` does the work, in a thread."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database, self._folder = database, folder
        self._lock, self._flushing = threading.Lock(), threading.Lock()
        self._rows: list[dict[str, Any]] = []
        self.lost = 0
        folder.mkdir(parents=True, exist_ok=True)
        self._take_up()
        self._path = folder / f"{os.getpid()}-{os.urandom(4).hex()}.jsonl"
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def note(self, row: dict[str, Any]) -> None:
        """Write a request down. Takes microseconds: the operating system has it when this returns."""
        with self._lock:
            if len(self._rows) >= MOST:
                self.lost += 1
                return
            self._rows.append(row)
            os.write(self._file, orjson.dumps(row) + b"\n")

    def flush(self) -> None:
        """Bring what was noted into the database; what cannot be brought now stays. Raises TunesmithError."""
        with self._flushing:
            while True:
                with self._lock:
                    batch = self._rows[:BATCH]
                if not batch:
                    return
                store(self._database, batch)
                with self._lock:
                    del self._rows[: len(batch)]
                    if not self._rows:
                        os.ftruncate(self._file, 0)

    def close(self) -> None:
        """Bring everything in and remove the file."""
        try:
            self.flush()
        except TunesmithError as error:
            log.warning("%d requests stay in %s: %s", len(self._rows), self._path, error.what)
            return
        os.close(self._file)
        self._path.unlink(missing_ok=True)

    def _take_up(self) -> None:
        """Rows that a gateway of before could not bring in. A gateway that lives holds a lock on its file."""
        for path in sorted(self._folder.glob("*.jsonl")):
            with path.open("rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                rows = []
                for line in file:
                    try:
                        rows.append(orjson.loads(line))
                    except orjson.JSONDecodeError:
                        continue  # the last line of a process that was killed
                for start in range(0, len(rows), BATCH):
                    store(self._database, rows[start : start + BATCH])
                path.unlink(missing_ok=True)


def store(database: Database, rows: list[dict[str, Any]]) -> None:
    """Insert rows; those that are there already are left alone."""
    values = [{**row, "at": datetime.fromtimestamp(row["at"], UTC)} for row in rows]
    try:
        with database.writing(LOCK) as connection:
            connection.execute(insert(requests), values)
    except IntegrityError:
        with database.writing(LOCK) as connection:
            ids = [row["id"] for row in values]
            known = set(connection.execute(select(requests.c.id).where(requests.c.id.in_(ids))).scalars())
            fresh = list({row["id"]: row for row in values if row["id"] not in known}.values())
            if fresh:
                connection.execute(insert(requests), fresh)
