"""What requests and feedback say of an experiment: users by variant, samples of metrics, counts for guardrails."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from sqlalchemy import case, func, select

from tunesmith.experiment.experiment import CONTROL, Experiment
from tunesmith.experiment.guardrail import Count, Watched
from tunesmith.experiment.mismatch import Stratum
from tunesmith.experiment.sample import Pair, Sample
from tunesmith.store.database import Database
from tunesmith.store.tables import feedback, requests

LIVE, SHADOW, FORCED, INSTEAD = "live", "shadow", "forced", "instead"
"""What a request was: one that a user waited for, a copy whose answer nobody saw, one with a variant asked for, or one
that the control answered because the variant could not."""

THUMB = "thumb"


@dataclass(frozen=True)
class Evidence:
    """All that is read of an experiment.

    `users` are those of each epoch by variant; `samples` the strata of each goal, for each treatment against the
    control; `counts` the happenings by variant and rule.
    """

    users: dict[int, dict[str, int]]
    samples: dict[str, dict[str, list[Pair]]]
    counts: dict[str, dict[Watched, Count]] = field(default_factory=dict)

    def strata(self, experiment: Experiment) -> list[Stratum]:
        """Users beside the weights of their time."""
        return [(came, experiment.epochs[str(epoch)]) for epoch, came in self.users.items()]


def gather(database: Database, experiment: Experiment) -> Evidence:
    """Read it. A user counts in the epoch, and for the variant, of the first request; what came after a move to another
    variant is left out."""
    firsts = first_requests(database, experiment.id)
    users: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for epoch, variant in firsts.values():
        users[epoch][variant] += 1
    samples = {
        goal.name: _strata(firsts, values_of(database, experiment.id, goal.name), experiment.treatments)
        for goal in experiment.goals
    }
    return Evidence(
        {epoch: dict(came) for epoch, came in sorted(users.items())}, samples, _counts(database, experiment)
    )


def first_requests(database: Database, experiment_id: str) -> dict[str, tuple[int, str]]:
    """User -> epoch and variant of the first live request."""
    found: dict[str, tuple[int, str]] = {}
    rows = select(requests.c.unit, requests.c.epoch, requests.c.variant).where(
        requests.c.experiment == experiment_id, requests.c.role == LIVE
    )
    with database.reading() as connection:
        for unit, epoch, variant in connection.execute(rows.order_by(requests.c.at, requests.c.id)):
            found.setdefault(unit, (epoch, variant))
    return found


def values_of(database: Database, experiment_id: str, metric: str) -> dict[tuple[str, str], float]:
    """User and variant -> the mean of what was said of the answers."""
    rows = (
        select(requests.c.unit, requests.c.variant, func.avg(feedback.c.value))
        .join(feedback, feedback.c.request == requests.c.id)
        .where(
            requests.c.experiment == experiment_id,
            requests.c.role == LIVE,
            feedback.c.metric == metric,
            feedback.c.value.is_not(None),
        )
        .group_by(requests.c.unit, requests.c.variant)
    )
    with database.reading() as connection:
        return {(unit, variant): float(value) for unit, variant, value in connection.execute(rows)}


def _strata(
    firsts: dict[str, tuple[int, str]], values: dict[tuple[str, str], float], treatments: tuple[str, ...]
) -> dict[str, list[Pair]]:
    by: dict[tuple[int, str], list[float]] = defaultdict(list)
    for unit, (epoch, variant) in firsts.items():
        if (value := values.get((unit, variant))) is not None:
            by[epoch, variant].append(value)
    epochs = sorted({epoch for epoch, _ in by})
    return {
        name: [(Sample.of(by[epoch, name]), Sample.of(by[epoch, CONTROL])) for epoch in epochs] for name in treatments
    }


def _counts(database: Database, experiment: Experiment) -> dict[str, dict[Watched, Count]]:
    """By variant; of shadows too, which nobody waited for but which show what would come."""
    table = requests.c
    answered = table.status < 400

    def times(condition: object) -> object:
        return func.sum(case((condition, 1), else_=0))  # type: ignore[arg-type]

    rows = (
        select(
            table.variant, func.count(), times(table.status >= 500), times(answered),
            times(answered & (table.first_seconds > experiment.slow_seconds)),
            times(table.empty.is_(True)), times(table.empty.is_not(None)),
            times(table.truncated.is_(True)), times(table.truncated.is_not(None)),
            times(table.invalid.is_(True)), times(table.invalid.is_not(None)),
        )  # type: ignore[call-overload]
        .where(table.experiment == experiment.id, table.role.in_((LIVE, SHADOW)))
        .group_by(table.variant)
    )  # fmt: skip
    thumbs = (
        select(table.variant, times(feedback.c.value <= 0), func.count())  # type: ignore[call-overload]
        .join(feedback, feedback.c.request == table.id)
        .where(table.experiment == experiment.id, feedback.c.metric == THUMB)
        .group_by(table.variant)
    )
    with database.reading() as connection:
        found: dict[str, dict[Watched, Count]] = {}
        for variant, every, errors, good, slow, empty, seen, cut, known, invalid, checked in connection.execute(rows):
            found[variant] = {
                "error_rate": Count(errors, every), "slow_rate": Count(slow, good), "empty_rate": Count(empty, seen),
                "truncated_rate": Count(cut, known), "invalid_rate": Count(invalid, checked),
            }  # fmt: skip
        for variant, down, said in connection.execute(thumbs):
            found.setdefault(variant, {})["negative_rate"] = Count(down, said)
    return found
