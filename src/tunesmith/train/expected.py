"""What a run is expected to hold, take and cost before it starts, what speaks against it, and what came of it."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from tunesmith.errors import ModelError
from tunesmith.plan.catalog import load_catalog
from tunesmith.plan.ledger import Ledger
from tunesmith.plan.money import SECONDS_PER_HOUR, usd
from tunesmith.plan.plan import plan_written
from tunesmith.plan.price import machine_of, market_of
from tunesmith.plan.search import Judge
from tunesmith.plan.shape import shape_of
from tunesmith.plan.time import load_efficiency, workload_of
from tunesmith.recipe.budget import BudgetSection
from tunesmith.store.durable import write_whole
from tunesmith.store.home import Home
from tunesmith.train.cost import EVALUATION
from tunesmith.train.job import TrainResult
from tunesmith.train.run import Planned

EXPECTED = "expected.json"
GIB = 1 << 30
NOT_TRAINING = ("boot", "evaluation")
"""Parts of a plan's time that `tunesmith train` does not take."""


@dataclass(frozen=True)
class Expected:
    """The plan of one run as it stands.

    `peak_bytes` of a worker, on its GPU or, `on_gpu` false, in main memory; `memory_share` of what the machine has.
    `first_loss_seconds` until the first validation loss, where there is one, else until an even tenth is done.
    """

    machine: str
    verdict: str
    on_gpu: bool
    peak_bytes: int
    memory_share: float
    seconds: float
    usd: Decimal
    first_loss_seconds: float
    first_loss_usd: Decimal
    rates: str

    def to_json(self) -> dict[str, Any]:
        """Plain values, amounts as text."""
        return {**asdict(self), "usd": str(self.usd), "first_loss_usd": str(self.first_loss_usd)}


@dataclass(frozen=True)
class Concern:
    """What speaks against a start: `refused`, or only to be asked about."""

    what: str
    where: str
    fix: str
    refused: bool


@dataclass(frozen=True)
class Compared:
    """One figure of a run, as it was expected and as it was."""

    name: str
    unit: str
    expected: float
    actual: float


def expect(planned: Planned, home: Home) -> Expected | None:
    """Plan a run that has passed its checks. None where its model or its machines are not known well enough.

    Raises PlanError for a machine or a price that the catalog does not have.
    """
    recipe = planned.recipe
    if os.environ.get("RAY_ADDRESS") and recipe.resources.machine is None:
        return None  # a cluster of machines that are not known
    config = json.loads((Path(planned.job.model_folder) / "config.json").read_text(encoding="utf-8"))
    try:
        shape = shape_of(config)
    except ModelError:
        return None
    workload = workload_of(planned.dataset.manifest, recipe)
    machine = machine_of(recipe.resources, load_catalog())
    judge = Judge(shape, workload, load_efficiency(home.folder))
    option = plan_written(recipe, judge, machine, market_of(recipe.resources))
    parts = {name: value for name, value in option.seconds.items() if name not in NOT_TRAINING}
    seconds = sum(parts.values()) + option.interruption_seconds
    losses = workload.evaluations or 10
    first = parts["start_up"] + (sum(parts.values()) - parts["start_up"]) / losses
    together = -(-option.workers // option.count)
    return Expected(
        machine=option.machine,
        verdict=option.verdict,
        on_gpu=option.device_limit > 0,
        peak_bytes=option.device_bytes if option.device_limit else option.host_bytes // together,
        memory_share=option.share_of_memory,
        seconds=seconds,
        usd=_dollars(option.price.usd_per_hour * option.count, seconds),
        first_loss_seconds=first,
        first_loss_usd=_dollars(option.price.usd_per_hour * option.count, first),
        rates=option.rates,
    )


def concerns(expected: Expected, budget: BudgetSection, ledger: Ledger) -> list[Concern]:
    """What the user should know before anything is spent, the gravest first."""
    found = []
    if expected.verdict == "OOM":
        what = f"about {expected.memory_share:.0%} of the memory of {expected.machine} would be needed"
        found.append(Concern(what, "resources", "`tunesmith plan` names the cheapest ways to make it fit", True))
    if budget.max_usd is not None:
        left = Decimal(str(budget.max_usd)) - ledger.usd
        if left < expected.first_loss_usd and not ledger.entries:
            what = f"{usd(left)} do not last until the first validation loss, at about {usd(expected.first_loss_usd)}"
            found.append(Concern(what, "budget.max_usd", "raise it, or train with less", True))
        elif left < expected.usd - ledger.usd:
            what = f"the run is expected to cost {usd(expected.usd)}, its budget would stop it before its end"
            found.append(Concern(what, "budget.max_usd", "raise it, or go on from the checkpoint later", False))
    if budget.max_hours is not None:
        hours_left, first = budget.max_hours - ledger.hours, expected.first_loss_seconds / SECONDS_PER_HOUR
        if hours_left < first and not ledger.entries:
            what = f"{hours_left:.2f} hours do not last until the first validation loss, after about {first:.2f}"
            found.append(Concern(what, "budget.max_hours", "raise it, or train with less", True))
    rest = max(Decimal(0), expected.usd - ledger.usd)
    if rest > Decimal(str(budget.confirm_above_usd)):
        what = f"the run is expected to cost {usd(rest)}, more than {usd(Decimal(str(budget.confirm_above_usd)))}"
        found.append(Concern(what, "budget.confirm_above_usd", "raise it, or agree", False))
    return found


def keep(expected: Expected, folder: Path) -> None:
    """Write what was expected into the run's folder; the first start's stays."""
    if not (folder / EXPECTED).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / EXPECTED, json.dumps(expected.to_json(), indent=2).encode())


def compare(folder: Path, result: TrainResult) -> list[Compared]:
    """What was expected of a run beside what it came to; empty where nothing was written down before it."""
    try:
        written = json.loads((folder / EXPECTED).read_text(encoding="utf-8"))
        expected = Expected(
            **{**written, "usd": Decimal(written["usd"]), "first_loss_usd": Decimal(written["first_loss_usd"])}
        )
    except (OSError, ValueError, TypeError, KeyError, ArithmeticError):
        return []
    ledger = Ledger.read(folder).without(EVALUATION)
    peak = result.peak_device_bytes if expected.on_gpu else result.peak_host_bytes
    found = [
        Compared("seconds", "s", expected.seconds, ledger.hours * SECONDS_PER_HOUR),
        Compared("usd", "$", float(expected.usd), float(ledger.usd)),
    ]
    if peak:
        found.insert(0, Compared("worker_memory", "GiB", expected.peak_bytes / GIB, peak / GIB))
    return [one for one in found if math.isfinite(one.expected)]


def _dollars(usd_per_hour: Decimal, seconds: float) -> Decimal:
    if not math.isfinite(seconds):
        return Decimal("Infinity")
    return (usd_per_hour * Decimal(str(seconds)) / SECONDS_PER_HOUR).quantize(Decimal("0.000001"))
