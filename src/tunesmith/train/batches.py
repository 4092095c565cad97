"""Which packed rows make up each optimizer step: a function of the seed alone, never of the number of workers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tunesmith.recipe.train import TrainSection


@dataclass(frozen=True)
class BatchPlan:
    """The order of the data over a whole run.

    `num_tokens` has the size of each row in tokens. Every epoch goes through the rows in an order of its own; a global
    batch is `batch_size` rows, or as many as reach `batch_tokens`. The last batch of an epoch may be smaller.
    """

    num_tokens: tuple[int, ...]
    batch_size: int
    batch_tokens: int | None
    seed: int
    total_steps: int

    def rows(self, step: int) -> list[int]:
        """The rows of a step, counted from 0."""
        epoch = 0
        while step >= len(batches := self._epoch(epoch)):
            step -= len(batches)
            epoch += 1
        return batches[step]

    def _epoch(self, epoch: int) -> list[list[int]]:
        return _batches(self.num_tokens, self.batch_size, self.batch_tokens, self.seed, epoch)


@lru_cache(maxsize=4)
def _batches(
    num_tokens: tuple[int, ...], batch_size: int, batch_tokens: int | None, seed: int, epoch: int
) -> list[list[int]]:
    order = np.random.default_rng([seed, epoch, 0x6F72]).permutation(len(num_tokens)).tolist()
    if batch_tokens is None:
        return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    batches: list[list[int]] = [[]]
    filled = 0
    for row in order:
        if filled >= batch_tokens:
            batches.append([])
            filled = 0
        batches[-1].append(row)
        filled += num_tokens[row]
    return batches


def plan_batches(num_tokens: np.ndarray, section: TrainSection) -> BatchPlan:
    """Lay out the steps of a run over rows of these sizes."""
    sizes = tuple(num_tokens.tolist())
    plan = BatchPlan(sizes, section.batch_size, section.batch_tokens, section.seed, 0)
    whole, part = int(section.epochs), section.epochs - int(section.epochs)
    total = sum(len(plan._epoch(epoch)) for epoch in range(whole))
    total += math.ceil(part * len(plan._epoch(whole))) if part else 0
    if section.max_steps is not None:
        total = min(total, section.max_steps)
    return BatchPlan(sizes, section.batch_size, section.batch_tokens, section.seed, max(total, 1))


def share(rows: list[int], rank: int, world_size: int) -> list[int]:
    """A worker's rows of a batch: every `world_size`-th. May be empty."""
    return rows[rank::world_size]


def micro_batches(rows: list[int], num_tokens: tuple[int, ...] | np.ndarray, limit: int) -> list[list[int]]:
    """Consecutive rows that go through the model together: at most `limit` tokens, or one row that is longer."""
    groups: list[list[int]] = []
    filled = 0
    for row in rows:
        size = int(num_tokens[row])
        if groups and filled + size <= limit:
            groups[-1].append(row)
            filled += size
        else:
            groups.append([row])
            filled = size
    return groups
