"""Activations kept in memory instead of on the GPU between the forward and the backward pass."""

from __future__ import annotations

import torch

SMALL = 1 << 14
"""Bytes up to which a tensor stays where it is: the way there and back would take longer than it is worth."""


class HostCopies(torch.autograd.graph.saved_tensors_hooks):
    """A context for forward passes: what autograd saves in it is copied to memory, and back when it is asked for.

    Parameters stay: they lie on the GPU anyway. The copies are pinned and queued behind the work that made the tensors,
    so that the process does not wait for them.
    """

    def __init__(self) -> None:
        super().__init__(self._away, self._back)

    def _away(self, tensor: torch.Tensor) -> tuple[torch.device, torch.Tensor]:
        whole = tensor if tensor._base is None else tensor._base
        if tensor.nbytes <= SMALL or isinstance(whole, torch.nn.Parameter):
            return tensor.device, tensor
        copy = torch.empty_like(tensor, device="cpu", pin_memory=tensor.is_cuda)
        return tensor.device, copy.copy_(tensor, non_blocking=True)

    def _back(self, kept: tuple[torch.device, torch.Tensor]) -> torch.Tensor:
        device, tensor = kept
        return tensor.to(device, non_blocking=True)
