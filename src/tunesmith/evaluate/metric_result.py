"""The outcome of one metric for one contestant, in a form that any machine can read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class MetricResult:
    """One metric over all rows.

    `value` is the corpus value: for BLEU, chrF, label F1, perplexity, bits per byte and length ratio it is not the mean
    of `per_example`, which has one finite number a row, in the order of the rows. `maximum` is the best possible value
    where there is one. `higher_is_better` is None for a metric that describes without judging. `signature` says exactly
    what was computed, so that two reports can be compared. `details` are further figures, plain JSON.
    """

    name: str
    title: str
    value: float
    per_example: tuple[float, ...]
    unit: str
    maximum: float | None
    higher_is_better: bool | None
    signature: str
    details: dict[str, Any]
