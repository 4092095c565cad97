"""The home folder and the registry's database: can they be used?"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from tunesmith.errors import TunesmithError
from tunesmith.plan.catalog.system import nearest_folder
from tunesmith.store.home import Home


@dataclass(frozen=True)
class PlaceReport:
    """A place that things are kept in: how it is named, whether it works, and a sentence."""

    shown: str
    works: bool
    state: str
    fix: str | None = None


def look_at_home(home: Home) -> PlaceReport:
    """Try to write in the home folder, or where it would be made. Nothing stays behind."""
    shown = str(home.folder)
    if home.folder.exists() and not home.folder.is_dir():
        return PlaceReport(shown, False, "is a file, not a folder", "move it away, or set TUNESMITH_HOME")
    folder = nearest_folder(home.folder)
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        fix = "set TUNESMITH_HOME to a folder that you may write to"
        return PlaceReport(shown, False, f"cannot be written to: {error.strerror}", fix)
    return PlaceReport(shown, True, "writable" if folder == home.folder else "made when it is first needed")


def look_at_database(home: Home) -> PlaceReport:
    """Connect to the registry's database. A SQLite file that is not there yet is not made; no table is changed."""
    try:
        from sqlalchemy import create_engine, text

        from tunesmith.store.failures import explain
        from tunesmith.store.url import parse_database_url, shown
    except ImportError as error:
        return PlaceReport("registry", False, f"{error.name} is not installed", "pip install sqlalchemy alembic")
    try:
        url = parse_database_url(home.database_url)
        if url.drivername == "sqlite" and not Path(str(url.database)).exists():
            return PlaceReport(shown(url), True, "made when it is first needed")
        options = {} if url.drivername == "sqlite" else {"connect_timeout": 10}
        with explain(shown(url)), create_engine(url, connect_args=options).connect() as connection:
            # Reads the schema, which `SELECT 1` does not: a file that is no database is found out.
            connection.execute(text("SELECT 1 FROM sqlite_master" if url.drivername == "sqlite" else "SELECT 1"))
        return PlaceReport(shown(url), True, "reachable")
    except ImportError:
        return PlaceReport(shown(url), False, "the psycopg driver is missing", "pip install 'tunesmith[postgres]'")
    except TunesmithError as error:
        return PlaceReport(error.where or "registry", False, error.what, error.fix)
