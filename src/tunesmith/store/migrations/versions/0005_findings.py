"""What rules of monitoring found."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tunesmith.store.migrations.triggers import keep_as_written

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the table, and the triggers that keep it as it was written."""
    op.create_table(
        "tunesmith_findings",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("version", sa.String(120)),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("rule", sa.String(120), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("fired", sa.Boolean, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("evidence", sa.JSON, nullable=False),
        sa.CheckConstraint("kind IN ('drift', 'quality', 'health')", name="tunesmith_findings_kind"),
    )
    op.create_index("tunesmith_findings_name", "tunesmith_findings", ["name", "at"])
    op.create_index("tunesmith_findings_rule", "tunesmith_findings", ["name", "rule", "id"])
    op.create_index("tunesmith_requests_version", "tunesmith_requests", ["version", "at"])
    keep_as_written("tunesmith_findings", "what monitoring found cannot be changed or deleted")


def downgrade() -> None:
    """Refused: the reasons of past retrains would be lost."""
    raise NotImplementedError("this migration is not taken back: it would delete what monitoring found")
