"""One worker of several that makes models ready to be trained, and how much memory each took at most."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import re
from pathlib import Path
from typing import Any

M_MMAP_THRESHOLD = -3


def work(jobs: list[dict[str, Any]], rank: int, world_size: int, store: str, output: str) -> None:
    """Make the model of each job ready, one after the other, and write down what it took.

    The first is small: it leaves imports and buffers of the libraries behind, so that the others are measured alone.
    """
    with Path(output).open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    import deepspeed
    import torch.distributed as dist

    from tunesmith.train.job import TrainJob
    from tunesmith.train.loop import Loop
    from tunesmith.train.strategies import strategy

    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world_size)
    # From this size on, what is let go of goes back to the kernel at once: malloc's own hoard is not what is measured.
    ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 1 << 20)
    initialize, cut = deepspeed.initialize, []

    def read_before(**given: Any) -> Any:
        """DeepSpeed makes room for the optimizer at once, which hides what reading the weights took."""
        cut.append(memory("VmHWM"))
        return initialize(**given)

    deepspeed.initialize = read_before
    # Its passes gather layer after layer as those of training do: they take time here and are tried elsewhere.
    strategy.check_packed = lambda *_: None
    for values in jobs:
        job = TrainJob(**values)
        before = start_over()
        loop = Loop(job, rank, world_size)
        ready = memory("VmHWM")
        made = {"read": (cut.pop() if cut else ready) - before, "ready": ready - before}
        (job.folder / f"memory-{rank}.json").write_text(json.dumps({**made, "warnings": loop.strategy.warnings}))
        del loop
    dist.destroy_process_group()


def quantise(jobs: list[dict[str, Any]], rank: int, world_size: int, store: str, output: str) -> None:
    """Make the quantised copies of a small base and of the job's, and write down what the second took."""
    import torch

    from tunesmith.models.quantise import quantised_copy
    from tunesmith.train.job import TrainJob

    ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 1 << 20)
    cpu, (small, large) = torch.device("cpu"), (TrainJob(**values) for values in jobs)
    recipe = large.load_recipe()
    quantised_copy(Path(small.model_folder), recipe.base, recipe.method, cpu, Path(small.cache_folder))
    before = start_over()
    made = quantised_copy(Path(large.model_folder), recipe.base, recipe.method, cpu, Path(large.cache_folder))
    Path(output).write_text(json.dumps({"took": memory("VmHWM") - before, "folder": str(made)}))


def start_over() -> int:
    """Give what is free back to the kernel and let its high-water mark begin anew; returns the bytes in memory."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


def memory(what: str) -> int:
    """Bytes of this process: VmHWM at most since `start_over`, VmRSS now; pages of mapped files are counted too."""
    found = re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) << 10
