"""Which packed rows make up each optimizer step: a function of the seed alone, never of the number of workers."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence

import numpy as np

from tunesmith.errors import TrainError
from tunesmith.recipe.train import TrainSection


class BatchPlan:
    """The order of the data over a whole run.

    `num_tokens` (rows,) has the size of each row in tokens. Every epoch goes through the rows in an order of its own; a
    global batch is `batch_size` rows, or as many as reach `batch_tokens`. The last batch of an epoch may be smaller.
    """

    def __init__(
        self, num_tokens: np.ndarray, batch_size: int, batch_tokens: int | None, seed: int, total_steps: int = 0
    ) -> None:
        self.num_tokens = np.asarray(num_tokens, np.int64)
        self.batch_size, self.batch_tokens, self.seed = batch_size, batch_tokens, seed
        self.total_steps = total_steps
        self._first_steps = [0]  # of each epoch, and of the one behind the last known
        self._laid_out: tuple[int, list[np.ndarray]] = (-1, [])

    def rows(self, step: int) -> list[int]:
        """The rows of a step, counted from 0."""
        while step >= self._first_steps[-1]:
            self.num_steps(len(self._first_steps) - 1)
        epoch = bisect_right(self._first_steps, step) - 1
        rows: list[int] = self._batches(epoch)[step - self._first_steps[epoch]].tolist()
        return rows

    def num_steps(self, epoch: int) -> int:
        """Optimizer steps of an epoch, counted from 0."""
        while len(self._first_steps) <= epoch + 1:
            next_epoch = len(self._first_steps) - 1
            # With a number of rows every epoch has as many steps; with a number of tokens that depends on the order.
            num = len(self._batches(next_epoch)) if self.batch_tokens else -(-len(self.num_tokens) // self.batch_size)
            self._first_steps.append(self._first_steps[-1] + num)
        return self._first_steps[epoch + 1] - self._first_steps[epoch]

    def _batches(self, epoch: int) -> list[np.ndarray]:
        """The epoch's rows in its order, cut into batches; the last epoch asked for is kept."""
        if self._laid_out[0] != epoch:
            order = np.random.default_rng([self.seed, epoch, 0x6F72]).permutation(len(self.num_tokens))
            self._laid_out = (epoch, np.split(order, self._cuts(order)))
        return self._laid_out[1]

    def _cuts(self, order: np.ndarray) -> list[int]:
        """Where in the order a new batch begins, except the first."""
        if self.batch_tokens is None:
            return list(range(self.batch_size, len(order), self.batch_size))
        filled = np.cumsum(self.num_tokens[order])
        cuts: list[int] = []
        before = 0
        while (cut := int(np.searchsorted(filled, before + self.batch_tokens)) + 1) < len(order):
            cuts.append(cut)
            before = int(filled[cut - 1])
        return cuts


def plan_batches(num_tokens: np.ndarray, section: TrainSection) -> BatchPlan:
    """Lay out the steps of a run over rows of these sizes. Raises TrainError when there are no rows."""
    if not len(num_tokens):
        raise TrainError(
            "the training part of the dataset has no rows",
            where="data.train",
            fix="add rows, or leave more of them to training in data.split",
        )
    plan = BatchPlan(num_tokens, section.batch_size, section.batch_tokens, section.seed)
    limit = math.inf if section.max_steps is None else section.max_steps
    total, epoch, left = 0, 0, float(section.epochs)
    while left > 0 and total < limit:
        # Rounded, because 1.1 epochs leave 0.10000000000000009 of one.
        total += math.ceil(round(min(left, 1.0) * plan.num_steps(epoch), 6))
        epoch, left = epoch + 1, round(left - 1.0, 9)
    plan.total_steps = max(1, int(min(total, limit)))
    return plan


def share(rows: list[int], rank: int, world_size: int) -> list[int]:
    """A worker's rows of a batch: every `world_size`-th. May be empty."""
    return rows[rank::world_size]


def even_micro_batches(
    rows: list[int], num_tokens: Sequence[int] | np.ndarray, limit: int, rank: int, world_size: int, lockstep: bool
) -> list[tuple[list[int], bool]]:
    """A worker's micro-batches of a batch, each with whether it counts.

    Every worker has at least one, and in `lockstep` all have as many: what is missing is filled up with a row that
    counts for nothing.
    """
    mine = [(group, True) for group in micro_batches(share(rows, rank, world_size), num_tokens, limit)]
    wanted = 1
    if lockstep:
        wanted = max(len(micro_batches(share(rows, one, world_size), num_tokens, limit)) for one in range(world_size))
    return mine + [(rows[:1], False)] * (wanted - len(mine))


def micro_batches(rows: list[int], num_tokens: Sequence[int] | np.ndarray, limit: int) -> list[list[int]]:
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
