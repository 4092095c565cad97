"""A configuration and what came of it, as searchers see it."""

from __future__ import annotations

from dataclasses import dataclass, field

from tunesmith.sweep.space import Config


@dataclass
class Tried:
    """A configuration and its reports: validation loss, US dollars so far, share of the whole training so far.

    `ended` is set when no more will come, for now. A trial that broke may have no report.
    """

    config: Config
    reports: list[tuple[float, float, float]] = field(default_factory=list)
    ended: bool = False

    @property
    def loss(self) -> float | None:
        """The best of its finite losses: that checkpoint is kept."""
        return min((loss for loss, _, _ in self.reports), default=None)

    @property
    def usd(self) -> float:
        """What it has cost so far."""
        return self.reports[-1][1] if self.reports else 0.0
