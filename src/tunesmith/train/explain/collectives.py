"""What travels between workers in one optimizer step: which collective, how many bytes, how often."""

from __future__ import annotations

from dataclasses import dataclass

from tunesmith.models.meta import Weight
from tunesmith.train.explain.activations import micro_batch_rows
from tunesmith.train.explain.holdings import EACH, ROWS, flat_values, padded_values
from tunesmith.train.explain.setting import Setting

ALL_REDUCE, ALL_GATHER, REDUCE_SCATTER = "all-reduce", "all-gather", "reduce-scatter"


@dataclass(frozen=True)
class Collective:
    """`times` a step, `bytes` in all of them together, counted as the whole tensor that is gathered or reduced.

    Of these a worker of w sends and receives (w - 1) / w in a ring, and twice that in an all-reduce. `at_most` where
    the strategy may leave some out.
    """

    what: str
    kind: str
    when: str
    times: int
    bytes: int
    at_most: bool = False


def micro_batches(setting: Setting) -> int:
    """How many micro-batches a worker goes through in a step of full rows, at most."""
    section = setting.recipe.train
    rows = -(-section.batch_tokens // section.sequence_length) if section.batch_tokens else section.batch_size
    mine = -(-rows // setting.workers)
    return -(-mine // micro_batch_rows(setting))


def collectives(setting: Setting) -> list[Collective]:
    """The collectives of a step of training, largest tensors first; sums of a few numbers and evaluations left out.

    FSDP gathers each layer for its forward and its backward pass, the tensors outside of layers once a micro-batch
    (an evaluation leaves them there for the next one), and reduces the gradients of trained ones behind each backward
    pass. ZeRO 3 gathers layer by layer too, but keeps what is used again within `stage3_max_reuse_distance`
    values, so it may gather less. Exact for the others: a test counts them in real steps.
    """
    if setting.workers == 1:
        return []
    count = micro_batches(setting)
    trained, kept = setting.trained_values, setting.kept.itemsize
    match setting.strategy:
        case "ddp":
            return [Collective("gradients", ALL_REDUCE, "last micro-batch", 1, trained * 4)]
        case "zero1" | "zero2":
            each = 1 if setting.strategy == "zero1" else count
            when = "last micro-batch" if setting.strategy == "zero1" else "each micro-batch"
            return [
                Collective("gradients", ALL_REDUCE, when, each, each * trained * kept),
                Collective("trained parameters", ALL_GATHER, "after the step", 1, flat_values(setting) * kept),
            ]
        case "zero3":
            return _zero3(setting, count)
    return _fsdp(setting, count)


def _fsdp(setting: Setting, count: int) -> list[Collective]:
    *layers, rest = setting.groups()
    passed = [*layers, *layers[_first_backward(setting, len(layers)) :]]
    found = [
        Collective("layers", ALL_GATHER, "forward and backward", count * len(passed),
                   count * sum(_gathered(setting, weight, ROWS) for layer in passed for weight in layer)),
        Collective("outside of layers", ALL_GATHER, "each micro-batch", count,
                   count * sum(_gathered(setting, weight, ROWS) for weight in rest)),
    ]  # fmt: skip
    learning = [group for group in (*layers, rest) if any(weight.trained for weight in group)]
    reduced = sum(
        padded_values(weight, ROWS, setting.workers) for group in learning for weight in group if weight.trained
    )
    size = reduced * setting.workers * 4
    found.append(Collective("gradients", REDUCE_SCATTER, "each micro-batch", count * len(learning), count * size))
    return found


def _first_backward(setting: Setting, num_layers: int) -> int:
    """The first layer that is gathered in the backward pass: one before the first that gradients come to, because the
    next one on the way is gathered ahead."""
    order = [setting.layers.get(weight.name, -1) for weight in setting.weights]
    trained = [place for place, weight in enumerate(setting.weights) if weight.trained]
    behind = [layer for layer in order[trained[0] :] if layer >= 0] if trained else []
    before = any(layer >= 0 for layer in order[: trained[0]]) if trained else True
    first = 0 if not before else min(behind, default=num_layers)
    return max(0, first - 1)


def _zero3(setting: Setting, count: int) -> list[Collective]:
    gathered = sum(_gathered(setting, weight, EACH) for weight in setting.weights)
    reduced = sum(padded_values(weight, EACH, setting.workers) for weight in setting.trained) * setting.workers
    buckets = -(-setting.trained_values // setting.bucket)
    return [
        Collective("parameters", ALL_GATHER, "forward and backward",
                   2 * count * len(setting.weights), 2 * count * gathered, at_most=True),
        Collective("gradients", REDUCE_SCATTER, "each micro-batch",
                   count * buckets, count * reduced * setting.kept.itemsize),
    ]  # fmt: skip


def _gathered(setting: Setting, weight: Weight, cut: str) -> int:
    """Bytes of a tensor put together from all workers' equally long shares."""
    return padded_values(weight, cut, setting.workers) * setting.workers * gathered_itemsize(setting, weight)


def gathered_bytes(setting: Setting, weight: Weight) -> int:
    """Bytes of a tensor when it is whole."""
    return weight.stored_values * gathered_itemsize(setting, weight)


def gathered_itemsize(setting: Setting, weight: Weight) -> int:
    """Bytes of one gathered element, which has the type that is computed in."""
    return (setting.compute if setting.converts else weight.dtype).itemsize
