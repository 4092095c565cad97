"""All that triggers look at: the live version, the last retrain, alarms since, and what there is to learn from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from tunesmith.monitor.retrain.journal import Journal, Retrain

if TYPE_CHECKING:
    from tunesmith.monitor.findings import Finding
    from tunesmith.registry.version import Version

DRIFT_ALARM = "drift.alarm"
QUALITY = "quality."
GOLDEN = "quality.golden"


@dataclass(frozen=True)
class Situation:
    """What is known of a name at a moment.

    `began` is when the live version, or the last attempt at a new one, was begun: alarms before it have been answered.
    `last_end` is when the last retrain ended; `examples` counts what there is to learn from since `began`.
    """

    name: str
    now: datetime
    champion: str
    began: datetime
    last_end: datetime | None
    in_flight: Retrain | None
    findings: tuple[Finding, ...]
    examples: Callable[[], int]

    def alarms(self, rule: str) -> list[Finding]:
        """Findings that fired since it began, of one rule, or of all whose names begin so where it ends with a dot."""
        return [one for one in self.findings if one.fired and _is(one.rule, rule)]

    def last(self, rule: str) -> Finding | None:
        """The newest finding of a rule since it began, fired or not."""
        return next((one for one in reversed(self.findings) if one.rule == rule), None)


def situation(
    journal: Journal,
    champion: Version,
    findings_since: Callable[[datetime], Iterable[Finding]],
    count: Callable[[datetime], int],
    now: datetime,
) -> Situation:
    """Gather it. `findings_since` reads what monitoring wrote down after a moment, `count` the examples there are since
    one."""
    before = journal.every(champion.name)
    ended = [one for one in before if not one.running]
    began = max([champion.created_at, *(one.started_at for one in before)])
    return Situation(
        name=champion.name,
        now=now,
        champion=champion.reference,
        began=began,
        last_end=max((one.changed_at for one in ended), default=None),
        in_flight=next((one for one in before if one.running), None),
        findings=tuple(findings_since(began)),
        examples=lambda: count(began),
    )


def learned_until(before: Iterable[Retrain], champion: Version) -> datetime:
    """Until when the live version has seen what was said: when the retrain that made it gathered its examples."""
    made = (one for one in before if one.state.get("version") == champion.reference)
    return next((one.started_at for one in made), champion.created_at)


def _is(rule: str, wanted: str) -> bool:
    return rule.startswith(wanted) if wanted.endswith(".") else rule == wanted
