"""Experiments, the changes made to them, requests that were answered, what users said of the answers; parity."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the five tables."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "tunesmith_experiments",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("running", sa.Boolean, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("state", sa.JSON, nullable=False),
        sa.Column("started_at", moment, nullable=False),
        sa.Column("changed_at", moment, nullable=False),
    )
    op.create_table(
        "tunesmith_experiment_changes",
        sa.Column("experiment", sa.String(64), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("at", moment, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("state", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("experiment", "revision", name="tunesmith_experiment_changes_key"),
    )
    op.create_table(
        "tunesmith_requests",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("at", moment, nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("experiment", sa.String(64)),
        sa.Column("variant", sa.String(64)),
        sa.Column("epoch", sa.Integer),
        sa.Column("unit", sa.String(64)),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("first_seconds", sa.Float),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("pieces", sa.Integer, nullable=False),
        sa.Column("empty", sa.Boolean),
        sa.Column("truncated", sa.Boolean),
        sa.Column("invalid", sa.Boolean),
    )
    op.create_index("tunesmith_requests_experiment", "tunesmith_requests", ["experiment", "unit", "at"])
    op.create_table(
        "tunesmith_feedback",
        sa.Column("request", sa.String(64), nullable=False),
        sa.Column("metric", sa.String(64), nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("at", moment, nullable=False),
        sa.Column("value", sa.Float),
        sa.Column("text", sa.Text),
        sa.PrimaryKeyConstraint("request", "metric", "tenant", name="tunesmith_feedback_key"),
    )
    op.create_table(
        "tunesmith_parity",
        sa.Column("version", sa.String(120), nullable=False),
        sa.Column("engine", sa.String(200), nullable=False),
        sa.Column("passed", sa.Boolean, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("evidence", sa.JSON, nullable=False),
        sa.Column("at", moment, nullable=False),
        sa.PrimaryKeyConstraint("version", "engine", name="tunesmith_parity_key"),
    )


def downgrade() -> None:
    """Refused: it would throw away what users said."""
    raise NotImplementedError("this migration is not taken back: it would delete every experiment and all feedback")
