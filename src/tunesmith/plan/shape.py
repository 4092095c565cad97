"""The sizes of a model that decide its memory and its work, from its config alone: no torch, no weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith.errors import ModelError


@dataclass(frozen=True)
class Matrix:
    """A linear layer's weight, `outputs` x `inputs`, by the name that `method.targets` knows it by."""

    name: str
    outputs: int
    inputs: int
    bias: bool = False

    @property
    def values(self) -> int:
        """Numbers in the weight, without the bias."""
        return self.outputs * self.inputs


@dataclass(frozen=True)
class ModelShape:
    """A decoder of `num_layers` equal layers.

    `matrices` are the linear layers of one decoder layer, `vectors` the numbers of its norms and of its biases; `tied`
    says that the head is the embedding.
    """

    model_type: str
    hidden: int
    intermediate: int
    num_layers: int
    num_heads: int
    num_key_value_heads: int
    head_width: int
    vocabulary: int
    tied: bool
    matrices: tuple[Matrix, ...]
    vectors: int
    max_positions: int

    @property
    def layer_values(self) -> int:
        """Parameters of one decoder layer."""
        return sum(matrix.values for matrix in self.matrices) + self.vectors

    @property
    def embedding_values(self) -> int:
        """Parameters of the embedding, which are the head's too when tied."""
        return self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        """All of them: layers, embedding, head, and the norm before the head."""
        return self.num_layers * self.layer_values + self.embedding_values * (1 if self.tied else 2) + self.hidden


ATTENTION_BIASES: dict[str, bool | str] = {
    "gemma": "attention_bias",
    "llama": "attention_bias",
    "phi3": False,
    "qwen2": True,
    "qwen3": "attention_bias",
    "mistral": False,
}
"""Model type -> whether queries, keys and values have biases: a constant, or the key of the config that says so."""

TIED = ("gemma",)
"""Model types whose head is the embedding unless their config says otherwise."""


def shape_of(config: Mapping[str, Any]) -> ModelShape:
    """The shape that a config.json describes. Raises ModelError for an architecture that is not counted by formula."""
    kind = str(config.get("model_type"))
    if kind not in ATTENTION_BIASES:
        raise ModelError(
            f"the sizes of a '{kind}' model are not known by formula (known: {', '.join(sorted(ATTENTION_BIASES))})",
            where="model.source",
            fix="install the training packages (pip install '.[train]'): they lay out any model by its own code",
        )
    hidden, inner, layers = (int(config[k]) for k in ("hidden_size", "intermediate_size", "num_hidden_layers"))
    heads = int(config["num_attention_heads"])
    shared = int(config.get("num_key_value_heads") or heads)
    width = int(config.get("head_dim") or hidden // heads)
    matrices = _fused(config) if kind == "phi3" else _separate(config)
    norms = 2 * hidden + (2 * width if kind == "qwen3" else 0)
    return ModelShape(
        model_type=kind,
        hidden=hidden,
        intermediate=inner,
        num_layers=layers,
        num_heads=heads,
        num_key_value_heads=shared,
        head_width=width,
        vocabulary=int(config["vocab_size"]),
        tied=bool(config.get("tie_word_embeddings", kind in TIED)),
        matrices=matrices,
        vectors=norms + sum(matrix.outputs for matrix in matrices if matrix.bias),
        max_positions=int(config.get("max_position_embeddings") or 0),
    )


def _separate(config: Mapping[str, Any]) -> tuple[Matrix, ...]:
    """Queries, keys, values, gate and up each by itself, in the order of the model."""
    kind, hidden, inner, queries, shared = _widths(config)
    known = ATTENTION_BIASES[kind]
    biased = bool(config.get(known, False)) if isinstance(known, str) else known
    own = bool(config.get("attention_bias", False)) if kind in ("gemma", "llama", "qwen3") else False
    inside = bool(config.get("mlp_bias", False))
    return (
        Matrix("q_proj", queries, hidden, biased),
        Matrix("k_proj", shared, hidden, biased),
        Matrix("v_proj", shared, hidden, biased),
        Matrix("o_proj", hidden, queries, own),
        Matrix("gate_proj", inner, hidden, inside),
        Matrix("up_proj", inner, hidden, inside),
        Matrix("down_proj", hidden, inner, inside),
    )


def _fused(config: Mapping[str, Any]) -> tuple[Matrix, ...]:
    """Phi-3: queries, keys and values in one matrix, gate and up in another, in the order of the model."""
    _, hidden, inner, queries, shared = _widths(config)
    return (
        Matrix("o_proj", hidden, queries),
        Matrix("qkv_proj", queries + 2 * shared, hidden),
        Matrix("gate_up_proj", 2 * inner, hidden),
        Matrix("down_proj", hidden, inner),
    )


def _widths(config: Mapping[str, Any]) -> tuple[str, int, int, int, int]:
    """Model type, hidden and intermediate width, and the widths of all queries and of all keys together."""
    hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
    width = int(config.get("head_dim") or hidden // heads)
    shared = int(config.get("num_key_value_heads") or heads)
    return str(config["model_type"]), hidden, int(config["intermediate_size"]), heads * width, shared * width
