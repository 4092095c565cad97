"""Schedulers: each decides by a trial's loss and dollars whether it goes on. Time is counted in dollars."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from tunesmith.recipe.sweep import SchedulerSection
from tunesmith.sweep.schedule.asha import DollarAsha
from tunesmith.sweep.schedule.base import Curve, Decision, Outlook, Scheduler
from tunesmith.sweep.schedule.median import DollarMedian
from tunesmith.sweep.schedule.none import NoScheduler

SCHEDULERS: dict[str, Callable[[SchedulerSection, Decimal, Outlook | None], Scheduler]] = {
    "asha": lambda section, full_usd, outlook: DollarAsha(full_usd, section.reduction_factor, section.rungs, outlook),
    "median": lambda section, full_usd, _: DollarMedian(full_usd, section.min_share),
    "none": lambda section, full_usd, _: NoScheduler(full_usd),
}

__all__ = ["SCHEDULERS", "Curve", "Decision", "Outlook", "Scheduler", "scheduler_of"]


def scheduler_of(section: SchedulerSection, full_usd: Decimal, outlook: Outlook | None = None) -> Scheduler:
    """The scheduler that a recipe's `sweep.scheduler` asks for; `full_usd` is what the dearest trial costs in all."""
    return SCHEDULERS[section.type](section, full_usd, outlook)
