"""Every worker holds the whole model; gradients are summed (torch DistributedDataParallel)."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.distributed as dist

from tunesmith.train.strategies.strategy import Strategy


class Ddp(Strategy):
    """Data parallelism. One worker needs no process group and no wrapper."""

    def wrap(self, model: torch.nn.Module) -> torch.nn.Module:
        """DistributedDataParallel around the model when there are others."""
        self.model = model
        if self.world_size > 1:
            self.model = torch.nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=True)
        return self.model

    def accumulating(self, last: bool) -> AbstractContextManager[None]:
        """Gradients travel with the last micro-batch only."""
        return nullcontext() if last or self.world_size == 1 else self.model.no_sync()  # type: ignore[operator,no-any-return]

    def backward(self, loss: torch.Tensor, last: bool) -> None:
        """DDP averages over the workers; times their number that is the sum."""
        (loss * self.world_size).backward()

    def clip(self, parameters: list[torch.nn.Parameter], max_norm: float) -> torch.Tensor:
        """Every worker holds all gradients, so the norm is local."""
        return torch.nn.utils.clip_grad_norm_(parameters, max_norm if max_norm > 0 else float("inf"))

    def sum(self, values: list[float]) -> list[float]:
        """One small all-reduce in float64."""
        if self.world_size == 1:
            return values
        device = next(self.model.parameters()).device
        kind = torch.float64 if device.type != "mps" else torch.float32
        tensor = torch.tensor(values, dtype=kind, device=device)
        dist.all_reduce(tensor)
        return [float(value) for value in tensor]
