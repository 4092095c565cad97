"""What Alembic runs: the migrations, inside the transaction that `tunesmith.store.upgrade` opened."""

from __future__ import annotations

from alembic import context

from tunesmith.store import tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=tables.metadata,
    version_table=tables.REVISION_TABLE,
    # SQLite rolls DDL back too; Alembic assumes that Python's driver does not, which holds only for its default mode.
    transactional_ddl=True,
)
context.run_migrations()
