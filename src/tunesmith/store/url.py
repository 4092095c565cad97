"""Database URLs: which ones are understood, and how they are shown without their secrets."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from tunesmith.errors import StoreError

EXAMPLES = "write sqlite:////absolute/path/registry.db or postgresql://user:password@host:5432/database"


def parse_database_url(text: str) -> URL:
    """Understand a SQLite or PostgreSQL URL; the driver for PostgreSQL is psycopg 3.

    Raises StoreError for anything else, in words that never repeat the URL: a mistyped one may show its password.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        # SQLAlchemy's own sentence may quote the part after a stray ':' or '@', which is often the password.
        raise StoreError(
            "the database URL cannot be read",
            where="TUNESMITH_DATABASE_URL",
            fix=f"{EXAMPLES}; in a password, write %40 for @, %2F for / and %3A for :",
        ) from None
    if url.drivername in ("sqlite", "sqlite+pysqlite"):
        return _sqlite(url)
    if url.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return url.set(drivername="postgresql+psycopg")
    raise StoreError(
        f"databases of the kind '{url.drivername[:40]}' are not supported", where="TUNESMITH_DATABASE_URL", fix=EXAMPLES
    )


def shown(url: URL) -> str:
    """The URL for people: the password as ***, options left out because they may hold one too."""
    return url.set(query={}).render_as_string(hide_password=True)


def _sqlite(url: URL) -> URL:
    if url.query:
        raise StoreError(
            "a SQLite URL takes no '?'",
            where=shown(url),
            fix="leave the options out; a folder with '?' in its name cannot hold the database",
        )
    if not url.database or url.database == ":memory:":
        raise StoreError(
            "a SQLite URL must name a file", where="TUNESMITH_DATABASE_URL", fix="write sqlite:////path/registry.db"
        )
    return url.set(drivername="sqlite", database=str(Path(url.database).expanduser()))
