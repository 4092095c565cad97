"""Retrains, and what each of their steps came to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tunesmith.store.migrations.triggers import keep_as_written

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make the two tables, and the triggers that keep the trail as it was written."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "tunesmith_retrains",
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("running", sa.Boolean, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("state", sa.JSON, nullable=False),
        sa.Column("started_at", moment, nullable=False),
        sa.Column("changed_at", moment, nullable=False),
        sa.Column("owner", sa.Text),
        sa.Column("beat_at", moment),
        sa.PrimaryKeyConstraint("name", "number", name="tunesmith_retrains_key"),
    )
    op.create_table(
        "tunesmith_retrain_steps",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("step", sa.String(40), nullable=False),
        sa.Column("at", moment, nullable=False),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("evidence", sa.JSON, nullable=False),
    )
    op.create_index("tunesmith_retrain_steps_of", "tunesmith_retrain_steps", ["name", "number"])
    keep_as_written("tunesmith_retrain_steps", "the trail of a retrain cannot be changed or deleted")


def downgrade() -> None:
    """Refused: the trail of decisions would be lost."""
    raise NotImplementedError("this migration is not taken back: it would delete the trail of every retrain")
