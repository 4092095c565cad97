"""What all schedulers share: every trial's loss against its dollars."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

Decision = Literal["continue", "stop"]

Outlook = Callable[[str, float], float]
"""What a trial's loss is expected to be at its end, from its name and the loss it was seen with."""


@dataclass
class Curve:
    """What a trial had reached for how many dollars: the best loss so far, since that checkpoint is kept.

    `whole` says that the training came to its end: more dollars would have changed nothing.
    """

    usd: list[float] = field(default_factory=list)
    best: list[float] = field(default_factory=list)
    whole: bool = False

    def add(self, usd: float, loss: float) -> None:
        """Take a report; one that was taken before, as after a resume, changes nothing."""
        if not self.usd or usd > self.usd[-1]:
            self.usd.append(usd)
            self.best.append(min([loss, *self.best[-1:]]))

    def at(self, usd: float) -> float | None:
        """The loss had for so many dollars, on a straight line between two reports; None if it never spent as much."""
        after = bisect_left(self.usd, usd)
        if after == len(self.usd):
            return self.best[-1] if self.whole and self.best else None
        if after == 0:
            return self.best[0]
        share = (usd - self.usd[after - 1]) / (self.usd[after] - self.usd[after - 1])
        return self.best[after - 1] + share * (self.best[after] - self.best[after - 1])


class Scheduler(ABC):
    """Decides after each report whether a trial is worth its next dollars.

    `full_usd` is what the dearest trial costs when trained to its end. It may be corrected at any time (`rebase`): what
    trials had reached at other amounts is known from their curves.
    """

    rests = False
    """Whether a stopped trial may be called again."""

    def __init__(self, full_usd: Decimal) -> None:
        self.full_usd = float(full_usd)
        self.curves: dict[str, Curve] = {}

    def decide(self, trial_id: str, usd_spent: Decimal, loss: float) -> Decision:
        """Take a report of a trial (all its dollars so far, its validation loss), and say whether it goes on."""
        if not math.isfinite(loss):
            return "stop"
        curve = self.curves.setdefault(trial_id, Curve())
        before = curve.usd[-1] if curve.usd else 0.0
        curve.add(float(usd_spent), loss)
        return self._decide(trial_id, before, float(usd_spent))

    def ended(self, trial_id: str) -> None:
        """Say that a trial was trained to its end: from now on it stands for all higher amounts as well."""
        if trial_id in self.curves:
            self.curves[trial_id].whole = True

    def rebase(self, full_usd: Decimal) -> None:
        """Correct what the dearest trial costs."""
        self.full_usd = float(full_usd)

    def next_stop(self, trial_id: str) -> float:
        """US dollars of a trial at which it may be stopped for a long time; infinity where there is no such amount."""
        return math.inf

    def resumable(self, resting: Iterable[str]) -> list[str]:
        """Which of the trials that were stopped should go on after all, the first of them first."""
        return []

    @abstractmethod
    def _decide(self, trial_id: str, before: float, usd: float) -> Decision: ...
