"""What every trigger is: a question to the situation, answered with a reason and the figures it rests on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from tunesmith.monitor.retrain.situation import Situation


@dataclass(frozen=True)
class Firing:
    """One trigger's answer: whether it asks for a retrain, the reason in a sentence, the figures as plain JSON."""

    name: str
    fired: bool
    reason: str
    evidence: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


class Trigger(ABC):
    """A rule that asks for a retrain."""

    name: ClassVar[str]

    @abstractmethod
    def decide(self, situation: Situation, settings: Any) -> Firing:
        """Look at the situation; `settings` is the trigger's section of the recipe."""

    def firing(self, fired: bool, reason: str, **evidence: Any) -> Firing:
        """Put an answer together."""
        return Firing(self.name, fired, reason, evidence)
