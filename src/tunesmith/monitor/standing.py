"""How a name stands: what each rule found last, and what it fired for lately."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tunesmith.errors import StoreError
from tunesmith.monitor.findings import Finding, Findings

ALARMS = ("drift.alarm", "quality.")
"""Rules, or how their names begin, that count as alarms; others tell of one window, or of the endpoint."""


@dataclass(frozen=True)
class Standing:
    """`latest` is what each rule found last, of the version looked at last; `fired` all that fired in the last days,
    oldest first; `since` is when these days begin."""

    name: str
    version: str | None
    since: datetime
    latest: dict[str, Finding]
    fired: tuple[Finding, ...]

    @property
    def alarms(self) -> list[Finding]:
        """What of that counts as an alarm."""
        return [one for one in self.fired if is_alarm(one)]

    def last_fired(self, rule: str) -> Finding | None:
        """When a rule fired last in these days."""
        return next((one for one in reversed(self.fired) if one.rule == rule), None)

    def to_json(self) -> dict[str, Any]:
        """Plain values, without the losses of single rows."""
        return {
            "name": self.name, "version": self.version, "since": self.since.isoformat(),
            "latest": [_brief(one) for one in self.latest.values()], "fired": [_brief(one) for one in self.fired],
            "alarms": len(self.alarms),
        }  # fmt: skip


def is_alarm(finding: Finding) -> bool:
    """Whether it fired and counts."""
    return finding.fired and any(
        finding.rule == one or (one[-1] == "." and finding.rule.startswith(one)) for one in ALARMS
    )


def stand(findings: Findings, name: str, days: float, now: datetime) -> Standing:
    """Gather it. Raises StoreError for a name that nothing was ever found about."""
    every = findings.latest(name)
    if not every:
        known = findings.names()
        raise StoreError(
            f"nothing was looked at yet for {name[:80]!a}", where=name,
            fix=f"choose from {', '.join(known[:20])}" if known else "tunesmith monitor watch RECIPE --once",
        )  # fmt: skip
    newest = max((one for one in every.values() if one.version), key=lambda one: (one.at, one.id or 0), default=None)
    version = newest.version if newest is not None else None
    latest = {rule: one for rule, one in every.items() if one.version in (version, None)}
    since = now - timedelta(days=days)
    return Standing(name, version, since, latest, tuple(findings.since(name, since, fired=True)))


def _brief(finding: Finding) -> dict[str, Any]:
    found = finding.to_json()
    return {**found, "evidence": {key: value for key, value in found["evidence"].items() if key != "losses"}}
