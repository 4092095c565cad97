"""One worker of several, without Ray: `python -m tests.integration.train_rank JOB RANK WORLD_SIZE STORE`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch.distributed as dist

from tunesmith.train.job import TrainJob
from tunesmith.train.loop import Loop


def main() -> None:
    """Join the others through a file, train, leave."""
    job, rank, world_size, store = sys.argv[1:]
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=int(rank), world_size=int(world_size))
    try:
        loop = Loop(TrainJob(**json.loads(Path(job).read_text())), int(rank), int(world_size))
        loop.run()
        (loop.job.folder / f"held-{rank}.json").write_text(json.dumps(loop.strategy.held()))
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
