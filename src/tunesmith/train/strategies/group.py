"""The process group: made by Ray Train or the launcher; a worker that is alone makes its own."""

from __future__ import annotations

import torch.distributed as dist


def ensure_group() -> None:
    """Make a group of one where there is none, for strategies that cannot do without."""
    if not dist.is_initialized():
        import torch

        backend = "nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
