"""What is measured beside steps: weights loaded and quantised, checkpoints, answers, bytes between workers, Ray."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tunesmith.plan.time.answers import decode_seconds
from tunesmith.plan.time.graph import graph_of
from tunesmith.plan.time.rates import Rates
from tunesmith.recipe.schema import Recipe
from tunesmith.run.stand_in import StandIn
from tunesmith.train.job import TrainJob
from tunesmith.train.sinks import read_events

BATCH, POSITIONS = 4, 24
"""Answers generated at once and their length, to time one position."""

BYTES = 1 << 25
"""Sent between two workers, to time the way."""


def peaks(dtype: str, threads: int) -> tuple[float, float]:
    """Operations a second of a large product, and bytes a second of a large copy, read and written."""
    import torch

    from tunesmith.models.load import choose_device

    device = choose_device()
    torch.set_num_threads(threads)
    size = 8192 if device.type == "cuda" else 1024
    square = torch.ones(size, size, dtype=getattr(torch, dtype), device=device)
    large = torch.ones(1 << 25, dtype=torch.float32, device=device)

    def seconds(work: Callable[[], Any]) -> float:
        times = []
        for _ in range(6):
            began = time.perf_counter()
            work()
            if device.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - began)
        return min(times)

    return 2 * size**3 / seconds(lambda: square @ square), 2 * large.nbytes / seconds(lambda: large + 1)


def loading(of: StandIn) -> float:
    """Bytes a second at which weights become a model."""
    from tunesmith.models.load import choose_device, load_base

    folder = Path(of.job.model_folder)
    began = time.perf_counter()
    load_base(folder, of.recipe.base, choose_device())
    seconds = time.perf_counter() - began
    return sum(path.stat().st_size for path in folder.glob("*.safetensors")) / seconds


def quantising(of: StandIn) -> float:
    """Weights a second that are packed into 4 or 8 bits, read and written included."""
    from tunesmith.models.load import choose_device
    from tunesmith.models.quantise import quantised_copy

    with tempfile.TemporaryDirectory(dir=of.job.folder) as cache:
        began = time.perf_counter()
        quantised_copy(Path(of.job.model_folder), of.recipe.base, of.recipe.method, choose_device(), Path(cache))
        return graph_of(of.shape, of.recipe.method).weights / (time.perf_counter() - began)


def writing(job: TrainJob) -> float:
    """Bytes a second at which the run's checkpoint reached its disk."""
    saved = [event for event in read_events(job.folder) if event["event"] == "checkpoint"]
    return float(sum(event["bytes"] for event in saved) / max(1e-3, sum(event["seconds"] for event in saved)))


def answering(deep: StandIn, shallow: StandIn, recipe: Recipe, rates: Rates) -> Rates:
    """Seconds of a decoded position: for each layer, from models of more layers and fewer, and besides."""
    nothing = replace(rates, decode=0.0, position=0.0)
    left = [
        _position(one) - decode_seconds(one.shape, recipe, nothing, BATCH, POSITIONS) for one in (deep, shallow)
    ]  # what reading the weights does not explain
    each = max(0.0, left[0] - left[1]) / (deep.shape.num_layers - shallow.shape.num_layers)
    besides = max(0.0, left[0] - each * deep.shape.num_layers)
    return replace(rates, decode=each, position=besides)


def _position(of: StandIn) -> float:
    """Seconds of one position of a batch, with the adapter where there is one."""
    import torch

    from tunesmith.models.load import choose_device, load_base, load_tuned
    from tunesmith.models.quantise import base_folder

    device, recipe = choose_device(), of.recipe
    folder = base_folder(Path(of.job.model_folder), recipe.base, recipe.method, device, Path(of.job.cache_folder))
    if recipe.method.has_adapter:
        model: Any = load_tuned(folder, recipe.base, of.job.artefact, device)
    else:
        model = load_base(folder, recipe.base, device)
    prompt = torch.randint(1, of.shape.vocabulary, (BATCH, 8), generator=torch.Generator().manual_seed(0)).to(device)

    def answer(length: int) -> float:
        began = time.perf_counter()
        with torch.no_grad():
            model.generate(
                input_ids=prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=length,
                min_new_tokens=length, eos_token_id=0, pad_token_id=0,
            )  # fmt: skip
        return time.perf_counter() - began

    answer(2)
    return max(1e-6, (answer(POSITIONS) - answer(2)) / (POSITIONS - 2))


def on_ray(of: StandIn, cpus: int, gpus: int) -> float:
    """Seconds of a whole run on Ray Train, its start and end included."""
    from tunesmith.train.driver import run_on_ray

    began = time.perf_counter()
    run_on_ray(of.job, of.recipe.resources, cpus, gpus, lambda: None)
    return time.perf_counter() - began


def exchanging() -> float:
    """Bytes a second that a worker sends to another one on this machine, over gloo."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        queue: Any = context.Queue()
        workers = [context.Process(target=_send, args=(rank, f"{folder}/store", queue)) for rank in range(2)]
        for worker in workers:
            worker.start()
        try:
            return float(queue.get(timeout=120))
        finally:
            for worker in workers:
                worker.join(20)
                worker.kill()


def _send(rank: int, store: str, queue: Any) -> None:
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    values, times = torch.ones(BYTES // 4), []
    for _ in range(4):
        dist.barrier()
        began = time.perf_counter()
        dist.all_reduce(values)
        times.append(time.perf_counter() - began)
    if rank == 0:
        queue.put(BYTES / min(times[1:]))  # an all-reduce of two sends the whole once
    dist.destroy_process_group()
