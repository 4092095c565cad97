"""One row of the traffic log, and the schema of its files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


FLUSH_SECONDS = 10.0
"""Rows wait so long in a gateway before they are written, where storage works."""


@dataclass(frozen=True, slots=True)
class TrafficRow:
    """A request and its answer.

    `id` is the request's in `tunesmith_requests` and in feedback; `at` when its answer ended; `name` the registered
    name that was asked, `model` what the client wrote, `version` who answered: `name@N`, or a base. `role` is live,
    shadow, forced or instead; `request_of` of a shadow the id of the live request that it copies. `messages` is the
    JSON of a list of {role, content} as the client sent them; `answer` the text, None where there is none; `calls` the
    JSON of the tools that the answer calls; `stream` whether it came in pieces. The booleans are None where they do not
    apply or cannot be said.
    """

    id: str
    at: datetime
    name: str
    model: str
    version: str
    messages: str
    path: str = "/v1/chat/completions"
    experiment: str | None = None
    variant: str | None = None
    role: str = "live"
    request_of: str | None = None
    unit: str | None = None
    tenant: str | None = None
    answer: str | None = None
    calls: str | None = None
    stream: bool | None = None
    finish_reason: str | None = None
    status: int = 200
    prompt_tokens: int | None = None
    answer_tokens: int | None = None
    first_seconds: float | None = None
    seconds: float | None = None
    empty: bool | None = None
    truncated: bool | None = None
    invalid: bool | None = None
    refused: bool | None = None
    repeated: bool | None = None


def schema() -> pa.Schema:
    """Columns of every file, in the order of the fields of `TrafficRow`."""
    import pyarrow as pa

    types = {
        "str": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(),
        "datetime": pa.timestamp("us", tz="UTC"),
    }  # fmt: skip
    found = []
    for field in fields(TrafficRow):
        kind, _, optional = str(field.type).partition(" | ")
        found.append(pa.field(field.name, types[kind], nullable=bool(optional)))
    return pa.schema(found)


def table_of(rows: Iterable[TrafficRow]) -> pa.Table:
    """Rows as a table. Times must know their zone."""
    import pyarrow as pa

    columns: dict[str, list[Any]] = {field.name: [] for field in fields(TrafficRow)}
    for row in rows:
        for name, column in columns.items():
            column.append(getattr(row, name))
    return pa.table(columns, schema=schema())


def hour_of(moment: datetime) -> str:
    """The folder of a moment: `date=2026-11-27/hour=06`, in UTC."""
    return f"{moment.astimezone(UTC):date=%Y-%m-%d/hour=%H}"
