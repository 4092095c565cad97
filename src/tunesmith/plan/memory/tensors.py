"""Every tensor of a model and of its adapter, by formula: what it holds, in which type, and whether it is trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from tunesmith.errors import ModelError, did_you_mean
from tunesmith.plan.shape import Matrix, ModelShape
from tunesmith.recipe.method import MethodSection

BLOCK, SCALES_BLOCK, LEVELS = 64, 256, 16
"""bitsandbytes 0.50.2: weights that share a scale, scales that share a scale, and values that 4 bits can name."""

OUTSIDE = -1
"""The layer of tensors that belong to none."""


@dataclass(frozen=True)
class Tensor:
    """A parameter as training keeps it.

    `shape` is the layer's own, `stored` what lies in memory, `itemsize` the bytes of one element of that; `scales` are
    bytes of a quantisation's own tensors. `adapter` says that it belongs to LoRA.
    """

    name: str
    layer: int
    shape: tuple[int, ...]
    stored: tuple[int, ...]
    itemsize: int
    trained: bool
    adapter: bool = False
    quantised: bool = False
    scales: int = 0

    @property
    def values(self) -> int:
        """How many numbers the layer has."""
        return prod(self.shape)

    @property
    def stored_values(self) -> int:
        """How many elements lie in memory."""
        return prod(self.stored)

    @property
    def bytes(self) -> int:
        """Without the scales."""
        return self.stored_values * self.itemsize


def tensors_of(shape: ModelShape, method: MethodSection, compute: int, full: int = 4) -> list[Tensor]:
    """All of them in the model's order, as `models.trainable` leaves them.

    `compute` is the itemsize of the type to compute in. Weights of `full` have `full` bytes, frozen ones too, and
    adapters are in float32. Raises ModelError when `method` names what the model does not have.
    """
    _check(shape, method)
    kept = compute if method.has_adapter else full
    found: list[Tensor] = []
    found += _plain("model.embed_tokens.weight", OUTSIDE, (shape.vocabulary, shape.hidden), method, kept)
    for layer in range(shape.num_layers):
        for name, matrix, size in _of_layer(shape):
            path = f"model.layers.{layer}.{name}"
            if matrix is None:
                found += _plain(f"{path}.weight", layer, (size,), method, kept)
            else:
                found += _linear(path, layer, matrix, method, compute, kept)
    found += _plain("model.norm.weight", OUTSIDE, (shape.hidden,), method, kept)
    if not shape.tied:
        head = Matrix("lm_head", shape.vocabulary, shape.hidden)
        found += _linear("lm_head", OUTSIDE, head, method, compute, kept, quantises=False)
    return found


def is_target(path: str, method: MethodSection) -> bool:
    """Whether a linear layer gets an adapter; `all-linear` is every one but the head."""
    if not method.has_adapter:
        return False
    if method.targets == "all-linear":
        return path != "lm_head"
    return any(path == target or path.endswith(f".{target}") for target in method.targets)


def _of_layer(shape: ModelShape) -> Iterator[tuple[str, Matrix | None, int]]:
    """The parts of a decoder layer: path, matrix or None for a norm, and the norm's width."""
    attention = [one for one in shape.matrices if one.name in ("q_proj", "k_proj", "v_proj", "o_proj", "qkv_proj")]
    for matrix in attention:
        yield f"self_attn.{matrix.name}", matrix, 0
    if has_head_norms(shape):
        yield "self_attn.q_norm", None, shape.head_width
        yield "self_attn.k_norm", None, shape.head_width
    for matrix in shape.matrices:
        if matrix not in attention:
            yield f"mlp.{matrix.name}", matrix, 0
    yield "input_layernorm", None, shape.hidden
    yield "post_attention_layernorm", None, shape.hidden


def has_head_norms(shape: ModelShape) -> bool:
    """Whether queries and keys have norms of their own."""
    biases = sum(matrix.outputs for matrix in shape.matrices if matrix.bias)
    return shape.vectors > biases + 2 * shape.hidden


def _linear(
    path: str, layer: int, matrix: Matrix, method: MethodSection, compute: int, kept: int, quantises: bool = True
) -> Iterator[Tensor]:
    size = (matrix.outputs, matrix.inputs)
    if method.type == "qlora" and quantises:
        yield _packed(f"{path}.weight", layer, size, method, compute)
    else:
        yield from _plain(f"{path}.weight", layer, size, method, kept)
    if matrix.bias:
        yield from _plain(f"{path}.bias", layer, (matrix.outputs,), method, kept)
    if is_target(path, method):
        for part, lora in (("lora_A", (method.rank, matrix.inputs)), ("lora_B", (matrix.outputs, method.rank))):
            yield Tensor(f"{path}.{part}", layer, lora, lora, 4, trained=True, adapter=True)
        if method.dora:
            norms = (matrix.outputs,)
            yield Tensor(f"{path}.lora_magnitude_vector", layer, norms, norms, 4, trained=True, adapter=True)


def _plain(name: str, layer: int, size: tuple[int, ...], method: MethodSection, kept: int) -> Iterator[Tensor]:
    trained = not method.has_adapter and _named(name, method)
    yield Tensor(name, layer, size, size, kept, trained)


def _packed(name: str, layer: int, size: tuple[int, int], method: MethodSection, compute: int) -> Tensor:
    """Sizes of `bitsandbytes.nn.Linear4bit` and `Linear8bitLt`, version 0.50.2.

    NF4 (Dettmers et al. 2023, arXiv:2305.14314): two weights a byte, kept in elements of the type to compute in; a
    scale for each block of 64, in float32, or in 8 bits with a float32 scale for each 256 of them, their own 256 levels
    and their mean; the 16 levels. int8: a float32 scale for each row.
    """
    if method.quantisation == "int8":
        return Tensor(name, layer, size, size, 1, False, quantised=True, scales=size[0] * 4)
    blocks = -(-prod(size) // BLOCK)
    scales = blocks + 4 * -(-blocks // SCALES_BLOCK) + 4 * 256 + 4 if method.double_quantisation else 4 * blocks
    packed = -(-prod(size) // 2)
    stored = (-(-packed // compute), 1)
    return Tensor(name, layer, size, stored, compute, False, quantised=True, scales=scales + 4 * LEVELS)


def _named(name: str, method: MethodSection) -> bool:
    return method.layers == "all" or any(part in name for part in method.layers)


def _check(shape: ModelShape, method: MethodSection) -> None:
    names = [f"model.layers.{layer}.{name}" for layer in range(shape.num_layers) for name, _, _ in _of_layer(shape)]
    linear = [
        f"model.layers.{layer}.{name}"
        for layer in range(shape.num_layers)
        for name, matrix, _ in _of_layer(shape)
        if matrix
    ] + ["lm_head"]
    if method.has_adapter and method.targets != "all-linear":
        for target in method.targets:
            if not any(path == target or path.endswith(f".{target}") for path in linear):
                raise ModelError(
                    f"the model has no linear layer named '{target}'",
                    where="method.targets",
                    fix=did_you_mean(target, {name.rsplit(".", 1)[-1] for name in linear}),
                )
    whole = ["model.embed_tokens.weight", *(f"{name}.weight" for name in names), "model.norm.weight"]
    whole += [] if shape.tied else ["lm_head.weight"]
    for part in () if method.layers == "all" else method.layers:
        if not any(part in name for name in whole):
            raise ModelError(
                f"no weight of the model has '{part}' in its name",
                where="method.layers",
                fix=f"write parts of names such as {whole[0]}, {whole[-1]}",
            )
