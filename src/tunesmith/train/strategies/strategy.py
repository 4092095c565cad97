"""What the training loop asks of a parallelism strategy."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch


class Strategy(ABC):
    """One worker's view of the workers' common model.

    The loop divides each loss by the weight of the whole global batch, so gradients are summed over workers, not
    averaged, and the result does not depend on their number.
    """

    def __init__(self, rank: int, world_size: int) -> None:
        self.rank = rank
        self.world_size = world_size

    @abstractmethod
    def wrap(self, model: torch.nn.Module) -> torch.nn.Module:
        """Make the model one that all workers train together; returns what the loop calls."""

    @abstractmethod
    def backward(self, loss: torch.Tensor, last: bool) -> None:
        """Add the gradients of a micro-batch; `last` of the step also sums them over the workers."""

    @abstractmethod
    def accumulating(self, last: bool) -> object:
        """A context for the forward and backward pass of a micro-batch."""

    @abstractmethod
    def clip(self, parameters: list[torch.nn.Parameter], max_norm: float) -> torch.Tensor:
        """Scale the summed gradients down to an L2 norm; returns the norm before. 0 only measures."""

    @abstractmethod
    def sum(self, values: list[float]) -> list[float]:
        """Add numbers up over the workers; every worker gets the sums."""
