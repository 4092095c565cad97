"""The workers of a run: how many, how much of a machine each has, and how a step's rows fall to them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tunesmith.plan.hardware import Placement
from tunesmith.plan.time.rates import Rates
from tunesmith.plan.time.work import Work
from tunesmith.plan.time.workload import Workload
from tunesmith.recipe.schema import Recipe


@dataclass(frozen=True)
class Team:
    """`workers` in all, `on_a_machine` of them together. `speed` is what a worker has of its machine's or GPU's rates.

    The worker with the most rows of a step has a `share` of them, in `micro_batches` of `rows_at_once`.
    """

    workers: int
    on_a_machine: int
    on_gpus: bool
    speed: float
    share: float
    micro_batches: int
    rows_at_once: int

    def busy(
        self, work: Work, after: Work, product: float, layers: float, rates: Rates, batches: int | None = None
    ) -> float:
        """Seconds of a worker's passes, whose products take `product` seconds on the whole machine, and of work `after`
        them. A GPU is told what to do next while it computes; a CPU tells itself."""
        inside = (product + work.moved / rates.bandwidth + work.unpacked / rates.unpack) / self.speed
        calls = rates.dispatch * layers * (self.micro_batches if batches is None else batches)
        passes = max(inside, calls) if self.on_gpus else inside + calls
        return passes + after.moved / rates.bandwidth / self.speed


def team_of(recipe: Recipe, placement: Placement, workload: Workload, rates: Rates) -> Team:
    """The workers that the recipe gets there: one for each GPU, else as many as it asks for, on shared cores."""
    machine = placement.machine
    on_gpus = machine.accelerator is not None
    workers = placement.workers if on_gpus else max(placement.count, recipe.resources.most)
    together = math.ceil(workers / placement.count)
    speed = 1.0
    if not on_gpus:
        threads = recipe.resources.cpus_per_worker or max(1, machine.cpus // together)
        speed = min(1.0, threads / machine.cpus, 1 / together if together > 1 else 1.0)
        speed /= rates.sharing ** math.log2(together) if together > 1 else 1.0
    rows = max(1, math.ceil(round(workload.batch_rows, 6)))
    mine = math.ceil(rows / workers)
    at_once = 1
    if not recipe.method.dropout:
        length = workload.train.tokens / max(1.0, workload.train.rows)
        at_once = max(1, math.floor(recipe.train.micro_batch_tokens / max(1.0, length)))
    return Team(
        workers=workers,
        on_a_machine=together,
        on_gpus=on_gpus,
        speed=speed,
        share=mine / max(rows, workload.batch_rows),
        micro_batches=math.ceil(mine / at_once),
        rows_at_once=at_once,
    )
