"""API keys, and the trail of who did what."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

TRAIL = "tunesmith_audit"
ANSWER = "the audit trail cannot be changed or deleted"


def upgrade() -> None:
    """Make the two tables, and the triggers that keep the trail as it was written."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "tunesmith_keys",
        sa.Column("id", sa.String(20), primary_key=True),
        sa.Column("digest", sa.String(64), nullable=False, unique=True),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("requests_per_minute", sa.Integer),
        sa.Column("tokens_per_minute", sa.Integer),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("revoked_at", moment),
    )
    op.create_table(
        TRAIL,
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at", moment, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("details", sa.JSON, nullable=False),
    )
    if op.get_bind().dialect.name == "sqlite":
        for event in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {TRAIL}_no_{event.lower()} BEFORE {event} ON {TRAIL} "
                f"BEGIN SELECT RAISE(ABORT, '{ANSWER}'); END"
            )
        op.execute(
            f"CREATE TRIGGER {TRAIL}_no_replace BEFORE INSERT ON {TRAIL} "
            f"WHEN EXISTS (SELECT 1 FROM {TRAIL} WHERE id = NEW.id) BEGIN SELECT RAISE(ABORT, '{ANSWER}'); END"
        )
        return
    op.execute(
        f"CREATE FUNCTION {TRAIL}_frozen() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '{ANSWER}'; "
        "END $$"
    )
    op.execute(
        f"CREATE TRIGGER {TRAIL}_frozen BEFORE UPDATE OR DELETE OR TRUNCATE ON {TRAIL} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {TRAIL}_frozen()"
    )


def downgrade() -> None:
    """Refused: every client would be locked out and the trail be lost."""
    raise NotImplementedError("this migration is not taken back: it would delete every API key and the audit trail")
