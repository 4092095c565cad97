"""The SQL tables, as the newest migration leaves them."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.types import TypeDecorator

SCHEMA_REVISION = "0006"
"""Newest migration. A database at this revision is opened without loading Alembic."""

REVISION_TABLE = "tunesmith_schema"
"""Where Alembic keeps the revision. All names are prefixed: a PostgreSQL database may be shared, with MLflow say."""


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, always in UTC. SQLite keeps no time zone, so it is taken off before and put back after."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a moment without a time zone: {value}")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData()

versions = Table(
    "tunesmith_versions",
    metadata,
    Column("name", String(100), nullable=False),
    Column("number", Integer, nullable=False),
    Column("content_hash", String(64), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("base_model", Text, nullable=False),
    Column("base_revision", Text),
    Column("recipe_hash", String(128), nullable=False),
    Column("recipe", JSON, nullable=False),
    Column("dataset_version", Text),
    Column("run_id", Text),
    Column("artefact_uri", Text, nullable=False),
    Column("report", JSON(none_as_null=True)),
    Column("report_uri", Text),
    Column("verdict", String(20), nullable=False),
    Column("reasons", JSON, nullable=False),
    Column("metrics", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("created_by", Text, nullable=False),
    PrimaryKeyConstraint("name", "number", name="tunesmith_versions_key"),
    # What makes a registration the same one: the files, the recipe, and what the evaluation said.
    UniqueConstraint("name", "content_hash", "recipe_hash", "verdict", name="tunesmith_versions_same"),
    CheckConstraint("number >= 1", name="tunesmith_versions_number"),
    CheckConstraint("kind IN ('adapter', 'full')", name="tunesmith_versions_kind"),
    CheckConstraint("verdict IN ('passed', 'failed', 'unevaluated')", name="tunesmith_versions_verdict"),
)
"""One row for each model version. Triggers refuse UPDATE and DELETE."""

aliases = Table(
    "tunesmith_aliases",
    metadata,
    Column("name", String(100), nullable=False),
    Column("alias", String(64), nullable=False),
    Column("number", Integer, nullable=False),
    Column("moved_at", UtcDateTime, nullable=False),
    Column("moved_by", Text, nullable=False),
    Column("why", Text, nullable=False),
    PrimaryKeyConstraint("name", "alias", name="tunesmith_aliases_key"),
    ForeignKeyConstraint(
        ["name", "number"], ["tunesmith_versions.name", "tunesmith_versions.number"], name="tunesmith_aliases_version"
    ),
)
"""Where each alias points now."""

alias_moves = Table(
    "tunesmith_alias_moves",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("name", String(100), nullable=False),
    Column("alias", String(64), nullable=False),
    Column("from_number", Integer),
    Column("to_number", Integer, nullable=False),
    Column("moved_at", UtcDateTime, nullable=False),
    Column("moved_by", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("forced", Boolean, nullable=False),
    ForeignKeyConstraint(
        ["name", "to_number"], ["tunesmith_versions.name", "tunesmith_versions.number"], name="tunesmith_moves_version"
    ),
)
"""Every move of every alias, oldest first by id. Triggers refuse UPDATE and DELETE."""

keys = Table(
    "tunesmith_keys",
    metadata,
    Column("id", String(20), primary_key=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("tenant", String(64), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("requests_per_minute", Integer),
    Column("tokens_per_minute", Integer),
    Column("created_at", UtcDateTime, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("revoked_at", UtcDateTime),
)
"""One row for each API key, revoked ones too; of the secret only its SHA-256."""

audit = Table(
    "tunesmith_audit",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", UtcDateTime, nullable=False),
    Column("who", Text, nullable=False),
    Column("action", String(64), nullable=False),
    Column("subject", Text, nullable=False),
    Column("details", JSON, nullable=False),
)
"""Who did what to keys and traffic, oldest first by id. Triggers refuse UPDATE and DELETE."""

experiments = Table(
    "tunesmith_experiments",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(100), nullable=False),
    Column("running", Boolean, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("state", JSON, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
)
"""Experiments as they are now; `state` is what `experiment.Experiment` writes."""

experiment_changes = Table(
    "tunesmith_experiment_changes",
    metadata,
    Column("experiment", String(64), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("who", Text, nullable=False),
    Column("action", String(32), nullable=False),
    Column("why", Text, nullable=False),
    Column("state", JSON, nullable=False),
    PrimaryKeyConstraint("experiment", "revision", name="tunesmith_experiment_changes_key"),
)
"""Every state an experiment was in, who brought it there, and why."""

requests = Table(
    "tunesmith_requests",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("tenant", String(64), nullable=False),
    Column("model", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("experiment", String(64)),
    Column("variant", String(64)),
    Column("epoch", Integer),
    Column("unit", String(64)),
    Column("role", String(16), nullable=False),
    Column("status", Integer, nullable=False),
    Column("first_seconds", Float),
    Column("seconds", Float, nullable=False),
    Column("pieces", Integer, nullable=False),
    Column("empty", Boolean),
    Column("truncated", Boolean),
    Column("invalid", Boolean),
    Index("tunesmith_requests_experiment", "experiment", "unit", "at"),
    Index("tunesmith_requests_version", "version", "at"),
)
"""One row for each request that an engine was asked: who answered, how it went. No text of it."""

feedback = Table(
    "tunesmith_feedback",
    metadata,
    Column("request", String(64), nullable=False),
    Column("metric", String(64), nullable=False),
    Column("tenant", String(64), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("value", Float),
    Column("text", Text),
    PrimaryKeyConstraint("request", "metric", "tenant", name="tunesmith_feedback_key"),
)
"""What was said of an answer, by metric: the last word of each tenant counts."""

parity = Table(
    "tunesmith_parity",
    metadata,
    Column("version", String(120), nullable=False),
    Column("engine", String(200), nullable=False),
    Column("passed", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("evidence", JSON, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("version", "engine", name="tunesmith_parity_key"),
)
"""Whether an engine says what the trainer's model says, by version and kind of engine; the last check counts."""

review_items = Table(
    "tunesmith_review_items",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(100), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("priority", Float, nullable=False),
    Column("sources", JSON, nullable=False),
    Column("content", JSON, nullable=False),
    Column("gold", JSON(none_as_null=True)),
    Column("created_at", UtcDateTime, nullable=False),
    Index("tunesmith_review_items_name", "name", "priority"),
    CheckConstraint("kind IN ('pair', 'answer')", name="tunesmith_review_items_kind"),
)
"""What people are asked to judge: two answers side by side, or one on its own; `gold` is what is known to be right.
`sources` says whose the answers are, in the order of those in `content`."""

review_ratings = Table(
    "tunesmith_review_ratings",
    metadata,
    Column("item", String(32), nullable=False),
    Column("rater", String(64), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("choice", String(200)),
    Column("scales", JSON, nullable=False),
    Column("correction", Text),
    Column("seconds", Float),
    PrimaryKeyConstraint("item", "rater", name="tunesmith_review_ratings_key"),
)
"""What a rater said of an item; the last word counts. `choice` is the source chosen, `tie` or `unsure`."""

review_rubrics = Table(
    "tunesmith_review_rubrics",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("rubric", JSON, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
)
"""How the answers of a name are judged, where that is not as usual."""

findings = Table(
    "tunesmith_findings",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("name", String(100), nullable=False),
    Column("version", String(120)),
    Column("at", UtcDateTime, nullable=False),
    Column("rule", String(120), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("fired", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("evidence", JSON, nullable=False),
    Index("tunesmith_findings_name", "name", "at"),
    Index("tunesmith_findings_rule", "name", "rule", "id"),
    CheckConstraint("kind IN ('drift', 'quality', 'health')", name="tunesmith_findings_kind"),
)
"""Every evaluation of every rule of monitoring, fired or not. Triggers refuse UPDATE and DELETE."""

retrains = Table(
    "tunesmith_retrains",
    metadata,
    Column("name", String(100), nullable=False),
    Column("number", Integer, nullable=False),
    Column("running", Boolean, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("state", JSON, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    Column("owner", Text),
    Column("beat_at", UtcDateTime),
    PrimaryKeyConstraint("name", "number", name="tunesmith_retrains_key"),
)
"""Retrains as they are now; `state` is what `monitor.retrain` writes, `owner` drives, `beat_at` is its last sign."""

retrain_steps = Table(
    "tunesmith_retrain_steps",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("name", String(100), nullable=False),
    Column("number", Integer, nullable=False),
    Column("step", String(40), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("verdict", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("evidence", JSON, nullable=False),
    Index("tunesmith_retrain_steps_of", "name", "number"),
)
"""What each step of each retrain came to, oldest first by id. Triggers refuse UPDATE and DELETE."""
