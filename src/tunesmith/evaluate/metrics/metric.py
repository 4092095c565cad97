"""What every metric is: a value over rows, and the sums from which a resample of those rows gets its value."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from tunesmith.errors import EvaluationError
from tunesmith.evaluate.answers import Answer, TestRow
from tunesmith.evaluate.metric_result import MetricResult
from tunesmith.recipe.evaluate import EvaluateSection

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """A result, with `statistics` of shape [rows, k] whose sums over any choice of rows give that choice's value."""

    result: MetricResult
    statistics: Floats


class Metric(ABC):
    """One way of scoring answers against references.

    A corpus value such as BLEU is not the mean of the values of its rows, so a resample of the rows cannot be scored by
    averaging. Every metric therefore gives each row a vector of counts, and `corpus` turns sums of such vectors into
    the value. A plain mean is the case (score, 1).
    """

    name: ClassVar[str]
    title: ClassVar[str]
    unit: ClassVar[str] = "share"
    maximum: ClassVar[float | None] = 1.0
    higher_is_better: ClassVar[bool | None] = True
    smooth: ClassVar[bool] = True
    """Whether leaving one row out moves the value a little; then the interval can be corrected for bias and skew."""

    @abstractmethod
    def measure(self, rows: Sequence[TestRow], answers: Sequence[Answer], section: EvaluateSection) -> Measured:
        """Score answers, one for each row, in the same order.

        Raises EvaluationError when the rows or the settings do not allow it.
        """

    def corpus(self, sums: Floats) -> Floats:
        """Turn sums of statistics, shape [..., k], into values, shape [...]."""
        return sums[..., 0] / sums[..., 1]

    def check(self, rows: Sequence[TestRow], section: EvaluateSection) -> None:
        """Refuse, before anything is generated, rows and settings that would make the value meaningless.

        Raises EvaluationError.
        """
        return

    def measured(
        self,
        statistics: Floats,
        per_example: Sequence[float],
        *,
        signature: str,
        value: float | None = None,
        details: dict[str, Any] | None = None,
    ) -> Measured:
        """Put a result together; the value comes from the sums unless a library has computed it."""
        value = float(self.corpus(statistics.sum(axis=0))) if value is None else float(value)
        if not np.isfinite(value) or not np.isfinite(per_example).all():
            raise EvaluationError(
                f"{self.name} is not a number on these answers",
                fix="drop it from evaluate.metrics, and report this as a bug",
            )
        result = MetricResult(
            name=self.name,
            title=self.title,
            value=value,
            per_example=tuple(float(score) for score in per_example),
            unit=self.unit,
            maximum=self.maximum,
            higher_is_better=self.higher_is_better,
            signature=signature,
            details=details or {},
        )
        return Measured(result, statistics)


class MeanMetric(Metric):
    """A metric whose value is the mean of its rows' scores."""

    @abstractmethod
    def score(self, answer: str, reference: str) -> float:
        """Score one answer."""

    @abstractmethod
    def signature(self) -> str:
        """Say what is computed: library, version, settings."""

    def measure(self, rows: Sequence[TestRow], answers: Sequence[Answer], section: EvaluateSection) -> Measured:
        scores = [self.score(answer.text, row.reference) for row, answer in zip(rows, answers, strict=True)]
        return self.measured(means(scores), scores, signature=self.signature())


def means(scores: Sequence[float]) -> Floats:
    """Statistics [rows, 2] of a mean: the score, and one for its row."""
    return np.column_stack([np.asarray(scores, dtype=np.float64), np.ones(len(scores))])
