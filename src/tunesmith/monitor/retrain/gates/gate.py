"""What every gate on answers is: a check with a decision, a reason and figures; one that cannot tell fails."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from tunesmith.errors import EvaluationError
from tunesmith.evaluate.compare import compare
from tunesmith.evaluate.comparison import Comparison
from tunesmith.evaluate.gates import Decision, GateVerdict
from tunesmith.evaluate.metrics import METRICS
from tunesmith.monitor.retrain.contest import CHALLENGER, CHAMPION, Answers, Rivals
from tunesmith.recipe.evaluate import EvaluateSection
from tunesmith.recipe.retrain import GatesSection


@dataclass(frozen=True)
class Shown:
    """What the gates look at: who answered what, how the recipe measures, what it asks for."""

    answers: Answers
    evaluate: EvaluateSection
    gates: GatesSection


class Gate(ABC):
    """A check that a retrained version must pass."""

    name: ClassVar[str]

    @abstractmethod
    def decide(self, shown: Shown) -> GateVerdict:
        """Look and decide."""

    def verdict(self, passed: bool, reason: str, **evidence: Any) -> GateVerdict:
        """Put a verdict together."""
        return GateVerdict(self.name, Decision.PASS if passed else Decision.FAIL, reason, evidence)

    def warning(self, reason: str, **evidence: Any) -> GateVerdict:
        """A verdict that lets the version through and stands in the trail."""
        return GateVerdict(self.name, Decision.WARN, reason, evidence)


def against_champion(rivals: Rivals, section: EvaluateSection) -> Comparison | str:
    """The challenger against the champion by the metric of the recipe's gate, row by row; or why it cannot be told."""
    if rivals.champion is None or rivals.challenger is None:
        return "there are no rows to tell by"
    metric = METRICS[section.gate.metric]
    try:
        found = compare(
            metric,
            (CHALLENGER, metric.measure(rivals.rows, rivals.challenger.answers, section)),
            (CHAMPION, metric.measure(rivals.rows, rivals.champion.answers, section)),
            confidence=section.confidence,
            resamples=section.resamples,
        )
    except EvaluationError as error:
        return error.what
    if found.higher_is_better is None:
        return f"{found.title} describes answers without judging them"
    return found if found.improvement_low is not None else found.note


def figures(found: Comparison) -> dict[str, Any]:
    """What a comparison rests on, as plain JSON."""
    return {
        "metric": found.metric, "num_rows": found.num_rows, "challenger": found.candidate_value,
        "champion": found.baseline_value, "improvement": found.improvement, "low": found.improvement_low,
        "high": found.improvement_high, "confidence": found.confidence, "p_value": found.p_value,
        "wins": found.wins, "ties": found.ties, "losses": found.losses,
    }  # fmt: skip


def said(found: Comparison) -> str:
    """A comparison in words."""
    return (
        f"{found.title} {found.candidate_value:.4g}, the champion has {found.baseline_value:.4g} on the same "
        f"{found.num_rows} rows: improvement {found.improvement:+.4g}, {found.confidence:.0%} interval "
        f"{found.improvement_low:+.4g} to {found.improvement_high:+.4g}"
    )
