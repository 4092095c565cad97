"""Adapters on vLLM's CPU backend: right where a batch also has requests without one, and not copied for each token.

vLLM 0.29.0 marks a token without an adapter as slot -1 and then looks up `weights[-1]`, so that such a token gets the
adapter of the last slot (`vllm.lora.ops.torch_ops`); and it copies the weights once for every token. Here the tokens of
each adapter are multiplied with its weights together, in float32 as there.

Named as `worker_extension_cls`, which has vLLM import this module where it runs the model. Not for GPUs, whose kernels
do both well.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import linear
from vllm.lora.punica_wrapper.punica_base import PunicaWrapperBase
from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

Groups = list[tuple[int, torch.Tensor | None]]
"""Slots that tokens of a batch use, with the rows of those tokens; None for all of them."""


class CpuLora:
    """Has nothing to add to vLLM's worker: importing it is what counts."""


def groups_of(slots: torch.Tensor) -> Groups:
    """By slot, which rows have it; those of -1 have none."""
    used = [slot for slot in torch.unique(slots).tolist() if slot >= 0]
    found: Groups = []
    for slot in used:
        rows = (slots == slot).nonzero()[:, 0]
        found.append((slot, None if len(rows) == len(slots) else rows))
    return found


def shrink(y: torch.Tensor, x: torch.Tensor, weights: torch.Tensor, groups: Groups, scale: float) -> None:
    """y (tokens, rank) becomes scale * x @ A of each token's slot; `weights` are (slots, 1, rank, in)."""
    for slot, rows in groups:
        part = x if rows is None else x[rows]
        made = linear(part.to(y.dtype), weights[slot, 0].to(y.dtype)) * scale
        if rows is None:
            y[:, : made.shape[1]] = made
        else:
            y[rows, : made.shape[1]] = made


def expand(
    y: torch.Tensor, x: torch.Tensor, weights: torch.Tensor, groups: Groups, start: int, size: int, add: bool = True
) -> None:
    """To columns `start` to `start + size` of y (tokens, out) is added x @ B; `weights` are (slots, 1, out, rank)."""
    for slot, rows in groups:
        part = x if rows is None else x[rows]
        made = linear(part.float(), weights[slot, 0].float())[:, :size].to(y.dtype)
        columns = slice(start, start + made.shape[1])
        where: Any = (slice(None) if rows is None else rows, columns)
        y[where] = y[where] + made if add else made


def _update_metadata(self: Any, *arguments: Any, **named: Any) -> None:
    PunicaWrapperBase.update_metadata(self, *arguments, **named)
    self.groups, self.sampled = groups_of(self.token_lora_indices), groups_of(self.sampler_indices)


def _add_shrink(self: Any, y: Any, x: torch.Tensor, lora_a_stacked: Any, scale: float, **_: Any) -> None:
    x = x.view(-1, x.shape[-1])
    for one, weights in zip(y, lora_a_stacked, strict=False):
        shrink(one.view(-1, one.shape[-1]), x, weights, self.groups, scale)


def _add_expand(
    self: Any, y: torch.Tensor, x: Any, lora_b_stacked: Any, output_slices: Any, offset_start: int = 0,
    add_inputs: bool = True, **_: Any,
) -> None:  # fmt: skip
    y = y.view(-1, y.shape[-1])
    for one, weights, size in zip(x, lora_b_stacked, output_slices, strict=False):
        expand(y, one.view(-1, one.shape[-1]), weights, self.groups, offset_start, size, add_inputs)
        offset_start += size


def _add_lora_embedding(
    self: Any, y: torch.Tensor, x: torch.Tensor, lora_b_stacked: torch.Tensor, add_inputs: bool = True, **_: Any
) -> None:
    expand(y, x, lora_b_stacked, self.groups, 0, y.shape[-1], add_inputs)


def _add_lora_logits(
    self: Any, y: torch.Tensor, x: torch.Tensor, lora_a_stacked: torch.Tensor, lora_b_stacked: torch.Tensor,
    scale: float, *, buffer: torch.Tensor | None = None, **_: Any,
) -> None:  # fmt: skip
    y, x = y.view(-1, y.shape[-1]), x.view(-1, x.shape[-1])
    between = x.new_zeros(len(x), lora_b_stacked.size(-1), dtype=torch.float32) if buffer is None else buffer
    shrink(between, x, lora_a_stacked, self.sampled, scale)
    expand(y, between, lora_b_stacked, self.sampled, 0, y.shape[-1])


PunicaWrapperCPU.update_metadata = _update_metadata
PunicaWrapperCPU.add_shrink = _add_shrink
PunicaWrapperCPU.add_expand = _add_expand
PunicaWrapperCPU.add_lora_embedding = _add_lora_embedding
PunicaWrapperCPU.add_lora_logits = _add_lora_logits
