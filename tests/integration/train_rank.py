"""One worker of several, without Ray."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def work(values: dict[str, Any], rank: int, world_size: int, store: str, output: str) -> None:
    """Join the others through a file, train, say what this worker held, leave. What it prints goes to a file."""
    with Path(output).open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    import torch.distributed as dist

    from tunesmith.train.job import TrainJob
    from tunesmith.train.loop import Loop

    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world_size)
    loop = Loop(TrainJob(**values), rank, world_size)
    loop.run()
    (loop.job.folder / f"held-{rank}.json").write_text(json.dumps(loop.strategy.held()))
    dist.destroy_process_group()
