"""What a run costs while it trains, and its end when the budget asks for one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tunesmith.plan.catalog import load_catalog
from tunesmith.plan.ledger import Ledger, Limit, Meter
from tunesmith.plan.money import Price, usd
from tunesmith.plan.price import price_of
from tunesmith.recipe.resources import ResourcesSection
from tunesmith.recipe.schema import Recipe
from tunesmith.train.job import STOP, TrainJob
from tunesmith.train.sinks import METRICS

EVALUATION = "evaluation"
"""What the ledger calls the time of an evaluation."""


def fixed_price(resources: ResourcesSection, ledger: Ledger, tell: Callable[[str], None]) -> Price:
    """The price of a run from this start on; tells when an earlier start had another one."""
    price, last = price_of(resources, load_catalog()), ledger.last
    if last is None:
        tell(f"cost: {usd(price.usd_per_hour)} an hour for each machine ({price.market}, {price.date}, {price.source})")
    elif replace(price, date=last.price.date) != last.price:
        before, now = usd(last.price.usd_per_hour), usd(price.usd_per_hour)
        tell(
            f"cost: {now} an hour from now on ({price.source}); it was {before}, which {usd(ledger.usd)} were spent at"
        )
    return price


class Purse:
    """A run's meter and its limit. Call `look` a few times a second; `stopped` says why the budget ended the run."""

    def __init__(self, job: TrainJob, meter: Meter, limit: Limit, tell: Callable[[str], None]) -> None:
        self.job, self.meter, self.limit, self.tell = job, meter, limit, tell
        self.stopped: str | None = None

    def look(self, reserve: float) -> None:
        """Keep the ledger; ask the workers for a checkpoint and an end when that takes all that is left."""
        self.meter.look()
        if self.stopped is None:
            meter = self.meter
            self.stopped = self.limit.reached(meter.usd, meter.hours, meter.usd_per_hour, reserve)
            if self.stopped is not None:
                self.tell(f"budget: {self.stopped}")
                (self.job.folder / STOP).touch()


@contextmanager
def purse(job: TrainJob, recipe: Recipe, need: Mapping[str, float], tell: Callable[[str], None]) -> Iterator[Purse]:
    """Keep count for the time of the block; `need` are the resources of a worker.

    On this machine alone, all of it counts; on a cluster that was joined, the workers' share of their machines. Raises
    PlanError when nothing is left of the budget.
    """
    resources, limit = recipe.resources, Limit(recipe.budget)
    ledger = Ledger.read(job.folder)
    limit.check(ledger)
    price = fixed_price(resources, ledger, tell)

    def machines() -> float:
        if not os.environ.get("RAY_ADDRESS"):
            return 1.0
        from tunesmith.train.ray_cluster import machines_held

        return machines_held(job.folder, resources.fewest, need)

    with Meter(job.folder, price, machines, lambda: _last_written(job.folder)) as meter:
        yield Purse(job, meter, limit, tell)


def evaluation_meter(job: TrainJob, recipe: Recipe, elsewhere: bool = False) -> Meter:
    """Counts the machine that evaluates a run: this one, or `elsewhere` a whole one of the workers'. The driver of a
    cluster that was joined is not counted, as ever."""
    price = price_of(recipe.resources, load_catalog())
    alone = 0.0 if os.environ.get("RAY_ADDRESS") and not elsewhere else 1.0
    return Meter(job.folder, price, lambda: alone, why=EVALUATION)


def _last_written(folder: Path) -> float:
    path = folder / METRICS
    return path.stat().st_mtime if path.is_file() else 0.0
