"""Every worker holds a part of each layer and gathers the rest when the layer's turn comes (torch FSDP2)."""

from __future__ import annotations

from typing import Any

import torch

from tunesmith.models.outline import forget_stand_ins, unread
from tunesmith.models.stored import Stored
from tunesmith.train.pieces import Piece, Pieces
from tunesmith.train.strategies.group import ensure_group
from tunesmith.train.strategies.layers import decoder_layers
from tunesmith.train.strategies.strategy import Strategy


class Fsdp(Strategy):
    """Parameters, gradients and optimizer state are cut along each tensor's first dimension (`fully_shard`)."""

    lockstep = True
    cuts_weights = True

    def wrap(self, model: Any) -> Any:
        """Cut each decoder layer on its own, and what is left as one more; then read what has not been read."""
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy, OffloadPolicy, fully_shard

        ensure_group()
        mesh = init_device_mesh(self.device.type, (self.world_size,))
        precision = MixedPrecisionPolicy(param_dtype=self.compute, reduce_dtype=torch.float32)
        # Parameters lie in memory; torch has no offload of the optimizer's state alone, it goes with them.
        pinned = self.device.type == "cuda"
        offload = CPUOffloadPolicy(pin_memory=pinned) if self.resources.offload == "all" else OffloadPolicy()
        stored = unread(model)
        forget_stand_ins(model)
        for layer in decoder_layers(model):
            fully_shard(layer, mesh=mesh, mp_policy=precision, offload_policy=offload)
        fully_shard(model, mesh=mesh, mp_policy=precision, offload_policy=offload)
        _read(model, stored, torch.device("cpu") if self.resources.offload == "all" else self.device)
        return model

    def _clip(self, max_norm: float) -> float:
        norm: Any = torch.nn.utils.clip_grad_norm_(list(self.parameters.values()), max_norm)
        return float(norm.full_tensor())

    def let_go(self) -> None:
        """What is gathered last waits for the next pass."""
        from torch.distributed.fsdp import FSDPModule

        for module in self.model.modules():
            if isinstance(module, FSDPModule):
                module.reshard()

    def held(self) -> dict[str, int]:
        """What is left when the last layer gathered, which waits for the next step, is let go."""
        self.let_go()
        return super().held()

    def _size(self, tensor: Any) -> int:
        local = _local(tensor)
        return super()._size(tensor if local is None else local)

    def _piece(self, key: str, tensor: torch.Tensor) -> Piece:
        local = _local(tensor)
        if local is None:
            return super()._piece(key, tensor)
        start, _ = _flat_range(tensor)
        return Piece(key, tuple(tensor.shape), start, local.reshape(-1))

    def _restored(self, parameter: Any, pieces: Pieces, key: str, alike: bool) -> torch.Tensor:
        if not alike:
            return super()._restored(parameter, pieces, key, alike)
        moment = torch.zeros_like(parameter, requires_grad=False)
        self._fill(moment, pieces, key)
        return moment

    def _fill(self, tensor: torch.Tensor, pieces: Pieces, key: str) -> None:
        local = _local(tensor)
        if local is None:
            super()._fill(tensor, pieces, key)
        elif local.numel():
            local.copy_(pieces.read(key, *_flat_range(tensor)).view(local.shape))


def _read(model: Any, stored: dict[str, Stored], device: torch.device) -> None:
    """Read this worker's rows of the weights that are still on the meta device, one weight after the other."""
    for name, parameter in model.named_parameters():
        if name in stored:
            empty = torch.empty_like(parameter, device=device)
            torch.utils.swap_tensors(parameter, torch.nn.Parameter(empty, requires_grad=parameter.requires_grad))
            local = _local(parameter)
            if local is not None:
                stored[name].fill(local.view(-1), _flat_range(parameter)[0])


def _local(tensor: Any) -> torch.Tensor | None:
    """This worker's rows of a tensor that is cut, detached; None of one that is not."""
    from torch.distributed.tensor import DTensor

    local: torch.Tensor | None = tensor.detach().to_local() if isinstance(tensor, DTensor) else None
    return local


def _flat_range(tensor: Any) -> tuple[int, int]:
    """Where this worker's rows begin and end in the flattened tensor."""
    from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

    shape, offset = compute_local_shape_and_global_offset(tensor.shape, tensor.device_mesh, tensor.placements)
    row = tensor.numel() // max(tensor.shape[0], 1)
    return offset[0] * row, (offset[0] + shape[0]) * row
