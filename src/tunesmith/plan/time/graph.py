"""Which products of a decoder a method makes backpropagation compute: nothing is spent on what is frozen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tunesmith.plan.shape import Matrix, ModelShape
from tunesmith.recipe.method import MethodSection

BLOCK = {"q_proj": "self_attn", "k_proj": "self_attn", "v_proj": "self_attn", "o_proj": "self_attn"}
"""Where in a layer a matrix lies; the others are in `mlp`."""


@dataclass
class Graph:
    """Sums over the layers of one model under one method.

    `weights` of the layers' matrices, those of them an `input_gradient` or a `weight_gradient` is computed for;
    `adapters`, the values of A and B, and how many of them each token's backward pass multiplies with
    (`adapter_gradient`). Of the attention's four backward products `attention` counts those of all layers. `trained`
    values lie in layers, `outside` of them in embedding, head and final norm. `head` says whether gradients reach it
    at all, `head_weight` whether it is trained; `first` is the first layer with something to train in it.
    """

    layers: int = 0
    weights: int = 0
    input_gradient: int = 0
    weight_gradient: int = 0
    adapters: int = 0
    adapter_gradient: int = 0
    adapted_width: int = 0
    attention: int = 0
    backward_layers: int = 0
    trained: int = 0
    outside: int = 0
    first: int | None = None
    head: bool = False
    head_weight: bool = False

    @property
    def trained_values(self) -> int:
        """Numbers that are trained."""
        return self.trained + self.outside


def graph_of(shape: ModelShape, method: MethodSection) -> Graph:
    """Follow the gradient's way back to the first trained weight, matrix by matrix.

    Names are those of transformers' Llama and its kin, which `method.targets` and `method.layers` match as training
    matches them.
    """
    graph = Graph(layers=shape.num_layers)
    trained = _trained(method)
    embedded = trained("model.embed_tokens.weight")
    reached = embedded
    for number in range(shape.num_layers):
        before = graph.trained
        reached = _layer(graph, shape, method, f"model.layers.{number}", reached, trained)
        if graph.first is None and graph.trained > before:
            graph.first = number
    final = trained("model.norm.weight")
    graph.head_weight = embedded if shape.tied else trained("lm_head.weight")
    graph.head = reached or final
    graph.outside += shape.hidden if final else 0
    graph.outside += shape.embedding_values * (int(embedded) + int(graph.head_weight and not shape.tied))
    return graph


def _layer(
    graph: Graph, shape: ModelShape, method: MethodSection, name: str, reached: bool, trained: Callable[[str], bool]
) -> bool:
    """Count one layer; `reached` says whether its input needs a gradient. Returns whether its output does."""
    matrices = {matrix.name: matrix for matrix in shape.matrices}
    before = reached

    def passes(matrix: Matrix, needs: bool) -> bool:
        return _matrix(graph, method, matrix, f"{name}.{BLOCK.get(matrix.name, 'mlp')}.{matrix.name}", needs, trained)

    norms = [trained(f"{name}.{norm}.weight") for norm in ("input_layernorm", "post_attention_layernorm")]
    graph.trained += shape.hidden * sum(norms)
    query, key, value = (passes(matrices[one], reached or norms[0]) for one in ("q_proj", "k_proj", "v_proj"))
    graph.attention += int(query or key) + int(value) + int(query) + int(key)
    mixed = passes(matrices["o_proj"], query or key or value)
    middle = reached or mixed
    gate, up = (passes(matrices[one], middle or norms[1]) for one in ("gate_proj", "up_proj"))
    down = passes(matrices["down_proj"], gate or up)
    reached = middle or down
    graph.backward_layers += int(reached or before)
    return reached


def _matrix(
    graph: Graph, method: MethodSection, matrix: Matrix, name: str, needs: bool, trained: Callable[[str], bool]
) -> bool:
    """Count one matrix, whose input `needs` a gradient or not. Returns whether its output does."""
    graph.weights += matrix.values
    graph.input_gradient += matrix.values if needs else 0
    if method.has_adapter:
        if not _targeted(method, name):
            return needs
        graph.adapters += method.rank * (matrix.inputs + matrix.outputs)
        graph.adapter_gradient += method.rank * (2 * matrix.outputs + matrix.inputs * (2 if needs else 1))
        graph.adapted_width += matrix.inputs + matrix.outputs
        graph.trained += method.rank * (matrix.inputs + matrix.outputs) + (matrix.outputs if method.dora else 0)
        return True
    learnt = trained(f"{name}.weight")
    graph.weight_gradient += matrix.values if learnt else 0
    graph.trained += matrix.values if learnt else 0
    biased = matrix.bias and trained(f"{name}.bias")
    graph.trained += matrix.outputs if biased else 0
    return needs or learnt or biased


def _targeted(method: MethodSection, name: str) -> bool:
    """As PEFT matches `target_modules`."""
    return method.targets == "all-linear" or any(name == one or name.endswith(f".{one}") for one in method.targets)


def _trained(method: MethodSection) -> Callable[[str], bool]:
    """Whether `full` trains the weight of that name."""
    if method.has_adapter:
        return lambda name: False
    parts = ("",) if method.layers == "all" else method.layers
    return lambda name: any(part in name for part in parts)
