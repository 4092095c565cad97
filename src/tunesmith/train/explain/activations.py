"""What a forward pass leaves for the backward pass, counted on the meta device."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from tunesmith.data.dataset import PackedRow
from tunesmith.models.head_loss import HeadLoss
from tunesmith.models.lora_linear import speed_up
from tunesmith.models.meta import quantised_layers
from tunesmith.train.explain.setting import Setting
from tunesmith.train.forward import MicroBatch, loss_sum
from tunesmith.train.strategies import STRATEGIES
from tunesmith.train.strategies.layers import decoder_layers

COUNTED = "tunesmith_counted"
"""Name of an attention that keeps what a fused kernel keeps and computes nothing."""


@dataclass(frozen=True)
class Activations:
    """Bytes that one micro-batch leaves until its backward pass.

    `layers` is the sum over decoder layers, `largest_layer` that of one, `inputs` what goes into all of them, `outside`
    the rest: embeddings, final norm, head and loss on `labels` of the `tokens`.
    """

    tokens: int
    labels: int
    layers: int
    largest_layer: int
    inputs: int
    outside: int

    @property
    def kept(self) -> int:
        """Without gradient checkpointing."""
        return self.outside + self.layers

    @property
    def checkpointed(self) -> int:
        """With it: the layers' inputs, and one layer computed again at a time (Chen et al. 2016, arXiv:1604.06174)."""
        return self.outside + self.inputs + self.largest_layer

    @property
    def offloaded(self) -> int:
        """Left on the GPU when they are kept in memory: of the layers, those of the one that is computed."""
        return self.outside + self.largest_layer


def micro_batch_rows(setting: Setting) -> int:
    """Full rows that go through the model together: the loop takes one at a time where dropout draws."""
    section = setting.recipe.train
    if setting.recipe.method.dropout:
        return 1
    return max(1, section.micro_batch_tokens // section.sequence_length)


def activations(setting: Setting, label_share: float = 1.0) -> Activations:
    """An estimate: the sum of all tensors that autograd saves in the real forward pass, run on the meta device.

    It takes full rows, each one document, of which a `label_share` of the tokens is learnt: the logits are of those
    only. Attention is taken to keep queries, keys, values, output and one float32 for each head and token, as flash
    attention does (Dao 2023, arXiv:2307.08691); on a CPU documents of up to 512 tokens keep their squares of scores as
    well. Parameters and their copies are not counted, nor what lives only inside a layer. For a layer of width h with
    16-bit values it comes near the 34 h bytes a token of Korthikanti et al. 2022, arXiv:2205.05198, table 2, which is
    for layers trained themselves. Raises ModelError for a model whose layers are not known.
    """
    _register()
    model = setting.model
    base = model.get_base_model() if setting.recipe.method.has_adapter else model
    base.set_attn_implementation(COUNTED)
    plain = setting.recipe.method.type != "qlora" and not STRATEGIES[setting.strategy].whole_modules
    if setting.recipe.method.has_adapter and plain:
        speed_up(model)
    length, rows = setting.recipe.train.sequence_length, micro_batch_rows(setting)
    labels = max(1, round((length - 1) * label_share))
    row = PackedRow(
        input_ids=np.zeros(length, np.int64),
        document_lengths=np.array([length]),
        label_positions=np.arange(length - labels, length),
        label_weights=np.ones(labels, np.float32),
    )
    batch = MicroBatch.of([row] * rows, torch.device("meta"), setting.compute)
    counter = _Counter([*model.parameters(), *model.buffers()])
    counter.watch(decoder_layers(model))
    if setting.recipe.method.type == "qlora" and setting.recipe.method.quantisation == "int8":
        counter.keep_inputs(quantised_layers(model))
    model.train()
    with torch.autograd.graph.saved_tensors_hooks(counter.pack, lambda tensor: tensor):
        # With a mask of four dimensions at hand, transformers does not look at the positions' values to make one.
        head_loss = HeadLoss(model) if setting.recipe.train.chunked_loss else None
        loss_sum(partial(model, attention_mask=torch.empty(1, 1, 1, 1, device="meta")), batch, head_loss)
    counter.leave()
    layers = counter.layers
    return Activations(
        rows * length, rows * labels, sum(layers), max(layers), counter.inputs, counter.total - sum(layers)
    )


class _Counter:
    """Adds saved tensors up, each storage once, and knows in which layer it was saved."""

    def __init__(self, known: list[torch.Tensor]) -> None:
        self.seen = {tensor.untyped_storage()._cdata for tensor in known}
        self.held: list[torch.Tensor] = []  # so that no address is used twice
        self.total, self.inputs = 0, 0
        self.layers: list[int] = []
        self.inside = False
        self.hooks: list[Any] = []

    def watch(self, layers: list[torch.nn.Module]) -> None:
        """Count these modules apart."""
        for layer in layers:
            self.hooks.append(layer.register_forward_pre_hook(self._enter))
            self.hooks.append(layer.register_forward_hook(self._exit))

    def keep_inputs(self, layers: list[torch.nn.Module]) -> None:
        """Count what goes into these as saved: layers of 8 bits keep it (bitsandbytes 0.50.2)."""
        for layer in layers:
            self.hooks.append(layer.register_forward_pre_hook(self._keep_input))

    def leave(self) -> None:
        """Take the hooks off."""
        for hook in self.hooks:
            hook.remove()

    def _enter(self, module: torch.nn.Module, arguments: tuple[Any, ...]) -> None:
        self.layers.append(0)
        self.inside = True
        if arguments:
            self.inputs += arguments[0].nbytes

    def _keep_input(self, module: torch.nn.Module, arguments: tuple[Any, ...]) -> None:
        self.pack(arguments[0])

    def _exit(self, *_: Any) -> None:
        self.inside = False

    def pack(self, tensor: torch.Tensor) -> torch.Tensor:
        """Note a tensor that autograd saves."""
        storage = tensor.untyped_storage()
        if storage._cdata not in self.seen:
            self.seen.add(storage._cdata)
            self.held.append(tensor)
            self.total += storage.nbytes()
            if self.inside:
                self.layers[-1] += storage.nbytes()
        return tensor


class _Fused(torch.autograd.Function):
    """Keeps what a fused attention kernel keeps: query, key, value, output (.., tokens, width), sums (.., tokens)."""

    @staticmethod
    def forward(ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """An output of the query's shape."""
        out = torch.empty_like(query)
        ctx.save_for_backward(query, key, value, out, query.new_empty(query.shape[:-1], dtype=torch.float32))
        return out

    @staticmethod
    def backward(ctx: Any, *_: torch.Tensor) -> tuple[None, None, None]:  # type: ignore[override]
        """Never computed."""
        return None, None, None


def _counted(
    module: torch.nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_: Any, **__: Any
) -> tuple[torch.Tensor, None]:
    """(1, heads, tokens, width) -> (1, tokens, heads, width), laid out by document and back as the packed one does."""
    out = _Fused.apply(*(tensor.clone() for tensor in (query, key, value)))
    return out.transpose(1, 2).clone(), None


def _register() -> None:
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(COUNTED, _counted)
    AttentionMaskInterface.register(COUNTED, lambda *_, **__: None)
