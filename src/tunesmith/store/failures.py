"""What a database's failure means to the user, in a sentence without secrets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc

from tunesmith.errors import StoreError

SQLITE = {
    "NOTADB": ("this file is not a SQLite database", "name another file, or move this one away"),
    "CORRUPT": ("the database is damaged", "restore a copy; `sqlite3 FILE .recover` may save what is left"),
    "CANTOPEN": ("the database file cannot be opened", "check that it is a file and that you may read and write it"),
    "READONLY": ("the database may not be written", "check the permissions of the file and of its folder"),
    "BUSY": ("another process has held the database for too long", "wait for it to end, or use PostgreSQL"),
    "FULL": ("the disk is full", "free some space and try again: nothing was half written"),
    "IOERR": (
        "the disk answers with errors",
        "check the disk; a database on a network share is better off in PostgreSQL",
    ),
}
"""Primary result code of SQLite -> (what, fix)."""

POSTGRESQL = {
    "28P01": ("the password is not accepted", "check user and password in TUNESMITH_DATABASE_URL"),
    "28000": ("the server does not let this user in", "check the user in TUNESMITH_DATABASE_URL and pg_hba.conf"),
    "3D000": ("the database does not exist on that server", "make it with `createdb`, or check its name in the URL"),
    "42501": ("this user may not do that", "grant it the right to create and write tables in its schema"),
    "25006": ("the server takes no writes just now", "use the URL of the primary, not of a replica"),
    "53300": ("the server has no connection left", "close other clients or raise max_connections"),
    "53100": ("the server's disk is full", "free some space there and try again: nothing was half written"),
    "22P05": ("the database cannot hold this text", "make it with `createdb --encoding=UTF8 --template=template0`"),
    "55P03": ("another process has held the lock for too long", "wait for it to end and try again"),
}
"""SQLSTATE -> (what, fix)."""

OUT_OF_PLACE = ("the database cannot hold a value that it was given", "use shorter texts without NUL, smaller numbers")

DATA_EXCEPTION = "22"
"""The class of SQLSTATE for values that fit no column: too long, out of range, of characters it cannot hold."""


@contextmanager
def explain(where: str) -> Iterator[None]:
    """Turn a failure of the database into StoreError; a mistake in our SQL stays what it is, with its traceback."""
    try:
        yield
    except exc.DBAPIError as error:
        found = _meaning(error)
        if found is None:
            raise
        what, fix = found
        # `from None`: the driver's error and the URL it was given belong to the same traceback.
        raise StoreError(what, where=where, fix=fix) from None


def _meaning(error: exc.DBAPIError) -> tuple[str, str] | None:
    name = getattr(error.orig, "sqlite_errorname", None)
    if name is not None:
        return SQLITE.get(name.removeprefix("SQLITE_").split("_")[0])
    state = getattr(error.orig, "sqlstate", None)
    if state in POSTGRESQL:
        return POSTGRESQL[state]
    # The driver itself refuses NUL, before the server could name a state.
    if isinstance(error, exc.DataError) if state is None else state.startswith(DATA_EXCEPTION):
        return OUT_OF_PLACE
    if isinstance(error, exc.OperationalError):
        return _unreachable(str(error.orig))
    return None


def _unreachable(message: str) -> tuple[str, str]:
    # libpq reports a refused login only in words when the connection was never made.
    for words, state in (
        ("password authentication failed", "28P01"),
        ("no password supplied", "28P01"),
        ("pg_hba.conf", "28000"),
        ("too many clients", "53300"),
    ):
        if words in message:
            return POSTGRESQL[state]
    if 'database "' in message and "does not exist" in message:
        return POSTGRESQL["3D000"]
    if 'role "' in message and "does not exist" in message:
        return POSTGRESQL["28000"]
    reason = message.strip().splitlines()[0].strip()[:300] if message.strip() else "no reason given"
    return f"the database cannot be reached: {reason}", "check host and port, and that the server runs"
