"""What is said of a version's answers, and what shows in them, as streams of numbers in order of time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import Float, Select, case, cast, func, select

from tunesmith.experiment.evidence import LIVE, THUMB
from tunesmith.monitor.quality.detect import on_scale
from tunesmith.monitor.quality.distance import edit_distance
from tunesmith.review.reviews import Reviews
from tunesmith.store.database import Database
from tunesmith.store.tables import feedback, requests

INVALID, CORRECTION, REVIEW = "invalid", "correction", "review_correction"
BOUNDED = (THUMB, INVALID, CORRECTION, REVIEW)
"""Between 0 and 1 by themselves; of all other metrics the first values say what is much."""

LESS_IS_BETTER = (INVALID, CORRECTION, REVIEW)

SCORE = "score"
MOST_METRICS = 20
"""Of metrics that only clients have named so many are watched: those of most tenants."""

MOST = 200_000
"""Of a longer stream a sample is read: the requests whose random id begins with a zero, or with more of them."""


@dataclass(frozen=True)
class Stream:
    """One metric of one version: a value for each answer that has one, and when it came.

    `named` where the recipe, an experiment or Tunesmith itself names it; any client may make up others.
    """

    metric: str
    version: str
    more_is_better: bool
    values: tuple[float, ...]
    moments: tuple[datetime, ...]
    named: bool = True

    @property
    def good(self) -> np.ndarray:
        """(values,) between 0 and 1, more is better."""
        good = on_scale(self.values, self.metric in BOUNDED)
        if not self.more_is_better:
            good = np.subtract(1.0, good)
        return good


def versions_of(database: Database, name: str, since: datetime) -> list[str]:
    """Versions of a name, `name@N`, that have answered users since then."""
    answered = select(requests.c.version).where(
        requests.c.version.startswith(f"{name}@", autoescape=True), requests.c.at >= since, requests.c.role == LIVE
    )
    with database.reading() as connection:
        return sorted(connection.execute(answered.distinct()).scalars())


def read_streams(
    database: Database, version: str, lower_is_better: Collection[str] = (), goals: Collection[str] = ()
) -> list[Stream]:
    """Metrics of a version, from its first answer on: what clients say, whether answers are valid, how far they are
    from what raters would have them be.

    Of metrics that clients have made up, which neither `lower_is_better` nor `goals` names, those of most tenants.

    The numbers of clients' corrections are those that `corrections.measure` has written beside them.
    """
    of_users = (requests.c.version == version) & (requests.c.role == LIVE)
    said = (
        select(feedback.c.at, feedback.c.value)
        .join(requests, requests.c.id == feedback.c.request)
        .where(of_users, feedback.c.value.is_not(None))
        .order_by(feedback.c.at, feedback.c.request, feedback.c.tenant)
    )
    checked = (
        select(requests.c.at, cast(case((requests.c.invalid.is_(True), 1.0), else_=0.0), Float))
        .where(of_users, requests.c.invalid.is_not(None))
        .order_by(requests.c.at, requests.c.id)
    )
    tenants = func.count(feedback.c.tenant.distinct())
    metrics = (
        said.with_only_columns(feedback.c.metric, maintain_column_froms=True)
        .where(feedback.c.metric.not_in((INVALID, REVIEW)))
        .group_by(feedback.c.metric)
        .order_by(None)
        .order_by(tenants.desc(), func.count().desc(), feedback.c.metric)
    )
    named = {THUMB, SCORE, CORRECTION, INVALID, REVIEW, *lower_is_better, *goals}
    with database.reading() as connection:
        every = [str(one) for one in connection.execute(metrics).scalars()]
    others = [one for one in every if one not in named][:MOST_METRICS]
    wanted = {one: said.where(feedback.c.metric == one) for one in every if one in named or one in others}
    found = [(metric, _read(database, rows)) for metric, rows in [*sorted(wanted.items()), (INVALID, checked)]]
    found.append((REVIEW, _reviewed(database, version)))
    return [
        Stream(
            metric, version, metric not in LESS_IS_BETTER and metric not in lower_is_better,
            tuple(float(value) for _, value in rows), tuple(moment for moment, _ in rows), metric in named,
        )
        for metric, rows in found
        if rows
    ]  # fmt: skip


def _read(database: Database, rows: Select[Any]) -> list[tuple[datetime, float]]:
    with database.reading() as connection:
        number = connection.execute(select(func.count()).select_from(rows.order_by(None).subquery())).scalar_one()
        begin = ""
        while number > MOST:
            begin, number = f"{begin}0", number // 16
        if begin:
            rows = rows.where(requests.c.id.startswith(begin))
        return [(row[0], row[1]) for row in connection.execute(rows)]


def _reviewed(database: Database, version: str) -> list[tuple[datetime, float]]:
    """Each answer of the version that a rater corrected, and how far it was from the correction."""
    reviews = Reviews(database)
    name = version.partition("@")[0]
    corrections = reviews.corrections(name)
    items = {one.id: one for one in reviews.items(name)} if corrections else {}
    return [
        (one.at, edit_distance(answer.text, one.answer))
        for one in sorted(corrections, key=lambda one: (one.at, one.item, one.rater))
        for answer in items[one.item].answers
        if answer.source == version
    ]
