"""The outcome of comparing two contestants on the same rows, in a form that any machine can read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

IntervalMethod = Literal["bca", "percentile", "constant", "none"]


@dataclass(frozen=True)
class Comparison:
    """A candidate against a baseline by one metric, row by row.

    `difference` is candidate minus baseline, in the metric's units, and `low` to `high` its interval. Wins are rows
    where the candidate is better, or larger for a metric that does not judge. Where something could not be computed it
    is None and `note` says why; a note may also qualify what was.
    """

    metric: str
    title: str
    candidate: str
    baseline: str
    candidate_value: float
    baseline_value: float
    difference: float
    low: float | None
    high: float | None
    confidence: float
    method: IntervalMethod
    p_value: float | None
    wins: int
    ties: int
    losses: int
    num_rows: int
    higher_is_better: bool | None
    resamples: int
    seed: int
    note: str

    @property
    def improvement(self) -> float:
        """The difference, turned so that above zero is better; as it is for a metric that does not judge."""
        return -self.difference if self.higher_is_better is False else self.difference

    @property
    def improvement_low(self) -> float | None:
        """The lower end of the improvement's interval."""
        if self.high is None or self.low is None:
            return None
        return -self.high if self.higher_is_better is False else self.low

    @property
    def improvement_high(self) -> float | None:
        """The upper end of the improvement's interval."""
        if self.high is None or self.low is None:
            return None
        return -self.low if self.higher_is_better is False else self.high
