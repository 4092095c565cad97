"""Seconds that offloading costs: what lies in memory crosses the bus to the GPU in every step."""

from __future__ import annotations

from tunesmith.plan.hardware import Placement
from tunesmith.plan.shape import ModelShape
from tunesmith.plan.time import Rates, Workload
from tunesmith.plan.time.graph import graph_of
from tunesmith.plan.time.team import team_of
from tunesmith.recipe.schema import Recipe

BUS = 20e9
"""Bytes a second from memory to a GPU and back, assumed: 16 lanes of PCIe 4 move 32 GB/s at most, copies some less."""

CORE = 2e9
"""Bytes a second that one core updates of AdamW's state in memory, assumed."""

STATE = 28
"""Bytes read and written for a value that is updated: weight, gradient, two moments, in float32."""


def offload_seconds(shape: ModelShape, recipe: Recipe, placement: Placement, workload: Workload, rates: Rates) -> float:
    """Of the whole run; 0 without offload. Nothing of it is taken to be hidden behind compute.

    `optimizer` sends gradients down and parameters up once a step, and cores do the update. `all` besides brings every
    weight that a worker keeps to its GPU in the forward and in the backward pass of each micro-batch.
    """
    offload = recipe.resources.offload
    if offload == "none" or placement.machine.accelerator is None:
        return 0.0
    graph = graph_of(shape, recipe.method, recipe.train.gradient_checkpointing)
    team = team_of(recipe, placement, workload, rates)
    mine = graph.trained_values / team.workers
    cores = max(1.0, placement.machine.cpus * placement.count / team.workers)
    step = mine * 8 / BUS + mine * STATE / (CORE * cores)
    if offload == "all":
        step += 2 * team.micro_batches * _kept_bytes(shape, recipe, rates) / team.workers / BUS
    return step * workload.steps


def _kept_bytes(shape: ModelShape, recipe: Recipe, rates: Rates) -> float:
    """Of all weights as they are kept: float32 where they are trained, packed where they are quantised."""
    if recipe.method.type == "full":
        return shape.parameters * 4.0
    if recipe.method.type == "lora":
        return float(shape.parameters * rates.itemsize)
    layers = shape.num_layers * sum(matrix.values for matrix in shape.matrices)
    packed = 0.5 if recipe.method.quantisation == "nf4" else 1.0
    return layers * packed + (shape.parameters - layers) * rates.itemsize
