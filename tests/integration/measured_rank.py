"""One worker of several that looks, in its second step, at what lies in its memory and what goes over the wire."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from tests.integration import train_rank


def work(values: dict[str, Any], rank: int, world_size: int, store: str, output: str) -> None:
    """Train as `train_rank.work` does, and write `measured-RANK.json`."""
    from tunesmith.train.loop import Loop
    from tunesmith.train.step import Stepper

    go, usual = Loop._steps, Stepper.step
    measured: dict[str, Any] = {}
    loops: list[Loop] = []

    def steps(loop: Loop, progress: Any) -> Any:
        loops.append(loop)
        return go(loop, progress)

    def step(stepper: Stepper, progress: Any, mine: Any) -> Any:
        if progress.step != 1:
            return usual(stepper, progress, mine)
        [loop] = loops
        move = loop.strategy.step

        def looked_at(rate: float, norm: float) -> float:
            measured["before"] = before(loop)
            return move(rate, norm)

        loop.strategy.step = looked_at  # type: ignore[method-assign]
        found, measured["collectives"] = watched(lambda: usual(stepper, progress, mine))
        measured["after"] = after(loop)
        (loop.job.folder / f"measured-{rank}.json").write_text(json.dumps(measured))
        return found

    Loop._steps, Stepper.step = steps, step  # type: ignore[method-assign]
    train_rank.work(values, rank, world_size, store, output)


def before(loop: Any) -> dict[str, int]:
    """Bytes of the storages of parameters, scales and gradients, when the gradients are complete."""
    kinds: dict[str, list[Any]] = {"frozen, quantised": [], "frozen": [], "trained": []}
    if hasattr(loop.strategy.model, "reshard"):
        loop.strategy.model.reshard()  # so that only the shares are left
    for name, parameter in loop.adapted.named_parameters():
        packed = loop.recipe.method.type == "qlora" and name.endswith("base_layer.weight")
        kind = "trained" if parameter.requires_grad else "frozen, quantised" if packed else "frozen"
        kinds[kind].append(local(parameter))
    found = {kind: stored(tensors) for kind, tensors in kinds.items()}
    found["scales of the quantised"] = stored(scales(loop.adapted))
    optimizer = loop.strategy.optimizer
    if hasattr(optimizer, "grad_partitions_flat_buffer"):
        gradients: Iterable[Any] = [optimizer.grad_partitions_flat_buffer]
    elif hasattr(optimizer, "averaged_gradients"):
        gradients = [tensor for tensors in optimizer.averaged_gradients.values() for tensor in tensors or ()]
    else:
        gradients = [local(p.grad) for p in loop.adapted.parameters() if p.grad is not None]
        return {**found, "gradients": sum(tensor.nbytes for tensor in gradients)}
    return {**found, "gradients": stored(gradients)}


def after(loop: Any) -> dict[str, int]:
    """Bytes of the optimizer's state, of the float32 copies it moves, and of what is set aside to reduce."""
    outer = loop.strategy.optimizer
    inner = getattr(outer, "optimizer", outer)
    state = [v for one in inner.state.values() for k, v in one.items() if getattr(v, "ndim", 0) and "qmap" not in k]
    found = {"optimizer state": sum(local(tensor).nbytes for tensor in state)}
    if hasattr(outer, "single_partition_of_fp32_groups"):
        found["float32 copies"] = stored(outer.single_partition_of_fp32_groups)
    if hasattr(outer, "fp32_partitioned_groups_flat"):
        own = {local(p).untyped_storage().data_ptr() for p in loop.adapted.parameters()}
        flat = outer.fp32_partitioned_groups_flat
        found["float32 copies"] = stored([t for t in flat if t.untyped_storage().data_ptr() not in own])
        buffers = [bucket.buffer for bucket in outer.ipg_buckets.values()]
        found["set aside to reduce gradients"] = stored(buffers)
    return found


def scales(model: Any) -> Iterable[Any]:
    """The tensors that bitsandbytes keeps beside packed weights."""
    for module in model.modules():
        state = getattr(module, "quant_state", None)
        if state is not None:
            yield from (state.absmax, state.code)
            if state.nested:
                yield from (state.offset, state.state2.absmax, state.state2.code)
        for holder in (getattr(module, "state", None), getattr(module, "weight", None)):
            if getattr(holder, "SCB", None) is not None:
                yield holder.SCB


def local(tensor: Any) -> Any:
    """This worker's part of a tensor."""
    if hasattr(tensor, "ds_tensor"):
        return tensor.ds_tensor
    return getattr(tensor, "_local_tensor", tensor)


def stored(tensors: Iterable[Any]) -> int:
    """Bytes of the storages beneath, each once."""
    found = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(found.values())


def watched(step: Any) -> tuple[Any, dict[str, list[int]]]:
    """What a step returned, and for each collective how often it ran and how many bytes its whole tensors had.

    Only those of more than 256 bytes: the others are sums of a few numbers.
    """
    from torch.profiler import ProfilerActivity, profile

    widths = {"float": 4, "c10::BFloat16": 2, "unsigned char": 1, "double": 8, "int": 4}
    names = {"c10d::_allgather_base_": "all-gather", "c10d::_reduce_scatter_base_": "reduce-scatter"}
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiler:
        result = step()
    times: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    scattered = 0
    for event in profiler.events():
        name = names.get(event.name, "all-reduce" if event.name == "gloo:all_reduce" else "")
        shape = event.input_shapes[1 if name == "reduce-scatter" else 0] if name else []
        if not shape:
            continue
        size = widths[event.input_dtypes[0]] * shape[0] * (shape[1] if len(shape) > 1 else 1)
        if size > 256:
            times[name] += 1
            sizes[name] += size
            scattered += name == "reduce-scatter"
    if scattered:  # gloo makes a reduce-scatter of an all-reduce
        del times["all-reduce"], sizes["all-reduce"]
    return result, {name: [times[name], sizes[name]] for name in times}
