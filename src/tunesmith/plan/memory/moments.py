"""What comes on top for a while, at each of the moments at which a worker may need most."""

from __future__ import annotations

from tunesmith.plan.memory.activations import (
    input_bytes,
    layer_bytes,
    layer_moment,
    loss_bytes,
    loss_moment,
    outside_bytes,
)
from tunesmith.plan.memory.held import partition
from tunesmith.plan.memory.setting import Setting
from tunesmith.plan.memory.tensors import Tensor
from tunesmith.plan.memory.term import Term

MAX_LIVE = 1_000_000_000
"""Values that DeepSpeed's stage 3 keeps gathered at once (`stage3_max_live_parameters`)."""


def moments(setting: Setting) -> dict[str, list[Term]]:
    """Moment of a step -> the terms that it adds to what is held."""
    layers = [layer_bytes(setting, layer) for layer in range(setting.shape.num_layers)]
    outside = Term("activations outside of layers", outside_bytes(setting), "last norm, embedding", setting.here)
    logits, size = setting.logits, setting.shape.vocabulary
    kept = Term("log-probabilities", loss_bytes(setting), f"{logits:,} tokens x {size:,} x 4 bytes", setting.here)
    loss = Term("logits for a moment", loss_moment(setting), f"{logits:,} tokens x {size:,}", setting.here)
    inside = Term("gradients within a layer", layer_moment(setting), f"{setting.tokens:,} tokens", setting.here)
    if setting.recipe.train.gradient_checkpointing:
        inputs = Term("layers' inputs", input_bytes(setting), _inputs(setting), setting.here)
        again = Term("one layer's activations", max(layers), f"{setting.tokens:,} tokens", setting.here)
        found = {"loss": [inputs, outside, kept, loss], "backward": [inputs, outside, again, inside]}
    else:
        every = Term(
            "layers' activations", sum(layers), f"{setting.tokens:,} tokens x {len(layers)} layers", setting.here
        )
        found = {"loss": [every, outside, kept, loss], "backward": [every, outside, inside]}
    whole = Term("weights gathered to compute", gathered(setting), _gathered(setting), setting.here)
    return {
        "loss": [whole, *found["loss"]],
        "backward": [whole, *_backward(setting), *found["backward"]],
        "step": _stepping(setting),
    }


def gathered(setting: Setting) -> int:
    """Whole tensors that stay a while: FSDP's layer of the moment, the next, and what is outside of layers; ZeRO 3's
    live ones; copies that autocast makes of float32 weights."""
    *layers, rest = setting.groups()
    sizes = [sum(_whole(setting, tensor) for tensor in layer) for layer in layers]
    outside = sum(_whole(setting, tensor) for tensor in rest)
    if setting.strategy == "fsdp":
        return outside + sum(sorted(sizes)[-2:])
    if setting.strategy == "zero3":
        values = sum(tensor.stored_values for tensor in setting.tensors)
        return round((outside + sum(sizes)) * min(1.0, MAX_LIVE / values))
    if setting.strategy == "ddp" and setting.converts:
        return sum(tensor.values for tensor in setting.tensors) * setting.compute
    return 0


def unpacked(setting: Setting) -> int:
    """The largest packed layer as floats, while it is multiplied with."""
    return max((tensor.values for tensor in setting.tensors if tensor.quantised), default=0) * setting.compute


def loading(setting: Setting) -> int:
    """The base as it is read; scales of quantised weights are whole everywhere, and DoRA needs whole weights."""
    sizes = [tensor.bytes for tensor in setting.tensors]
    scales = sum(tensor.scales for tensor in setting.tensors)
    cuts = setting.strategy in ("fsdp", "zero3") and setting.workers > 1 and not setting.recipe.method.dora
    return sum(sizes) // setting.workers + max(sizes) + scales if cuts else sum(sizes) + scales


def _whole(setting: Setting, tensor: Tensor) -> int:
    own = setting.kept if tensor.trained else tensor.itemsize
    return tensor.stored_values * (setting.compute if setting.converts else own)


def _backward(setting: Setting) -> list[Term]:
    """On CPUs gloo (torch 2.13) reduces a copy of what it is given, and gathers into one: measured, once the input's
    size each."""
    size = unpacked(setting)
    found = [Term("one matrix unpacked", size, f"largest x {setting.compute} bytes", setting.here)]
    if setting.strategy == "fsdp" and setting.workers > 1:
        largest = max(sum(one.values for one in group if one.trained) for group in setting.groups())
        each = setting.compute + 4
        found.append(Term("gradients to reduce", largest * each, f"{largest:,} values x {each} bytes", setting.here))
        if not setting.on_gpu:
            *layers, _ = setting.groups()
            layer = max(sum(_whole(setting, tensor) for tensor in group) for group in layers)
            formula = f"{largest:,} values x 4 bytes, and a layer"
            found.append(Term("gloo's copies of both", largest * 4 + layer, formula, setting.here))
    return found


def _stepping(setting: Setting) -> list[Term]:
    """DeepSpeed's stages 1 and 2 copy their partition's gradients to float32."""
    if setting.strategy in ("zero1", "zero2"):
        part = partition(setting)
        return [Term("gradients in float32", 4 * part, f"{part:,} values x 4 bytes", setting.here)]
    return []


def _gathered(setting: Setting) -> str:
    if setting.strategy == "fsdp":
        return "the 2 largest layers, embedding and head"
    return f"at most {MAX_LIVE:,} values" if setting.strategy == "zero3" else f"all weights x {setting.compute} bytes"


def _inputs(setting: Setting) -> str:
    shape = setting.shape
    return f"{setting.tokens:,} tokens x {shape.num_layers} layers x {shape.hidden:,} x {setting.compute} bytes"
