"""What it is expected to cost that spot machines are taken away: time to start again, and work since the checkpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping

from tunesmith.plan.money import SECONDS_PER_HOUR
from tunesmith.recipe.train import TrainSection, seconds_of

PARTS = 10
"""Checkpoints of a run that gives no interval, at least (`train.interval.PARTS`, which a test compares)."""

TRAINING = ("compute", "communication", "data", "offload", "checkpoints", "validation")
"""Parts of a run that a checkpoint saves."""

UNKNOWN_RATE = 0.05
"""Share of machines lost in an hour where the catalog does not say: the highest that it says of any."""


def expected_interruption_seconds(
    seconds: Mapping[str, float], train: TrainSection, steps: int, machines: int, rate: float | None
) -> float:
    """Seconds that interruptions add to a run of `seconds` by part, on so many spot machines.

    Each machine is lost at `rate` an hour, independently, and any loss stops the run: it starts again (boot and
    start-up) and repeats what came after its last checkpoint, half an interval on the mean. Repeats can be interrupted
    too: with c the cost of one loss and r the rate of all machines, T becomes T / (1 - r c).
    """
    rate = (UNKNOWN_RATE if rate is None else rate) * machines / SECONDS_PER_HOUR
    again = seconds["boot"] + seconds["start_up"]
    training = sum(
        seconds[part] for part in ("compute", "communication", "data", "offload", "checkpoints", "validation")
    )
    lost = rate * (again + interval_seconds(train, steps, training, seconds["checkpoints"], rate) / 2)
    total = sum(seconds.values())
    return math.inf if lost >= 1 else total * lost / (1 - lost)


def interval_seconds(train: TrainSection, steps: int, training: float, checkpoints: float, rate: float) -> float:
    """Between two checkpoints; `auto` is Young's sqrt(2 x cost / rate) (1974, doi:10.1145/361147.361115) or a tenth."""
    every = train.checkpoint_every
    if isinstance(every, int):
        return training * min(1.0, every / max(1, steps))
    if every != "auto":
        return min(training, seconds_of(every))
    tenth = training / PARTS
    young = math.sqrt(2 * checkpoints / PARTS / rate) if rate else tenth
    return min(tenth, young)
