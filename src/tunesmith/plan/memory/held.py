"""What lies with a worker all the time: parameters, gradients, optimizer state, and what DeepSpeed adds."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from tunesmith.plan.memory.setting import Setting
from tunesmith.plan.memory.tensors import Tensor
from tunesmith.plan.memory.term import Term, Where

SMALL, STATE_BLOCK = 4096, 256
"""bitsandbytes 0.50.2: tensors below so many values keep a state of 32 bits; values of a state that share a scale."""

REDUCE_BUCKET = 500_000_000
"""DeepSpeed 0.19.8 reduces so many values at a time, or all that are trained where those are fewer."""

WHOLE, ROWS, FLAT, EACH = "whole", "rows", "flat", "each"
"""How a strategy cuts a tensor: not; by rows (FSDP); all trained ones in one flat tensor (ZeRO 1 and 2); each by
itself, flattened (ZeRO 3)."""


def held(setting: Setting) -> list[Term]:
    """The terms of worker 0, which never holds less than another, when a step's gradients are there."""
    return [term for term in (*_parameters(setting), *_learning(setting)) if term.bytes]


def cut_of(strategy: str) -> str:
    """How parameters are cut."""
    return {"fsdp": ROWS, "zero3": EACH}.get(strategy, WHOLE)


def share(tensor: Tensor, cut: str, workers: int) -> int:
    """The elements of a tensor that lie with the first worker."""
    if cut == WHOLE:
        return tensor.stored_values
    if cut == EACH:
        return -(-tensor.stored_values // workers)
    return -(-tensor.stored[0] // workers) * prod(tensor.stored[1:])


def _parameters(setting: Setting) -> Iterator[Term]:
    cut = cut_of(setting.strategy)
    by = "" if cut == WHOLE or setting.workers == 1 else f" / {setting.workers} workers"
    place: Where = setting.away if setting.recipe.resources.offload == "all" else setting.here
    frozen = [tensor for tensor in setting.tensors if not tensor.trained]
    packed = [tensor for tensor in frozen if tensor.quantised]
    size = sum(share(tensor, cut, setting.workers) * tensor.itemsize for tensor in packed)
    values = sum(tensor.values for tensor in packed)
    bits = 8 if setting.recipe.method.quantisation == "int8" else 4
    yield Term("frozen, quantised", size, f"{values:,} weights x {bits} bits{by}", place)
    scales = sum(tensor.scales for tensor in frozen) // (setting.workers if setting.habits.scales_cut else 1)
    yield Term("scales of the quantised", scales, _scales(setting), setting.here)
    plain = [tensor for tensor in frozen if not tensor.quantised]
    itemsize = setting.compute if setting.converts and setting.strategy.startswith("zero") else None
    size = sum(share(tensor, cut, setting.workers) * (itemsize or tensor.itemsize) for tensor in plain)
    values = sum(tensor.values for tensor in plain)
    yield Term("frozen", size, f"{values:,} weights x {itemsize or _itemsize(plain)} bytes{by}", place)
    size = sum(share(tensor, cut, setting.workers) for tensor in setting.trained)
    if setting.strategy in ("zero1", "zero2"):
        size = flat_values(setting)
    formula = f"{setting.trained_values:,} weights x {setting.kept} bytes{by}"
    yield Term("trained", size * setting.kept, formula, place)


def _learning(setting: Setting) -> Iterator[Term]:
    if setting.strategy.startswith("zero"):
        yield from _deepspeed(setting)
        return
    cut = cut_of(setting.strategy)
    mine = [share(tensor, cut, setting.workers) for tensor in setting.trained]
    place: Where = setting.away if setting.recipe.resources.offload != "none" else setting.here
    itemsize = setting.habits.gradient_bytes
    kept = sum(mine) if setting.habits.gradients_kept else max(mine, default=0)
    yield Term("gradients", kept * itemsize, f"{kept:,} values x {itemsize} bytes", place)
    size, formula = _state(setting, mine)
    paged = setting.recipe.train.optimizer != "adamw"
    yield Term("optimizer state", size, formula, setting.here if paged else place)


def _deepspeed(setting: Setting) -> Iterator[Term]:
    """Rajbhandari et al. 2020, arXiv:1910.02054, with the trained values of `partition` in float32."""
    strategy, kept = setting.strategy, setting.kept
    place: Where = setting.away if setting.recipe.resources.offload != "none" else setting.here
    part = partition(setting)
    # Stage 1 adds whole gradients up until the last micro-batch; stage 2 keeps those that reach into its partition.
    gradients = {"zero1": setting.trained_values, "zero2": _reaching(setting, part), "zero3": part}[strategy]
    where = place if strategy == "zero3" else setting.here
    yield Term("gradients", gradients * kept, f"{gradients:,} values x {kept} bytes", where)
    yield Term("float32 copies", 4 * part, f"{part:,} values x 4 bytes", place)
    yield Term("optimizer state", 8 * part, f"{part:,} values x 2 means x 4 bytes", place)
    bucket = max(1, min(REDUCE_BUCKET, setting.trained_values))
    formula = f"{bucket:,} values x {kept} bytes"
    yield Term("set aside to reduce gradients", bucket * kept, formula, setting.here)


def partition(setting: Setting) -> int:
    """Trained values that a worker of DeepSpeed moves."""
    if setting.strategy == "zero3":
        return sum(share(tensor, EACH, setting.workers) for tensor in setting.trained)
    return flat_values(setting) // setting.workers


def flat_values(setting: Setting) -> int:
    """The length of ZeRO's flat tensor of all trained values: a multiple of twice the workers (DeepSpeed 0.19.8)."""
    step = 2 * setting.workers
    return -(-setting.trained_values // step) * step


def _reaching(setting: Setting, part: int) -> int:
    """The values of trained tensors of which some lie in the first worker's partition of the flat one."""
    start, found = 0, 0
    for tensor in setting.trained:
        if start >= part:
            break
        found += tensor.values
        start += tensor.values
    return found


def _state(setting: Setting, mine: list[int]) -> tuple[int, str]:
    """Two running means for each value (Kingma & Ba 2014), in float32, or in bytes with a float32 scale a block."""
    bytes_each = setting.habits.state_bytes
    if bytes_each is not None:
        return round(bytes_each * sum(mine)), f"{sum(mine):,} values x {bytes_each:g} bytes"
    if setting.recipe.train.optimizer == "adamw":
        return 8 * sum(mine), f"{sum(mine):,} values x 2 means x 4 bytes"
    small = [values for values in mine if values < SMALL]
    large = [values for values in mine if values >= SMALL]
    size = 8 * sum(small) + 2 * sum(large) + 8 * sum(-(-values // STATE_BLOCK) for values in large)
    return size, f"{sum(large):,} values x 2 means x (1 + 4/{STATE_BLOCK}) bytes"


def _scales(setting: Setting) -> str:
    method = setting.recipe.method
    if method.quantisation == "int8":
        return "4 bytes a row"
    return "1 byte a block of 64 and 4 bytes a 256 of them" if method.double_quantisation else "4 bytes a block of 64"


def _itemsize(tensors: list[Tensor]) -> str:
    return " or ".join(str(size) for size in sorted({tensor.itemsize for tensor in tensors})) or "0"
