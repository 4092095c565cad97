"""What people are asked to judge, how, and what they said."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the three tables."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "tunesmith_review_items",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("priority", sa.Float, nullable=False),
        sa.Column("sources", sa.JSON, nullable=False),
        sa.Column("content", sa.JSON, nullable=False),
        sa.Column("gold", sa.JSON),
        sa.Column("created_at", moment, nullable=False),
        sa.CheckConstraint("kind IN ('pair', 'answer')", name="tunesmith_review_items_kind"),
    )
    op.create_index("tunesmith_review_items_name", "tunesmith_review_items", ["name", "priority"])
    op.create_table(
        "tunesmith_review_ratings",
        sa.Column("item", sa.String(32), nullable=False),
        sa.Column("rater", sa.String(64), nullable=False),
        sa.Column("at", moment, nullable=False),
        sa.Column("choice", sa.String(200)),
        sa.Column("scales", sa.JSON, nullable=False),
        sa.Column("correction", sa.Text),
        sa.Column("seconds", sa.Float),
        sa.PrimaryKeyConstraint("item", "rater", name="tunesmith_review_ratings_key"),
    )
    op.create_table(
        "tunesmith_review_rubrics",
        sa.Column("name", sa.String(100), primary_key=True),
        sa.Column("rubric", sa.JSON, nullable=False),
        sa.Column("changed_at", moment, nullable=False),
    )


def downgrade() -> None:
    """Refused: it would throw away people's work."""
    raise NotImplementedError("this migration is not taken back: it would delete every rating")
