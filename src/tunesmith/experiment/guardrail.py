"""Rules that take a variant out of traffic by themselves: a rate too high, or higher than the control's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from tunesmith.experiment.bernoulli import bounds

Watched = Literal["error_rate", "slow_rate", "empty_rate", "truncated_rate", "invalid_rate", "negative_rate"]

WHAT: dict[Watched, str] = {
    "error_rate": "requests that failed",
    "slow_rate": "answers that began later than allowed",
    "empty_rate": "answers without text",
    "truncated_rate": "answers cut off at their limit",
    "invalid_rate": "answers that their JSON schema refuses",
    "negative_rate": "ratings with a thumb down",
}


@dataclass(frozen=True)
class Count:
    """How often something happened of how often it could have."""

    happened: int
    of: int


@dataclass(frozen=True)
class Guardrail:
    """A rule: the rate may not be above `limit`, nor above the control's by more than `margin`; None for no such rule.

    `alpha` is the chance that it ever fires on a variant that keeps it, however often it is looked at.
    """

    watched: Watched
    limit: float | None = None
    margin: float | None = None
    alpha: float = 0.01


@dataclass(frozen=True)
class Ruling:
    """What a rule found: whether it is broken, the sentence that says so, and the numbers."""

    broken: bool
    reason: str
    evidence: dict[str, Any]


def judge(rule: Guardrail, variant: Count, control: Count | None) -> Ruling:
    """Hold a variant to a rule. Broken is what lies above by more than chance explains at any number of looks."""
    halves = (rule.limit is not None) + (rule.margin is not None and control is not None)
    alpha = rule.alpha / max(1, halves)
    low, high = bounds(variant.happened, variant.of, alpha)
    what = WHAT[rule.watched]
    seen = f"{variant.happened:,} of {variant.of:,} ({_percent(variant)}) {what}"
    evidence: dict[str, Any] = {"watched": rule.watched, "happened": variant.happened, "of": variant.of,
                                "low": low, "high": high}  # fmt: skip
    if rule.limit is not None and low > rule.limit:
        return Ruling(True, f"{seen}: at least {low:.1%}, and {rule.limit:.1%} are allowed", evidence)
    if rule.margin is not None and control is not None and control.of:
        # Both bounds must hold at once: each takes half.
        low, _ = bounds(variant.happened, variant.of, alpha / 2)
        _, most = bounds(control.happened, control.of, alpha / 2)
        evidence |= {"low": low, "control_happened": control.happened, "control_of": control.of, "control_high": most}
        if low > most + rule.margin:
            return Ruling(
                True,
                f"{seen}: at least {low:.1%}, and the control has at most {most:.1%}; "
                f"{rule.margin:.1%} more are allowed",
                evidence,
            )
    return Ruling(False, f"{seen}: within its rule", evidence)


def _percent(count: Count) -> str:
    return f"{count.happened / count.of:.1%}" if count.of else "none yet"
