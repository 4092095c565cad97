"""Bytes that travel between workers in one optimizer step, by strategy; torch-free, compared with `train.explain`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tunesmith.plan.shape import ModelShape
from tunesmith.plan.time.graph import Graph
from tunesmith.recipe.schema import Recipe

OVERLAP = 0.9
"""Of what travels between GPUs while they compute, the share that is hidden behind it at best: DDP sends buckets during
the backward pass (Li et al. 2020, arXiv:2006.15704), FSDP gathers the next layer ahead (Zhao et al. 2023,
arXiv:2304.11277). Workers on CPUs hide nothing: sending takes the cores that compute."""


@dataclass(frozen=True)
class Exchange:
    """`bytes` a step, counted as the whole tensors that are gathered or reduced by a collective of that kind."""

    what: str
    kind: Literal["all-reduce", "all-gather", "reduce-scatter"]
    bytes: float

    def sent(self, workers: int) -> float:
        """Bytes that each worker sends in a ring: (w - 1) / w of the whole, twice that in an all-reduce."""
        return self.bytes * (workers - 1) / workers * (2 if self.kind == "all-reduce" else 1)


def exchanges(
    shape: ModelShape, recipe: Recipe, graph: Graph, workers: int, micro_batches: int, itemsize: int
) -> list[Exchange]:
    """What a step of so many micro-batches makes workers send; `itemsize` is of the type that is computed in.

    Tensors are taken to be cut without padding.
    """
    if workers == 1:
        return []
    strategy, trained = recipe.resources.strategy, graph.trained_values
    converts = not recipe.method.has_adapter and itemsize == 2
    kept = itemsize if converts and strategy.startswith("zero") else 4
    match strategy:
        case "ddp":
            return [Exchange("gradients", "all-reduce", trained * 4)]
        case "zero1" | "zero2":
            times = 1 if strategy == "zero1" else micro_batches
            return [
                Exchange("gradients", "all-reduce", times * trained * kept),
                Exchange("trained parameters", "all-gather", trained * kept),
            ]
    layers, outside = _gathered(shape, recipe, graph, itemsize)
    again = 1.0
    if strategy == "fsdp":
        first = 0 if graph.first is None else max(0, graph.first - 1)
        again = (shape.num_layers - first) / shape.num_layers
    held = layers * (1 + again) + outside * (1 if strategy == "fsdp" else 2)
    return [
        Exchange("parameters", "all-gather", micro_batches * held),
        Exchange("gradients", "reduce-scatter", micro_batches * trained * kept),
    ]


def _gathered(shape: ModelShape, recipe: Recipe, graph: Graph, itemsize: int) -> tuple[float, float]:
    """Bytes of all layers, and of what is outside of them, when they are whole."""
    method = recipe.method
    packed = {"nf4": 0.5, "int8": 1.0}[method.quantisation] if method.type == "qlora" else float(itemsize)
    adapters = graph.trained * 4 if method.has_adapter else 0
    layers = graph.weights * packed + shape.num_layers * shape.vectors * itemsize + adapters
    return layers, float((shape.embedding_values * (1 if shape.tied else 2) + shape.hidden) * itemsize)
