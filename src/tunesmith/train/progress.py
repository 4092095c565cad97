"""Where a run stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Progress:
    """A run after `step` optimizer steps.

    `tokens` and `label_tokens` seen, `seconds` of training over all attempts, the lowest validation loss and its step.
    For early stopping: the loss to beat, and how many evaluations in a row did not. To tell a spike: the last losses of
    training, the steps, counted from 1, whose batches were passed over, and how often the run went back because of
    them. `identity` says what run it is.
    """

    step: int = 0
    tokens: int = 0
    label_tokens: int = 0
    seconds: float = 0.0
    best_loss: float | None = None
    best_step: int | None = None
    loss_to_beat: float | None = None
    stale_evaluations: int = 0
    recent_losses: list[float] = field(default_factory=list)
    passed: list[int] = field(default_factory=list)
    rewinds: int = 0
    identity: dict[str, Any] = field(default_factory=dict)
