"""A sweep over made-up trainings: the conductor is real, losses fall by formula, a dollar a second."""

from __future__ import annotations

import math
from decimal import Decimal
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from tunesmith.recipe.sweep import SweepSection
from tunesmith.sweep.conductor import Conductor
from tunesmith.sweep.record import Record
from tunesmith.sweep.space import Config, key

SPACE: dict[str, Any] = {
    "train.learning_rate": {"choice": [1e-4, 3e-4, 1e-3, 3e-3]},
    "train.epochs": {"choice": [1, 2]},
    "method.rank": {"choice": [4, 32]},
}
REPORTS = 8
SECONDS = 3.0
START = 1.0


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Costs:
    """Forecasts that are wrong by a factor until a trial has shown what it costs."""

    usd_per_second = Decimal(1)

    def __init__(self, wrong_by: float = 1.0) -> None:
        self.wrong_by = wrong_by
        self.ratios: dict[str, Decimal] = {}

    def forecast(self, config: Config) -> Decimal:
        return Decimal(str(seconds(config) * self.wrong_by))

    def whole(self, config: Config) -> Decimal:
        return self.forecast(config) * (median(self.ratios.values()) if self.ratios else Decimal(1))

    def learn(self, config: Config, usd: Decimal, share: float) -> None:
        self.ratios[key(config)] = usd / Decimal(str(share)) / self.forecast(config)


def seconds(config: Config) -> float:
    """Of a whole training, its start included."""
    return START + REPORTS * SECONDS * float(config.get("train.epochs", 1))


def losses(config: Config, seed: int) -> list[float]:
    """Validation losses at the reports of a training; each seed has another best learning rate."""
    noise = Random(f"{seed}{key(config)}")
    best = math.log(Random(seed).choice([3e-4, 1e-3, 3e-3]))
    off = math.log(config["train.learning_rate"]) - best
    epochs, rank = config.get("train.epochs", 1), config.get("method.rank", 4)
    end = 2 + 0.2 * off**2 - 0.2 * (epochs - 1) - 0.02 * math.log2(rank) + noise.gauss(0, 0.01)
    count = REPORTS * epochs
    return [end + 4 * math.exp(-5 * done / count) * (1 + 0.1 * abs(off)) for done in range(1, count + 1)]


def section(max_usd: float, searcher: str, scheduler: str, seed: int, rungs: int = 1, **more: Any) -> SweepSection:
    values = {"space": SPACE, "searcher": {"type": searcher}, "scheduler": {"type": scheduler, "rungs": rungs}, **more}
    return SweepSection.model_validate({**values, "max_usd": max_usd, "seed": seed})


def play(given: SweepSection, folder: Path, seed: int, costs: Costs, die_at: int | None = None) -> Conductor:
    """Run a sweep to its end, one trial at a time; or until so many reports, as if it were killed then."""
    clock = Clock()
    sweep = Conductor(given, Record(folder), costs, lambda config: "run", clock)
    reports = 0
    while trial := sweep.next():
        clock.now += START
        curve = losses(trial.config, seed)
        done = trial.reports[-1].step if trial.reports else 0
        status = None
        for step in range(done + 1, len(curve) + 1):
            clock.now += SECONDS
            status = sweep.report(trial.name, step, curve[step - 1], step / len(curve))
            reports += 1
            if reports == die_at:
                return sweep
            if status:
                break
        sweep.end(trial.name, status or "whole")
    return sweep
