"""Every worker holds the whole model; gradients are summed (torch DistributedDataParallel)."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from typing import Any

import torch

from tunesmith.train.strategies.strategy import Strategy


class Ddp(Strategy):
    """Data parallelism. One worker needs no process group and no wrapper."""

    def wrap(self, model: Any) -> Any:
        """DistributedDataParallel around the model when there are others."""
        if self.world_size == 1:
            return model
        return torch.nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=True)

    def computing(self, last: bool = True) -> AbstractContextManager[Any]:
        """Gradients travel with the last micro-batch only."""
        context = ExitStack()
        if self.compute is not None:
            context.enter_context(torch.autocast(self.device.type, self.compute))
        if not last and self.world_size > 1:
            context.enter_context(self.model.no_sync())
        return context
