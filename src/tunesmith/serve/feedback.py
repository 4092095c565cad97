"""What clients say of answers: a thumb, a score, a label, a corrected answer, a text, metrics of their own."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, insert, select

from tunesmith.experiment.evidence import THUMB
from tunesmith.serve.problem import Problem, refused
from tunesmith.store.database import Database
from tunesmith.store.tables import feedback, requests

REQUEST = re.compile(r"(?:chatcmpl-|cmpl-)?([0-9a-f]{32})(?:-[0-9]+)?")
METRIC = re.compile(r"[a-z][a-z0-9_]{0,39}")
MAX_TEXT, MAX_METRICS = 100_000, 20
TEXTS = ("label", "correction", "text")
RESERVED = (THUMB, "score", *TEXTS, "invalid", "review_correction")
"""Fields of feedback, and what is watched under these names without any feedback."""
LOCK = "feedback"

Said = dict[str, tuple[float | None, str | None]]
"""Metric -> number and text."""


def parse_feedback(body: object) -> tuple[str, Said]:
    """The request that is meant, and what is said. Raises Problem naming the field."""
    if not isinstance(body, dict):
        raise Problem(400, "the body is not a JSON object", "not_an_object")
    unknown = sorted(set(body) - {"id", THUMB, "score", "metrics", *TEXTS})
    if unknown:
        raise refused(str(unknown[0])[:80], f"{str(unknown[0])[:80]!a} is not part of feedback", "unknown_field")
    found = REQUEST.fullmatch(body["id"]) if isinstance(body.get("id"), str) else None
    if found is None:
        raise refused("id", "id is that of an answer: chatcmpl-...")
    said: Said = {}
    if THUMB in body:
        said[THUMB] = (_thumb(body[THUMB]), None)
    if "score" in body:
        said["score"] = (_number("score", body["score"]), None)
    for name in TEXTS:
        if name in body:
            said[name] = (None, _text(name, body[name]))
    metrics = body.get("metrics", {})
    if not isinstance(metrics, dict) or len(metrics) > MAX_METRICS:
        raise refused("metrics", f"metrics are at most {MAX_METRICS} numbers by name")
    for name, value in metrics.items():
        if not METRIC.fullmatch(name):
            raise refused(
                "metrics", f"{name[:40]!a} is not a name for a metric: lower-case letters, digits, underscores"
            )
        if name in RESERVED:
            raise refused("metrics", f"{name} is no name for a metric of one's own")
        said[name] = (_number(f"metrics.{name}", value), None)
    if not said:
        raise refused(THUMB, "nothing is said: give thumb, score, label, correction, text or metrics", "empty")
    return found[1], said


def keep(database: Database, request: str, said: Said, tenant: str, now: datetime | None = None) -> bool:
    """Write it down; what the tenant said before of the same request and metric is replaced.

    False where no request of this tenant has that id.
    """
    known = select(requests.c.tenant).where(requests.c.id == request)
    with database.writing(LOCK) as connection:
        if connection.execute(known).scalar() != tenant:
            return False
        moment = now or datetime.now(UTC)
        mine = (feedback.c.request == request, feedback.c.tenant == tenant)
        connection.execute(delete(feedback).where(*mine, feedback.c.metric.in_(list(said))))
        rows = [
            {"request": request, "metric": name, "tenant": tenant, "at": moment, "value": value, "text": text}
            for name, (value, text) in said.items()
        ]
        connection.execute(insert(feedback), rows)
        return True


def _thumb(value: Any) -> float:
    if value in ("up", 1):  # True too
        return 1.0
    if value in ("down", 0, -1):
        return 0.0
    raise refused(THUMB, "thumb is 'up' or 'down'")


def _number(where: str, value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and abs(value) < 1e15:
        return float(value)
    raise refused(where, f"{where} is a number")


def _text(where: str, value: Any) -> str:
    if isinstance(value, str) and len(value) <= MAX_TEXT and "\0" not in value:
        return value
    raise refused(where, f"{where} is a text of at most {MAX_TEXT:,} characters")
