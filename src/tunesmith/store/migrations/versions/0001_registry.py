"""Model versions that cannot change, movable aliases, and the history of their moves."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

FROZEN = {
    "tunesmith_versions": "a model version cannot be changed or deleted",
    "tunesmith_alias_moves": "the history of an alias cannot be changed or deleted",
}
"""Table -> what the database answers to UPDATE and DELETE."""


def upgrade() -> None:
    """Make the three tables and the triggers that keep two of them as they were written."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "tunesmith_versions",
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("content_hash", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("base_model", sa.Text, nullable=False),
        sa.Column("base_revision", sa.Text),
        sa.Column("recipe_hash", sa.String(128), nullable=False),
        sa.Column("recipe", sa.JSON, nullable=False),
        sa.Column("dataset_version", sa.Text),
        sa.Column("run_id", sa.Text),
        sa.Column("artefact_uri", sa.Text, nullable=False),
        sa.Column("report", sa.JSON),
        sa.Column("report_uri", sa.Text),
        sa.Column("verdict", sa.String(20), nullable=False),
        sa.Column("reasons", sa.JSON, nullable=False),
        sa.Column("metrics", sa.JSON, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", "number", name="tunesmith_versions_key"),
        sa.UniqueConstraint("name", "content_hash", "recipe_hash", "verdict", name="tunesmith_versions_same"),
        sa.CheckConstraint("number >= 1", name="tunesmith_versions_number"),
        sa.CheckConstraint("kind IN ('adapter', 'full')", name="tunesmith_versions_kind"),
        sa.CheckConstraint("verdict IN ('passed', 'failed', 'unevaluated')", name="tunesmith_versions_verdict"),
    )
    version_key = ["tunesmith_versions.name", "tunesmith_versions.number"]
    op.create_table(
        "tunesmith_aliases",
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("alias", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("moved_at", moment, nullable=False),
        sa.Column("moved_by", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", "alias", name="tunesmith_aliases_key"),
        sa.ForeignKeyConstraint(["name", "number"], version_key, name="tunesmith_aliases_version"),
    )
    op.create_table(
        "tunesmith_alias_moves",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("alias", sa.String(64), nullable=False),
        sa.Column("from_number", sa.Integer),
        sa.Column("to_number", sa.Integer, nullable=False),
        sa.Column("moved_at", moment, nullable=False),
        sa.Column("moved_by", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("forced", sa.Boolean, nullable=False),
        sa.ForeignKeyConstraint(["name", "to_number"], version_key, name="tunesmith_moves_version"),
    )
    freeze = _freeze_sqlite if op.get_bind().dialect.name == "sqlite" else _freeze_postgresql
    for table, answer in FROZEN.items():
        freeze(table, answer)


def _freeze_sqlite(table: str, answer: str) -> None:
    for event in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {table}_no_{event.lower()} BEFORE {event} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{answer}'); END"
        )
    # INSERT OR REPLACE deletes the row it collides with, and fires no DELETE trigger by default.
    collides = {
        "tunesmith_versions": "name = NEW.name AND (number = NEW.number OR (content_hash = NEW.content_hash "
        "AND recipe_hash = NEW.recipe_hash AND verdict = NEW.verdict))",
        "tunesmith_alias_moves": "id = NEW.id",
    }[table]
    op.execute(
        f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} "
        f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {collides}) BEGIN SELECT RAISE(ABORT, '{answer}'); END"
    )


def _freeze_postgresql(table: str, answer: str) -> None:
    op.execute(
        f"CREATE FUNCTION {table}_frozen() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{answer}'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {table}_frozen BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_frozen()"
    )


def downgrade() -> None:
    """Refused: it would throw the registry away."""
    raise NotImplementedError("the first migration is not taken back: it would delete every version")
