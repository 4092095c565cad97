"""What passes cost: products, other traffic, unpacked weights. Counted from shapes; compared with torch's own count."""

from __future__ import annotations

from dataclasses import astuple, dataclass

from tunesmith.plan.shape import ModelShape
from tunesmith.plan.time.graph import Graph
from tunesmith.plan.time.workload import Part
from tunesmith.recipe.method import MethodSection

SHORT = 512
"""Documents of a CPU up to this length are attended by plain products (`models.attention.SHORT`, which a test
compares); longer ones, and all on a GPU, by kernels that skip the half no query sees and keep no scores."""

HIDDEN, ATTENDED, INNER = 26, 11, 5
"""Values that one token's forward pass through a layer reads and writes outside of products, in multiples of the hidden
width (two norms of ten each, two residuals of three), of the queries' and keys' width (rotary embedding, laying out by
document and back), of the inner width (gated activation)."""

SCORES = 6
"""The same for each score of plain attention: written, masked, normalised, read."""

LOGITS = 12
"""The same for each logit of a learnt token, forward and backward, in float32."""

CAST = 9
"""The same for each value that goes into or comes out of an adapter on PEFT's own way, which 4-bit weights take: to
float32 and back."""

OPTIMIZER_BYTES = 48
"""That AdamW and clipping read and write for a trained value: weight, gradient, two moments, all float32."""


@dataclass(frozen=True)
class Work:
    """`flops` of matrix products, `moved` bytes of everything between them, weights `unpacked` from 4 or 8 bits."""

    flops: float = 0.0
    moved: float = 0.0
    unpacked: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def times(self, factor: float) -> Work:
        """So many times as much."""
        return Work(self.flops * factor, self.moved * factor, self.unpacked * factor)


def forward_work(
    shape: ModelShape, method: MethodSection, graph: Graph, part: Part, batches: float, plain: bool, itemsize: int
) -> Work:
    """Layers, then the head on the learnt positions alone; `part` in so many micro-batches, values of `itemsize`."""
    layers = layers_forward(shape, method, graph, part, batches, plain, itemsize)
    return layers + Work(2.0 * shape.embedding_values * part.labels, LOGITS * 4 * shape.vocabulary * part.labels / 2)


def layers_forward(
    shape: ModelShape, method: MethodSection, graph: Graph, part: Part, batches: float, plain: bool, itemsize: int
) -> Work:
    """What gradient checkpointing computes twice. Multiplying two matrices takes 2 operations for each weight and
    token; attention 4 for each pair of positions and value of a head, half of them where a kernel skips."""
    heads = shape.num_heads * shape.head_width
    flops = 2.0 * (graph.weights + graph.adapters) * part.tokens
    flops += 4.0 * heads * shape.num_layers * part.squares * (1.0 if plain else 0.5)
    values = _between(shape) * graph.layers * part.tokens
    values += CAST / 3 * _cast_width(method, graph) * part.tokens
    if plain:
        values += SCORES * shape.num_heads * shape.num_layers * part.squares
    unpacked = graph.weights * batches if method.type == "qlora" else 0.0
    return Work(flops, values * itemsize + _converted(method, graph, batches, itemsize), unpacked)


def backward_work(
    shape: ModelShape, method: MethodSection, graph: Graph, part: Part, batches: float, plain: bool, itemsize: int
) -> Work:
    """Gradients of inputs down to the first trained weight, and of trained weights: no others.

    Attention has four products backward; kernels that keep no scores compute them once more, five instead of four
    (Dao 2023, arXiv:2307.08691, section 3.1).
    """
    heads = shape.num_heads * shape.head_width
    flops = 2.0 * (graph.input_gradient + graph.weight_gradient + graph.adapter_gradient) * part.tokens
    flops += 2.0 * heads * graph.attention * part.squares * (1.0 if plain else 0.5 * 5 / 4)
    if graph.head:
        flops += 2.0 * shape.embedding_values * (1 + int(graph.head_weight)) * part.labels
    elif graph.head_weight:
        flops += 2.0 * shape.embedding_values * part.labels
    values = 2 * _between(shape) * graph.backward_layers * part.tokens
    values += CAST * 2 / 3 * _cast_width(method, graph) * part.tokens
    if plain:
        values += (SCORES + 2) * shape.num_heads * graph.attention / 4 * part.squares
    moved = values * itemsize + LOGITS * 4 * shape.vocabulary * part.labels / 2
    moved += 12.0 * (graph.weight_gradient + graph.outside) * batches  # gradients are added up in float32
    unpacked = graph.input_gradient * batches if method.type == "qlora" else 0.0
    return Work(flops, moved, unpacked)


def training_work(
    shape: ModelShape, method: MethodSection, graph: Graph, part: Part, batches: float, plain: bool, itemsize: int,
    checkpointing: bool,
) -> Work:  # fmt: skip
    """Forward and backward passes; with gradient checkpointing the layers' forward passes twice."""
    arguments = (shape, method, graph, part, batches, plain, itemsize)
    again = layers_forward(*arguments) if checkpointing else Work()
    return forward_work(*arguments) + again + backward_work(*arguments)


def _between(shape: ModelShape) -> float:
    """Values of one token in one layer that its forward pass reads and writes between the products."""
    attended = (shape.num_heads + shape.num_key_value_heads) * shape.head_width
    return HIDDEN * shape.hidden + ATTENDED * attended + INNER * shape.intermediate


def _cast_width(method: MethodSection, graph: Graph) -> int:
    return graph.adapted_width if method.type == "qlora" else 0


def _converted(method: MethodSection, graph: Graph, batches: float, itemsize: int) -> float:
    """Bytes of float32 weights that are read, and written in the type that is computed in, once a micro-batch."""
    if method.has_adapter or itemsize == 4:
        return 0.0
    return float((graph.weights + graph.outside) * batches * (4 + itemsize))
