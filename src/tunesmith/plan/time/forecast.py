"""How long a run takes on a placement, part by part."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from tunesmith.plan.hardware import Placement
from tunesmith.plan.shape import ModelShape
from tunesmith.plan.time.answers import evaluation_seconds
from tunesmith.plan.time.efficiency import Efficiency
from tunesmith.plan.time.exchange import OVERLAP, exchanges
from tunesmith.plan.time.graph import Graph, graph_of
from tunesmith.plan.time.rates import Rates
from tunesmith.plan.time.team import Team, team_of
from tunesmith.plan.time.work import OPTIMIZER_BYTES, SHORT, Work, forward_work, training_work
from tunesmith.plan.time.workload import Part, Workload
from tunesmith.recipe.schema import Recipe
from tunesmith.recipe.train import seconds_of

READ = 5e6
"""Tokens a second that one worker takes from the packed rows into tensors, measured on one core of an EPYC."""

BOOT, FETCH = 120.0, 2e8
"""Of a rented machine, assumed: seconds until Ray runs on it, and bytes a second at which a model hub sends weights."""

STATE_BYTES = 12
"""Of a trained value in a checkpoint: itself and AdamW's two moments, float32."""

SAVES = 10
"""Checkpoints of a run that gives no interval, at least (`train.interval.PARTS`)."""


@dataclass(frozen=True)
class TimeForecast:
    """Seconds of a run, part by part.

    `boot`: rented machines start and fetch the weights. `start_up`: Ray, the workers, the model loaded and, the first
    time, quantised; the orderly end. `compute`: passes and optimizer. `communication`: what travels and is not hidden
    behind compute. `data`: rows into tensors. `checkpoints`: training stands still for them, and waits for the last.
    `validation`: losses on the validation rows. `evaluation`: the comparison with base and prompts after training.
    `tokens_per_second` of all workers while they train; `rates` says what it rests on.
    """

    boot: float
    start_up: float
    compute: float
    communication: float
    data: float
    checkpoints: float
    validation: float
    evaluation: float
    steps: int
    tokens_per_second: float
    rates: Rates

    @property
    def parts(self) -> dict[str, float]:
        """The parts by their names; they add up to the whole."""
        names = ("boot", "start_up", "compute", "communication", "data", "checkpoints", "validation", "evaluation")
        return {name: getattr(self, name) for name in names}

    @property
    def training_seconds(self) -> float:
        """What `tunesmith train` takes, from workers asked for to adapter written."""
        return self.total_seconds - self.evaluation - self.boot

    @property
    def total_seconds(self) -> float:
        """All of it."""
        return sum(self.parts.values())

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "seconds": self.parts,
            "training_seconds": self.training_seconds,
            "total_seconds": self.total_seconds,
            "steps": self.steps,
            "tokens_per_second": self.tokens_per_second,
            "rates": self.rates.to_json(),
        }


def forecast_time(
    shape: ModelShape, recipe: Recipe, placement: Placement, workload: Workload, efficiency: Efficiency
) -> TimeForecast:
    """Seconds of a run on these machines, by the rates that are known of them.

    A run that stops early, loses workers or finds its quantised base made takes another time.
    """
    graph = graph_of(shape, recipe.method)
    rates = efficiency.rates(placement.machine, recipe.method.type, recipe.base.dtype)
    team = team_of(recipe, placement, workload, rates)
    compute = step_seconds(shape, recipe, graph, workload, team, rates) * workload.steps
    travelling = _travelling(shape, recipe, graph, team, placement, rates) * workload.steps
    if team.on_gpus:
        travelling = max(travelling * (1 - OVERLAP), travelling - OVERLAP * compute)
    data = workload.trained.tokens * team.share / READ
    during = max(1e-9, compute + travelling + data)
    return TimeForecast(
        boot=_boot(shape, placement),
        start_up=rates.start_up + _loading(shape, recipe, graph, team, rates),
        compute=compute,
        communication=travelling,
        data=data,
        checkpoints=_checkpoints(recipe, graph, workload, team, rates, during),
        validation=_validation(shape, recipe, graph, workload, team, rates),
        evaluation=evaluation_seconds(shape, recipe, graph, workload, rates, team.on_gpus),
        steps=workload.steps,
        tokens_per_second=workload.trained.tokens / during,
        rates=rates,
    )


def step_seconds(
    shape: ModelShape, recipe: Recipe, graph: Graph, workload: Workload, team: Team, rates: Rates
) -> float:
    """One optimizer step of the worker with the most rows: passes, then the optimizer over what it holds."""
    part = workload.trained.times(team.share / workload.steps)
    plain = _plain(workload.train, team.on_gpus)
    work = training_work(
        shape,
        recipe.method,
        graph,
        part,
        team.micro_batches,
        plain,
        rates.itemsize,
        recipe.train.gradient_checkpointing,
    )
    held = graph.trained_values / (team.workers if recipe.resources.strategy != "ddp" else 1)
    optimizer = Work(moved=held * OPTIMIZER_BYTES)
    # Roofline: a product with few rows takes as long as reading its weights.
    product = max(work.flops / rates.flops, 2 * team.micro_batches * graph.weights * rates.itemsize / rates.bandwidth)
    return team.busy(work, optimizer, product, shape.num_layers, rates) + rates.step


def _plain(part: Part, on_gpus: bool) -> bool:
    """Whether documents are short enough for plain attention, going by the root of their mean square."""
    return not on_gpus and part.squares <= part.documents * SHORT * SHORT


def _travelling(
    shape: ModelShape, recipe: Recipe, graph: Graph, team: Team, placement: Placement, rates: Rates
) -> float:
    """Seconds that one step's collectives take: a ring is as fast as its slowest link, the network between machines."""
    found = exchanges(shape, recipe, graph, team.workers, team.micro_batches, rates.itemsize)
    link = rates.exchange if placement.count == 1 else min(rates.exchange, placement.machine.network)
    return sum(one.sent(team.workers) for one in found) / link


def _loading(shape: ModelShape, recipe: Recipe, graph: Graph, team: Team, rates: Rates) -> float:
    """Weights from disk into every worker of a machine, or a share into each; before that, once, quantised."""
    cut = recipe.resources.strategy in ("fsdp", "zero3") and not recipe.method.dora
    copies = 1 if cut else team.on_a_machine
    itemsize = rates.itemsize if recipe.method.has_adapter else 4
    size = shape.parameters * itemsize
    if recipe.method.type != "qlora":
        return size * copies / rates.load
    packed = graph.weights * 0.5 + (shape.parameters - graph.weights) * itemsize
    return size / rates.load + graph.weights / rates.quantise + packed * copies / rates.load


def _boot(shape: ModelShape, placement: Placement) -> float:
    if placement.market == "owned":
        return 0.0
    return BOOT + shape.parameters * 2 / min(FETCH, placement.machine.network)


def _checkpoints(recipe: Recipe, graph: Graph, workload: Workload, team: Team, rates: Rates, during: float) -> float:
    """Training waits for each copy of the state, and at the end for the last one to be written, and the adapter.

    Every validation loss is taken to be the best so far, which is saved at once.
    """
    every = recipe.train.checkpoint_every
    if isinstance(every, int):
        saves = workload.steps // every
    else:
        saves = SAVES if every == "auto" else math.floor(during / seconds_of(every))
    saves = max(1, min(workload.steps, max(saves, workload.evaluations)))
    size = graph.trained_values * STATE_BYTES / team.workers
    return saves * size / rates.bandwidth + (size + graph.trained_values * 4) / rates.write


def _validation(shape: ModelShape, recipe: Recipe, graph: Graph, workload: Workload, team: Team, rates: Rates) -> float:
    part = workload.validation
    if not part.rows or not workload.evaluations:
        return 0.0
    rows = math.ceil(part.rows / team.workers)
    batches = math.ceil(rows / team.rows_at_once)
    plain = _plain(part, team.on_gpus)
    work = forward_work(shape, recipe.method, graph, part.times(rows / part.rows), batches, plain, rates.itemsize)
    once = team.busy(work, Work(), work.flops / rates.flops, shape.num_layers / 3, rates, batches)
    return workload.evaluations * once
