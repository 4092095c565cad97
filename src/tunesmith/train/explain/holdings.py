"""Who holds what: the bytes of parameters, gradients and optimizer state that lie with each worker."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch

from tunesmith.models.meta import Weight
from tunesmith.train.explain.setting import Setting

SMALL, STATE_BLOCK = 4096, 256
"""bitsandbytes 0.50.2: tensors below so many values keep a state of 32 bits; values of a state that share a scale."""

QUANTISED = "frozen, quantised"

WHOLE, ROWS, FLAT, EACH = "whole", "rows", "flat", "each"
"""How a strategy cuts a tensor: not; by rows (FSDP); all trained ones in one flat tensor (ZeRO 1 and 2); each by
itself, flattened (ZeRO 3)."""


@dataclass(frozen=True)
class Held:
    """One kind of thing that a worker holds. `types` are the torch types; `offloaded` is in memory, not on the GPU."""

    what: str
    values: int
    bytes: int
    types: tuple[str, ...]
    offloaded: bool = False
    shared_out: bool = False


def holdings(setting: Setting, rank: int = 0) -> list[Held]:
    """What one worker holds when the gradients of a step are there and its optimizer is about to move the weights.

    Frozen and trained parameters, the tensors of a quantisation, gradients, float32 copies that the optimizer moves,
    its state, and what DeepSpeed sets aside for reducing. Exact, a test compares it with real workers, but for what an
    offload keeps besides to move tensors, which is left out, and the tables of 8-bit optimizers, 2 KB. Worker 0 never
    holds less than another.
    """
    return [one for one in (*_parameters(setting, rank), *_learning(setting, rank)) if one.bytes]


def _parameters(setting: Setting, rank: int) -> list[Held]:
    strategy, offload = setting.strategy, setting.recipe.resources.offload
    cut = {"fsdp": ROWS, "zero3": EACH}.get(strategy, WHOLE)
    away = offload == "all"
    frozen = [weight for weight in setting.weights if not weight.trained]
    scales = sum(weight.scales for weight in frozen)
    num_scales = sum(1 for weight in frozen if weight.scales)
    found = []
    for what, part in (
        (QUANTISED, [weight for weight in frozen if weight.quantised]),
        ("frozen", [weight for weight in frozen if not weight.quantised]),
    ):
        types = {weight.name: setting.kept if setting.converts else weight.dtype for weight in part}
        packed = f"{setting.recipe.method.quantisation} in " if what == QUANTISED else ""
        values = sum(_share(weight, cut, setting.workers, rank) for weight in part)
        size = sum(padded_values(weight, cut, setting.workers) * types[weight.name].itemsize for weight in part)
        names = tuple(packed + name for name in _names(set(types.values())))
        found.append(Held(what, values, size, names, away, cut != WHOLE))
    found.insert(1, Held("scales of the quantised", num_scales, scales, ("uint8", "float32"), False, False))
    trained_cut = FLAT if strategy in ("zero1", "zero2") else cut
    values = sum(_share(weight, cut, setting.workers, rank) for weight in setting.trained)
    size = sum(padded_values(weight, cut, setting.workers) for weight in setting.trained)
    if trained_cut == FLAT:
        size = flat_values(setting)
    found.append(Held("trained", values, size * setting.kept.itemsize, _names({setting.kept}), away, cut != WHOLE))
    return found


def _learning(setting: Setting, rank: int) -> list[Held]:
    strategy, offload = setting.strategy, setting.recipe.resources.offload
    world, trained, kept = setting.workers, setting.trained, setting.kept
    away = offload != "none"
    if not strategy.startswith("zero"):
        cut = ROWS if strategy == "fsdp" else WHOLE
        mine = [_share(weight, cut, world, rank) for weight in trained]
        gradients = Held("gradients", sum(mine), 4 * sum(mine), ("float32",), away, cut != WHOLE)
        return [gradients, _state(setting, mine, away, cut != WHOLE)]
    part = (
        flat_values(setting) // world
        if strategy != "zero3"
        else sum(padded_values(weight, EACH, world) for weight in trained)
    )
    # Stage 1 adds whole gradients up until the last micro-batch; stage 2 keeps those that reach into its partition.
    kept_whole = {"zero1": setting.trained_values, "zero2": _reaching(setting, part, rank), "zero3": part}[strategy]
    shared = strategy != "zero1"
    return [
        Held("gradients", kept_whole, kept_whole * kept.itemsize, _names({kept}), away and strategy == "zero3", shared),
        Held("float32 copies", part, 4 * part, ("float32",), away, True),
        Held("optimizer state", 2 * part, 8 * part, ("float32",), away, True),
        Held("set aside to reduce gradients", setting.bucket, setting.bucket * kept.itemsize, _names({kept})),
    ]


def _state(setting: Setting, mine: list[int], away: bool, shared: bool) -> Held:
    """Two running means for each value (Kingma & Ba 2014), in float32, or in bytes with a float32 scale a block."""
    if setting.recipe.train.optimizer == "adamw":
        return Held("optimizer state", 2 * sum(mine), 8 * sum(mine), ("float32",), away, shared)
    small = [values for values in mine if values < SMALL]
    large = [values for values in mine if values >= SMALL]
    size = 8 * sum(small) + 2 * sum(large) + 8 * sum(-(-values // STATE_BLOCK) for values in large)
    return Held("optimizer state", 2 * sum(mine), size, ("uint8", "float32"), False, False)


def _share(weight: Weight, cut: str, world: int, rank: int) -> int:
    """The elements of a tensor that are a worker's own."""
    if cut == WHOLE:
        return weight.stored_values
    if cut == EACH:
        return -(-weight.stored_values // world)
    rows, row = weight.stored[0], prod(weight.stored[1:])
    each = -(-rows // world)
    return max(0, min(each, rows - rank * each)) * row


def padded_values(weight: Weight, cut: str, world: int) -> int:
    """The elements that lie in memory for them: shares are equally long, the last ones filled up."""
    return _share(weight, cut, world, 0)


def flat_values(setting: Setting) -> int:
    """The length of ZeRO's flat tensor of all trained values: a multiple of twice the workers (DeepSpeed 0.19.8)."""
    step = 2 * setting.workers
    return -(-setting.trained_values // step) * step


def _reaching(setting: Setting, part: int, rank: int) -> int:
    """The values of trained tensors of which some lie in a worker's partition of the flat one."""
    start, found = 0, 0
    for weight in setting.trained:
        if start < (rank + 1) * part and start + weight.values > rank * part:
            found += weight.values
        start += weight.values
    return found


def _names(types: set[torch.dtype]) -> tuple[str, ...]:
    return tuple(sorted(str(one).removeprefix("torch.") for one in types))
