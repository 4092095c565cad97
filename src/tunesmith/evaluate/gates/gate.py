"""What every gate is: a check with a decision, a reason and the figures it rests on."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

from tunesmith.evaluate.answers import Contestant
from tunesmith.evaluate.comparison import Comparison
from tunesmith.recipe.evaluate import GateSection

log = logging.getLogger(__name__)


class Decision(StrEnum):
    """What a gate says. A warning lets the version through and stands in the report."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class GateVerdict:
    """One gate's decision, the reason in a sentence, and the figures behind it as plain JSON."""

    name: str
    decision: Decision
    reason: str
    evidence: dict[str, Any]

    @property
    def passed(self) -> bool:
        """Whether the version may go on."""
        return self.decision is not Decision.FAIL


@dataclass(frozen=True)
class Evidence:
    """What gates decide on: who competed, how they compare, what the recipe asks for."""

    base: Contestant
    best_prompt: Contestant
    tuned: Contestant
    comparisons: tuple[Comparison, ...]
    section: GateSection

    def comparison(self, metric: str, baseline: str) -> Comparison | None:
        """The tuned model against a baseline by one metric."""
        named = (
            c for c in self.comparisons if (c.metric, c.candidate, c.baseline) == (metric, self.tuned.name, baseline)
        )
        return next(named, None)


class Gate(ABC):
    """A check that a version must pass."""

    name: ClassVar[str]

    @abstractmethod
    def decide(self, evidence: Evidence) -> GateVerdict:
        """Look at the evidence and decide; a gate that cannot tell fails, and says why."""

    def verdict(self, decision: Decision, reason: str, evidence: Mapping[str, Any]) -> GateVerdict:
        """Put a verdict together and log it."""
        log.info("gate %s: %s, %s", self.name, decision.value, reason)
        return GateVerdict(self.name, decision, reason, dict(evidence))
