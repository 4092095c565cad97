"""One worker of several that saves a run under each strategy in turn, or goes on from what all of them have saved."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

STEP = 1
"""The step that everything is saved behind."""


def save(jobs: list[dict[str, Any]], rank: int, world_size: int, store: str, output: str) -> None:
    """Train each of these runs until it stops."""
    from tunesmith.train.job import TrainJob
    from tunesmith.train.loop import Loop

    _join(rank, world_size, store, output)
    for job in jobs:
        Loop(TrainJob(**job), rank, world_size).run()


def go_on(given: dict[str, Any], rank: int, world_size: int, store: str, output: str) -> None:
    """In each of `jobs`, load the checkpoint of each of its sources, one after the other; write `found-RANK.json`.

    `found[source]` is whether this worker's state then has the bits of what was saved, and `places` where that state
    lies in the whole. After some of the sources the next step is taken: `off[source]` is how far loss, norm and weights
    are then off those of the undisturbed run.
    """
    from tunesmith.train import checkpoint
    from tunesmith.train.job import TrainJob
    from tunesmith.train.loop import Loop

    _join(rank, world_size, store, output)
    for number, (values, sources) in enumerate(zip(given["jobs"], given["sources"], strict=True)):
        loop, expected = Loop(TrainJob(**values), rank, world_size), given["undisturbed"][number]
        _, undisturbed = checkpoint.read(_place(expected["folder"]), STEP + 1)
        told: dict[str, Any] = {"found": {}, "places": {}, "off": {}}
        for turn, (name, folder) in enumerate(sources.items()):
            _, saved = checkpoint.read(_place(folder), STEP, rank, world_size)
            loop.strategy.restore(saved)
            told["found"][name], told["places"][name] = _same_bits(loop.strategy.pieces(), saved)
            # Others in each job, so that all 15 sources have their turn.
            if turn in (number, number + 5):
                told["off"][name] = _step(loop, expected, undisturbed)
        told["shapes"] = {key: list(shape) for key, shape in saved.shapes.items()}
        (loop.job.folder / f"found-{rank}.json").write_text(json.dumps(told))


def _step(loop: Any, expected: dict[str, Any], undisturbed: Any) -> float:
    """Take the step behind the saved one; the largest difference of loss, norm and weights."""
    from tunesmith.train.optimizer import learning_rate

    rows = loop.plan.rows(STEP)
    weight = sum(float(loop.train_rows[row].label_weights.sum()) for row in rows)
    loss, _, _ = loop.passes.gradients(loop.train_rows, STEP, rows, weight)
    [loss] = loop.strategy.sum([loss])
    rate = learning_rate(STEP, loop.plan.total_steps, loop.section)
    norm = loop.strategy.step(rate, loop.section.max_grad_norm)
    weights = [_apart(piece, undisturbed) for piece in loop.strategy.pieces() if len(piece.values)]
    return max(abs(loss - expected["loss"]), abs(norm - expected["norm"]), *weights)


def _join(rank: int, world_size: int, store: str, output: str) -> None:
    with Path(output).open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world_size)


def _place(folder: str) -> Any:
    from tunesmith.train.job import CHECKPOINTS
    from tunesmith.train.places import open_place

    return open_place(Path(folder) / CHECKPOINTS, None)


def _same_bits(pieces: Any, saved: Any) -> tuple[bool, list[tuple[str, int, int]]]:
    """Whether each piece is what was saved at its place, and those places: key, start, stop."""
    import torch

    same, places = True, []
    for piece in pieces:
        stop = piece.start + len(piece.values)
        values = piece.values.detach().reshape(-1).float()
        same &= saved.shapes.get(piece.key) == piece.shape and torch.equal(
            values, saved.read(piece.key, piece.start, stop)
        )
        places.append((piece.key, piece.start, stop))
    return bool(same), places


def _apart(piece: Any, expected: Any) -> float:
    values = expected.read(piece.key, piece.start, piece.start + len(piece.values))
    return float((piece.values.detach().reshape(-1).float() - values).abs().max())
