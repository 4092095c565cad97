"""Several workers in processes of their own, and whether they have trained what another run has."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from tests.integration import train_rank
from tests.ready import ready_processes, with_environment
from tunesmith.train.job import TrainJob, read_result
from tunesmith.train.sinks import read_events


def on_gloo(job: TrainJob, world_size: int, work: Callable[..., None] = train_rank.work) -> None:
    """Train in processes of their own that know each other through a file; `work` is what each of them does."""
    in_processes(job.folder, world_size, work, job.to_json())


def in_processes(folder: Path, world_size: int, work: Callable[..., None], given: Any, limit: float = 240) -> None:
    """Run `work(given, rank, world_size, file to meet at, file for what it prints)` in `world_size` processes.

    They have `limit` seconds.
    """
    store = folder / "store"
    store.unlink(missing_ok=True)
    outputs = [folder / f"output-{rank}" for rank in range(world_size)]
    workers = [
        ready_processes().Process(
            target=with_environment,
            args=(dict(os.environ), work, given, rank, world_size, str(store), str(output)),
        )
        for rank, output in enumerate(outputs)
    ]
    for worker in workers:
        worker.start()
    deadline = time.monotonic() + limit
    try:
        # The first that fails ends the wait: the others would sit in a collective for ever.
        while any(worker.is_alive() for worker in workers) and not any(worker.exitcode for worker in workers):
            assert time.monotonic() < deadline, [output.read_text()[-3000:] for output in outputs]
            time.sleep(0.05)
        for worker, output in zip(workers, outputs, strict=True):
            assert not worker.exitcode, output.read_text()[-3000:]
    finally:
        for worker in workers:
            worker.kill()
            worker.join()


def assert_equal(job: TrainJob, expected: TrainJob, losses: float = 1e-5, weights: float = 1e-5) -> None:
    """Losses, norms and validation losses of every step to `losses`, what was trained to `weights`; counts exactly."""
    for key in ("train_loss", "gradient_norm", "validation_loss"):
        theirs = [(event["step"], event[key]) for event in read_events(expected.folder) if key in event]
        ours = [(event["step"], event[key]) for event in read_events(job.folder) if key in event]
        assert theirs
        assert [step for step, _ in ours] == [step for step, _ in theirs]
        assert [value for _, value in ours] == pytest.approx([value for _, value in theirs], abs=losses)
    result, reference = read_result(job.folder), read_result(expected.folder)
    assert result is not None
    assert reference is not None
    for key in ("status", "steps", "tokens", "label_tokens", "best_step"):
        assert getattr(result, key) == getattr(reference, key), key
    found, wanted = (load_file(next(one.artefact.glob("*.safetensors"))) for one in (job, expected))
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert abs(found[name] - tensor).max() < weights, (name, abs(found[name] - tensor).max())


def held(job: TrainJob, world_size: int) -> list[dict[str, Any]]:
    """What each worker held at its end: the values of parameters and of optimizer state that lay with it."""
    return [json.loads((job.folder / f"held-{rank}.json").read_text()) for rank in range(world_size)]
