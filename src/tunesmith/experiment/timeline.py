"""How a difference and its interval went as users came: what one would have seen at every look."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from tunesmith.experiment.evidence import first_requests, values_of
from tunesmith.experiment.experiment import CONTROL, Experiment
from tunesmith.experiment.sample import Pair, Sample, difference
from tunesmith.experiment.sequence import Interval, interval
from tunesmith.store.database import Database

LOOKS = 60


@dataclass(frozen=True)
class Look:
    """So many users with a value, of both together, and the interval then."""

    users: int
    seen: Interval


def timeline(database: Database, experiment: Experiment, metric: str, variant: str, looks: int = LOOKS) -> list[Look]:
    """The interval of a metric at so many looks, evenly over the users as they came, at the alpha it is read with."""
    firsts = first_requests(database, experiment.id)
    values = values_of(database, experiment.id, metric)
    order = [
        (epoch, name, values[unit, name])
        for unit, (epoch, name) in firsts.items()
        if name in (variant, CONTROL) and (unit, name) in values
    ]
    alpha = experiment.alpha / len(experiment.treatments) / max(1, len(experiment.goals))
    found, done = [], 0
    samples: dict[tuple[int, str], Sample] = defaultdict(lambda: Sample(0, 0.0, 0.0))
    for number in sorted({max(1, round(len(order) * look / looks)) for look in range(1, looks + 1)}):
        for epoch, name, value in order[done:number]:
            samples[epoch, name] += Sample(1, value, 0.0)
        done = number
        strata: list[Pair] = [
            (samples[epoch, variant], samples[epoch, CONTROL]) for epoch in sorted({key[0] for key in list(samples)})
        ]
        now = interval(difference(strata), alpha, experiment.planned_users, experiment.minimum_users)
        found.append(Look(number, now))
    return found if order else []
