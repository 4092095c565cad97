"""Seconds that the evaluation of a run takes: base, prompts and tuned model answer held-out rows, token by token."""

from __future__ import annotations

import math

from tunesmith.plan.shape import ModelShape
from tunesmith.plan.time.graph import Graph
from tunesmith.plan.time.rates import Rates
from tunesmith.plan.time.work import forward_work
from tunesmith.plan.time.workload import Part, Workload
from tunesmith.recipe.schema import Recipe

CACHE = 3
"""How often a decoded position moves the keys and values before it: read, written longer, read by the attention."""


def evaluation_seconds(
    shape: ModelShape, recipe: Recipe, graph: Graph, workload: Workload, rates: Rates, on_gpu: bool
) -> float:
    """Of the base (and the whole tuned model) loaded, prompts tried on the validation rows, and the test rows answered
    by every contestant, with the likelihood of the references.

    Every answer is taken to reach `decoding.max_new_tokens`: a batch ends with its longest, and base models ramble.
    """
    if not workload.test_rows:
        return 0.0
    of_base = 0.0 if recipe.method.has_adapter else 1.0
    loading = shape.parameters * rates.itemsize * (1 + of_base) / rates.load
    tried = workload.prompts * _answer(shape, recipe, graph, workload, rates, workload.choice_rows, on_gpu)
    each = _answer(shape, recipe, graph, workload, rates, workload.test_rows, on_gpu)
    each += _read(shape, recipe, graph, workload, rates, workload.test_rows, on_gpu)
    return loading + tried + workload.contestants * each


def decode_seconds(shape: ModelShape, recipe: Recipe, rates: Rates, batch: float, context: float) -> float:
    """Of one position of a batch: all weights are read once (roofline: or multiplied, where that takes longer), and the
    keys and values of the `context` so far."""
    weights = shape.num_layers * shape.layer_values
    packed = recipe.method.type == "qlora"
    reading = shape.embedding_values * rates.itemsize / rates.bandwidth
    reading += weights / rates.unpack if packed else weights * rates.itemsize / rates.bandwidth
    multiplying = 2 * (weights + shape.embedding_values) * batch / rates.flops
    kept = 2 * shape.num_key_value_heads * shape.head_width * shape.num_layers * rates.itemsize
    cache = CACHE * kept * batch * context / rates.bandwidth
    return max(reading, multiplying) + cache + rates.decode * shape.num_layers


def _answer(
    shape: ModelShape, recipe: Recipe, graph: Graph, workload: Workload, rates: Rates, rows: int, on_gpu: bool
) -> float:
    """Of so many answers to one way of asking."""
    if not rows:
        return 0.0
    decoding = recipe.evaluate.decoding
    batches = math.ceil(rows / decoding.batch_size)
    context = workload.prompt_tokens + workload.shown_tokens / max(1, workload.prompts) + decoding.max_new_tokens / 2
    position = decode_seconds(shape, recipe, rates, rows / batches, context)
    prompts = Part(rows, rows, rows * workload.prompt_tokens, rows, rows * workload.prompt_tokens**2)
    shown = Part(1, 1, workload.shown_tokens, 1, workload.shown_tokens**2)
    read = sum(
        _forward(shape, recipe, graph, part, count, rates, on_gpu) for part, count in ((prompts, batches), (shown, 1))
    )
    return batches * decoding.max_new_tokens * position + read


def _read(
    shape: ModelShape, recipe: Recipe, graph: Graph, workload: Workload, rates: Rates, rows: int, on_gpu: bool
) -> float:
    """Of the likelihood of so many references, which are read one by one."""
    length = workload.prompt_tokens + workload.answer_tokens
    part = Part(rows, rows, rows * length, rows * workload.answer_tokens, rows * length**2)
    return _forward(shape, recipe, graph, part, rows, rates, on_gpu)


def _forward(
    shape: ModelShape, recipe: Recipe, graph: Graph, part: Part, batches: int, rates: Rates, on_gpu: bool
) -> float:
    """Of one pass without gradients; a third of a step's dispatches."""
    work = forward_work(shape, recipe.method, graph, part, batches, not on_gpu, rates.itemsize)
    busy = work.flops / rates.flops + work.moved / rates.bandwidth + work.unpacked / rates.unpack
    calls = batches * shape.num_layers * rates.dispatch / 3
    return max(busy, calls) if on_gpu else busy + calls
