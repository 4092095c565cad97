"""Bring a database's tables up to date: the packaged Alembic migrations, in one transaction."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, column, inspect, select, table

from tunesmith.errors import StoreError
from tunesmith.store.tables import REVISION_TABLE, SCHEMA_REVISION

if TYPE_CHECKING:
    from alembic.config import Config

SCHEMA_LOCK = "schema"
"""What a process holds while it migrates."""


def is_current(connection: Connection, where: str) -> bool:
    """Whether the tables are those of this code.

    Raises StoreError for a database of a newer Tunesmith.
    """
    found = _revision(connection)
    if found in (None, SCHEMA_REVISION):
        return found is not None
    _refuse_unknown(str(found), where)
    return False


def upgrade(connection: Connection, where: str) -> None:
    """Run the migrations that are missing, in the connection's transaction and under `SCHEMA_LOCK`.

    A crash half-way leaves the database as it was: both databases roll table changes back.
    Raises StoreError for a database of a newer Tunesmith.
    """
    # Looked at again under the lock: another process may have migrated while this one waited.
    if is_current(connection, where):
        return
    from alembic import command

    config = migrations()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def migrations() -> Config:
    """Alembic's configuration, made from the installed package and from no file."""
    from alembic.config import Config

    config = Config()
    folder = str(Path(__file__).parent / "migrations")
    config.set_main_option("script_location", folder.replace("%", "%%"))
    return config


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(REVISION_TABLE):
        return None
    return connection.execute(select(column("version_num")).select_from(table(REVISION_TABLE))).scalar()


def _refuse_unknown(found: str, where: str) -> None:
    from alembic.script import ScriptDirectory

    known = {script.revision for script in ScriptDirectory.from_config(migrations()).walk_revisions()}
    if found not in known:
        raise StoreError(
            f"the database was written by a newer Tunesmith: its tables are at '{found[:40]}', "
            f"this one knows them up to '{SCHEMA_REVISION}'",
            where=where,
            fix="pip install --upgrade tunesmith",
        )
