"""Forward and backward passes of a batch's rows, in micro-batches, on one worker of several."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch

from tunesmith.data.dataset import PackedRows
from tunesmith.errors import TrainError
from tunesmith.models.head_loss import HeadLoss
from tunesmith.recipe.train import TrainSection
from tunesmith.train import refuse
from tunesmith.train.batches import even_micro_batches
from tunesmith.train.chance import draws, seed_draws
from tunesmith.train.forward import MicroBatch, loss_sum
from tunesmith.train.heartbeat import Heartbeat
from tunesmith.train.host_copies import HostCopies
from tunesmith.train.strategies import Strategy


class Passes:
    """What this worker computes. `adapted` is the model before a strategy wrapped it; `dtype` is computed in."""

    def __init__(
        self, strategy: Strategy, adapted: Any, section: TrainSection, dtype: torch.dtype, beat: Heartbeat
    ) -> None:
        self.strategy, self.adapted, self.section, self.dtype, self.beat = strategy, adapted, section, dtype, beat
        base = adapted.get_base_model() if hasattr(adapted, "get_base_model") else adapted
        self.num_known_tokens = base.get_input_embeddings().num_embeddings
        self.head_loss = HeadLoss(adapted) if section.chunked_loss else None
        # A dropout mask is drawn for a row, so that it depends on neither the workers nor the size of micro-batches.
        self.limit = section.micro_batch_tokens
        self.one_by_one = draws(adapted)
        self.learnt: Callable[[int], None] = lambda limit: None

    def gradients(self, of: PackedRows, step: int, rows: list[int], weight: float) -> tuple[float, float, float]:
        """Forward and backward passes of this worker's rows; returns its share of the loss, its tokens and labels.

        Afterwards every parameter holds the gradient of the whole batch, of all workers. When memory runs out, the
        limit of a micro-batch is halved, `learnt` is told, and the rows are begun anew: no result depends on it. Raises
        TrainError when a single row is too much.
        """
        while True:
            with self._memory(of, rows):
                return self._gradients(of, step, rows, weight)

    def validation_loss(self, of: PackedRows, step: int) -> tuple[float, float]:
        """The sum over the learnt tokens of this worker's rows, in nats, and the sum of their weights."""
        while True:
            with self._memory(of, list(range(len(of)))):
                return self._validation_loss(of, step)

    @contextmanager
    def _memory(self, of: PackedRows, rows: list[int]) -> Iterator[None]:
        try:
            yield
            return
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        # Here the error is forgotten, and with it what its frames held.
        self.halve(of, rows)
        self.learnt(self.limit)
        self.strategy.drop()
        if self.strategy.device.type == "cuda":
            torch.cuda.empty_cache()

    def _gradients(self, of: PackedRows, step: int, rows: list[int], weight: float) -> tuple[float, float, float]:
        groups = self._groups(rows, of, 1 if self.one_by_one else self.limit)
        self.strategy.model.train()
        losses, tokens, labels = [], 0, 0
        for number, (group, counts) in enumerate(groups, 1):
            self.beat.doing(f"micro-batch {number} of {len(groups)}", step + 1)
            seed_draws(self.section.seed, step, group[0])  # for dropout, where there is any
            batch = self._batch(of, group)
            with self.strategy.computing(last=number == len(groups)):
                with HostCopies() if self.section.activation_offload else nullcontext():
                    loss = loss_sum(self.strategy.model, batch, self.head_loss) / weight * float(counts)
                self.strategy.backward(loss)
            losses.append(loss.detach())
            if counts:
                tokens += batch.num_tokens
                labels += len(batch.targets)
        return float(torch.stack(losses).double().sum()), float(tokens), float(labels)

    @torch.no_grad()
    def _validation_loss(self, of: PackedRows, step: int) -> tuple[float, float]:
        self.strategy.model.eval()
        total, weight = 0.0, 0.0
        groups = self._groups(list(range(len(of))), of, self.limit)
        for number, (group, counts) in enumerate(groups, 1):
            self.beat.doing(f"validation batch {number} of {len(groups)}", step)
            batch = self._batch(of, group)
            with self.strategy.computing():
                loss = float(loss_sum(self.adapted, batch, self.head_loss))
            total += loss * counts
            weight += batch.label_weight * counts
        return total, weight

    def halve(self, of: PackedRows, rows: list[int]) -> None:
        """Lower the limit so that the largest micro-batch of these rows is cut in two.

        Raises TrainError when that is a single row already.
        """
        groups = [group for group, _ in self._groups(rows, of, 1 if self.one_by_one else self.limit)]
        if max(map(len, groups)) == 1:
            longest = max(int(of.num_tokens[row]) for group in groups for row in group)
            raise TrainError(
                f"memory ran out with a single row of {longest} tokens",
                where="train.sequence_length",
                fix="lower it, set train.gradient_checkpointing: true, or share the model out over more workers",
            )
        largest = max(int(of.num_tokens[group].sum()) for group in groups if len(group) > 1)
        self.limit = max(1, min(self.limit, largest) // 2)

    def _groups(self, rows: list[int], of: PackedRows, limit: int) -> list[tuple[list[int], bool]]:
        one = self.strategy
        return even_micro_batches(rows, of.num_tokens, limit, one.rank, one.world_size, one.lockstep)

    def _batch(self, of: PackedRows, indices: list[int]) -> MicroBatch:
        chosen = [of[index] for index in indices]
        refuse.unknown_tokens(chosen, self.num_known_tokens)
        return MicroBatch.of(chosen, self.strategy.device, self.dtype)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a GPU, or the allocator of the CPU, had no more memory to give."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator: can't allocate memory" in str(error)
