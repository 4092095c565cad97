"""What a forward pass leaves for the backward pass, by formula: bytes of one micro-batch."""

from __future__ import annotations

from collections import Counter

from tunesmith.plan.memory.setting import Setting
from tunesmith.plan.memory.tensors import has_head_norms, is_target

PLAIN_LENGTH = 512
"""Up to this length of a document attention on a CPU is two plain products (`models.attention`)."""

INPUT_OF = {
    "o_proj": "attention",
    "gate_proj": "norm",
    "up_proj": "norm",
    "gate_up_proj": "norm",
    "down_proj": "product",
}
"""Linear layer -> what goes into it; queries, keys and values share a first norm."""


def layer_bytes(setting: Setting, layer: int) -> int:
    """What one decoder layer keeps; 0 below the first layer that is trained.

    Norms keep their input in float32 and a float32 a token; attention what a fused kernel keeps: queries, keys, values,
    output and a float32 a head (Dao 2023, arXiv:2307.08691); SwiGLU gate, its activation and up (Shazeer 2020,
    arXiv:2002.05202). Linear layers keep their input where a weight of theirs or an adapter beside it is trained. For a
    layer trained itself with 16-bit values this comes near the 34 h bytes a token of Korthikanti et al. 2022,
    arXiv:2205.05198, table 2. A test compares it with what autograd saves.
    """
    first = _first_trained(setting)
    if first is None or layer < first:
        return 0
    # What goes into the first layer needs no gradient where only adapters are trained, nor do its queries and keys.
    lowest = layer == first == 0 and setting.recipe.method.has_adapter
    skips = lowest and not _adapts_attention(setting)
    values = _norms(setting, layer, lowest, skips) + _elementwise(setting)
    values += 0 if skips else _attention(setting)
    if layer == first + (setting.recipe.method.has_adapter and not _adapts_attention(setting)):
        values += 2 * setting.shape.head_width * setting.compute  # tables of rotary embeddings, which layers share
    return setting.tokens * (values + _linear_inputs(setting, layer)) + _copies(setting)


def input_bytes(setting: Setting) -> int:
    """What goes into all layers, which is kept under gradient checkpointing (Chen et al. 2016, arXiv:1604.06174)."""
    return setting.shape.num_layers * setting.tokens * setting.shape.hidden * setting.compute


def outside_bytes(setting: Setting) -> int:
    """Embedding and last norm, without the loss."""
    shape, compute = setting.shape, setting.compute
    each = setting.habits.norm_bytes * shape.hidden + 4
    learns = not setting.recipe.method.has_adapter
    if learns:
        each += 8 + shape.hidden * (4 if shape.model_type == "gemma" else compute)
    selected = setting.logits * shape.hidden * compute if learns else 0
    return setting.tokens * each + selected


def loss_bytes(setting: Setting) -> int:
    """What the loss keeps: float32 log-probabilities, indices, targets and weights of the learnt tokens."""
    return setting.logits * (4 * setting.shape.vocabulary + 20) // setting.habits.loss_chunks


def loss_moment(setting: Setting) -> int:
    """What the loss needs besides for a moment: logits, as computed and in float32, or gradients of both."""
    values = setting.logits * setting.shape.vocabulary
    if setting.habits.logit_bytes is not None:
        return round(values * setting.habits.logit_bytes) - loss_bytes(setting)
    return values * (4 if setting.compute == 4 else 6)


def layer_moment(setting: Setting) -> int:
    """Gradients that live only within a layer: of SwiGLU's three products, and of what goes into the layer."""
    shape = setting.shape
    return setting.tokens * (3 * shape.intermediate + 2 * shape.hidden) * setting.compute


def slow_adapters(setting: Setting) -> bool:
    """Whether adapters go PEFT's way, which converts the input of each to the adapter's own type."""
    if setting.habits.adapter_inputs_copied is not None:
        return setting.habits.adapter_inputs_copied
    method = setting.recipe.method
    plain = method.type == "lora" and setting.strategy != "zero3" and not method.dropout and not method.dora
    return setting.compute != 4 and not plain


def _first_trained(setting: Setting) -> int | None:
    """The first layer that keeps anything: gradients go no further down than to the first trained tensor."""
    layers = [tensor.layer for tensor in setting.trained if tensor.layer >= 0]
    embedding = bool(setting.trained) and setting.trained[0].name == "model.embed_tokens.weight"
    return 0 if embedding else min(layers, default=None)


def _norms(setting: Setting, layer: int, lowest: bool, skips: bool) -> int:
    """Bytes a token."""
    shape, each, compute = setting.shape, setting.habits.norm_bytes, setting.compute
    if setting.habits.compiled:
        return (1 if lowest else 2) * (shape.hidden * compute + 4)
    kept = (each * shape.hidden + 4) * (1 if lowest else 2)
    if has_head_norms(shape) and not skips:
        heads = shape.num_heads + shape.num_key_value_heads
        kept += heads * (each * shape.head_width + 4)
    trained = [tensor for tensor in setting.trained if tensor.layer == layer and "norm" in tensor.name]
    wide = sum(tensor.shape[0] == shape.hidden and "layernorm" in tensor.name for tensor in trained)
    kept += wide * shape.hidden * (4 if shape.model_type == "gemma" else compute)  # Gemma multiplies in float32
    for tensor in trained:
        if "q_norm" in tensor.name or "k_norm" in tensor.name:
            heads = shape.num_heads if "q_norm" in tensor.name else shape.num_key_value_heads
            kept += heads * shape.head_width * compute
    return kept


def _adapts_attention(setting: Setting) -> bool:
    method = setting.recipe.method
    paths = (f"self_attn.{name}" for name in ("q_proj", "k_proj", "v_proj", "qkv_proj"))
    return any(is_target(path, method) for path in paths)


def _attention(setting: Setting) -> int:
    shape, compute = setting.shape, setting.compute
    queries = shape.num_heads * shape.head_width
    shared = 2 * shape.num_key_value_heads * shape.head_width
    if not setting.on_gpu and setting.document <= PLAIN_LENGTH:
        return (queries + shared + shape.num_heads * setting.document) * compute
    squares = shape.num_heads * setting.document * setting.habits.attention_bytes
    squares += (queries + shared // 2) * compute if setting.habits.values_in_whole else 0
    return (2 * queries + shared) * compute + 4 * shape.num_heads + squares


def _elementwise(setting: Setting) -> int:
    return (2 if setting.habits.compiled else 3) * setting.shape.intermediate * setting.compute


def _linear_inputs(setting: Setting, layer: int) -> int:
    """Bytes a token. Layers that take the same input share it, unless each adapter converts it for itself."""
    method, compute = setting.recipe.method, setting.compute
    low = setting.habits.adapter_bytes if slow_adapters(setting) else compute
    whole = {tensor.name for tensor in setting.trained if tensor.layer == layer} if not method.has_adapter else set()
    shared: dict[str, int] = {}
    total = 0
    for matrix in setting.shape.matrices:
        part = "mlp" if INPUT_OF.get(matrix.name) in ("norm", "product") else "self_attn"
        path = f"model.layers.{layer}.{part}.{matrix.name}"
        source = INPUT_OF.get(matrix.name, "first norm")
        target = is_target(path, method)
        if target:
            total += method.rank * low
        converts = target and low != compute
        total += matrix.inputs * low if converts else 0
        if (target and not converts) or f"{path}.weight" in whole or setting.keeps_packed_inputs:
            shared[source] = matrix.inputs * compute
        if target and setting.habits.dropout_kept:
            total += matrix.inputs * (low + 1)
    if setting.habits.compiled:  # computed again from what goes into norm and product
        shared = {source: size for source, size in shared.items() if source == "attention"}
    return total + sum(shared.values())


def _copies(setting: Setting) -> int:
    """Adapters in the type to compute in, which our own layer keeps beside those in float32."""
    if (
        not setting.recipe.method.has_adapter
        or slow_adapters(setting)
        or setting.compute == setting.habits.adapter_bytes
    ):
        return 0
    sizes: Counter[int] = Counter()
    for tensor in setting.trained:
        sizes[tensor.layer] += tensor.values
    return max((size for layer, size in sizes.items() if layer >= 0), default=0) * setting.compute
