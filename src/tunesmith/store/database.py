"""One database, SQLite or PostgreSQL: opened, brought up to date, read and written in transactions."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from tunesmith.errors import StoreError
from tunesmith.store.failures import explain
from tunesmith.store.upgrade import SCHEMA_LOCK, is_current, upgrade
from tunesmith.store.url import parse_database_url, shown

BUSY_SECONDS = 30
"""How long a writer waits for another one before it gives up."""


class NoDatabase(StoreError):
    """Nothing was ever stored here."""


class Database:
    """A database whose tables are those of this version of the code. Open one with `Database.open`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def shown(self) -> str:
        """The URL without its secrets."""
        return shown(self._engine.url)

    @classmethod
    def open(cls, database_url: str, *, create: bool = True) -> Database:
        """Open the database and bring its tables up to date; two processes may do so at once.

        With `create=False` a SQLite file that is not there is refused with NoDatabase instead of being made.
        Raises StoreError when it cannot be reached, is no database, or was written by a newer Tunesmith.
        """
        url = parse_database_url(database_url)
        if url.drivername == "sqlite":
            _find_sqlite_file(url, create)
        database = cls(_engine(url))
        with database.reading() as connection:
            current = is_current(connection, database.shown)
        if not current:
            with database.writing(SCHEMA_LOCK) as connection:
                upgrade(connection, database.shown)
        return database

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for reading, in one transaction."""
        with explain(self.shown), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self, lock: str) -> Iterator[Connection]:
        """One transaction that holds `lock` until it ends: committed if the block ends well, else as if it never was.

        Writers of the same lock take turns, also across machines, so what is read inside cannot be stale. SQLite has
        one lock for all writers.
        """
        engine = self._engine.execution_options(writing=True)
        with explain(self.shown), engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text(f"SET LOCAL lock_timeout = '{BUSY_SECONDS}s'"))
                turn = text("SELECT pg_advisory_xact_lock(hashtextextended(:lock, 0))")
                connection.execute(turn, {"lock": f"tunesmith {lock}"})
            yield connection

    def close(self) -> None:
        """Close idle connections."""
        self._engine.dispose()


def _find_sqlite_file(url: URL, create: bool) -> None:
    file = Path(str(url.database))
    if not create and not file.exists():
        raise NoDatabase(
            "there is no registry here",
            where=str(file),
            fix="go to the project's folder, or set TUNESMITH_HOME or TUNESMITH_DATABASE_URL",
        )
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"the folder of the database cannot be made: {error.strerror}",
            where=str(file.parent),
            fix="choose another place with TUNESMITH_HOME or TUNESMITH_DATABASE_URL",
        ) from error
    # What people asked is in it: others of this machine have no business there, nor in SQLite's own files beside it,
    # which take the same permissions. One that is there keeps its own; one that cannot be made SQLite complains of.
    with suppress(OSError):
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _engine(url: URL) -> Engine:
    if url.drivername == "sqlite":
        # No pool: connecting to a file costs nothing, and a forked worker never inherits an open one.
        engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": BUSY_SECONDS})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    try:
        return create_engine(
            url,
            # READ COMMITTED whatever the server's default: what is read after waiting for a lock must be fresh.
            isolation_level="READ COMMITTED",
            pool_pre_ping=True,
            connect_args={"connect_timeout": 10, "application_name": "tunesmith", "client_encoding": "utf8"},
        )
    except ImportError as error:
        raise StoreError(
            "PostgreSQL needs the psycopg driver, which is not installed",
            where=shown(url),
            fix='pip install "tunesmith[postgres]"',
        ) from error


def _prepare_sqlite(connection: Any, record: object) -> None:
    # Transactions begin where `_begin_sqlite` says, not where Python's driver guesses.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")
    # The mode lasts in the file. Another process may hold it just now, or the file may be read-only: both work without.
    with suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA journal_mode = WAL")


def _begin_sqlite(connection: Connection) -> None:
    # A reader that turns writer half-way can be refused at once, without waiting: writers say so from the start.
    writing = connection.get_execution_options().get("writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
