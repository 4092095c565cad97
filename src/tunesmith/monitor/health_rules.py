"""Whether an endpoint does worse than in the first days of a version: rates of failures and of answers, times, cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

from tunesmith.monitor.findings import Finding, Findings
from tunesmith.monitor.health import Health, Rates, Share, measure_health
from tunesmith.monitor.quality.streams import versions_of
from tunesmith.store.database import Database
from tunesmith.store.home import Home

LEAST = 50
"""Requests that a window takes; until there are so many it goes on."""

REFERENCE = 200
"""Of each rate, what the version's first windows are put together to, before later ones are compared with them."""

MORE, CHANCE = 0.02, 1e-4
"""How much a share must rise, and how unlikely that must be by chance: there are many rates, and a window an hour."""

SLOWER = 2.0
"""Times the first windows' time, from which answers count as slow."""

FIRST_LOOK = timedelta(days=1)
TIMES = ("seconds_p95", "first_p95")


def watch_health(
    home: Home, database: Database, findings: Findings, name: str, now: datetime, usd_per_hour: float | None = None
) -> list[Finding]:
    """The verdicts on every version that has answered enough requests since the last time; nothing is written down."""
    found = []
    for version in versions_of(database, name, now - FIRST_LOOK):
        last = {rule: findings.last(name, f"health.{rule}", version) for rule in (*_shares(), *TIMES, "cost")}
        since = max((_until(one) for one in last.values() if one is not None), default=now - FIRST_LOOK)
        health = measure_health(home, database, name, since, now, usd_per_hour)
        rates = health.versions.get(version)
        if rates is None or rates.requests < LEAST:
            continue
        window = {"since": since.isoformat(), "until": now.isoformat(), "requests": rates.requests}
        for rule, fired, reason, evidence in _verdicts(health, rates, last):
            found.append(Finding(name, now, f"health.{rule}", "health", fired, reason, window | evidence, version))
    return found


def _verdicts(
    health: Health, rates: Rates, last: Mapping[str, Finding | None]
) -> list[tuple[str, bool, str, dict[str, Any]]]:
    found = []
    for rule in _shares():
        share = getattr(rates, rule)
        if share.of:
            found.append((rule, *_judge_share(rule, share, _reference(last[rule]))))
    for rule in TIMES:
        seconds = getattr(rates, rule)
        if seconds is not None:
            found.append((rule, *_judge_time(rule, seconds, rates.requests, _reference(last[rule]))))
    cost = health.cost.usd_per_thousand
    if cost is not None:
        evidence = {"usd_per_thousand": float(cost)}
        found.append(("cost", False, f"${cost:.4f} for a thousand requests ({health.cost.why})", evidence))
    return found


def _judge_share(rule: str, share: Share, reference: Mapping[str, Any]) -> tuple[bool, str, dict[str, Any]]:
    from scipy.stats import fisher_exact

    part, of = int(reference.get("part", 0)), int(reference.get("of", 0))
    evidence: dict[str, Any] = {"part": share.part, "of": share.of, "value": share.value}
    if of < REFERENCE:
        evidence["reference"] = {"part": part + share.part, "of": of + share.of}
        return False, f"{rule}: {share.part} of {share.of}; later windows are compared with the first ones", evidence
    evidence["reference"] = {"part": part, "of": of, "value": part / of}
    table = [[share.part, share.of - share.part], [part, of - part]]
    p = float(fisher_exact(table, alternative="greater").pvalue)
    rise = share.part / share.of - part / of
    fired = rise >= MORE and p < CHANCE
    seen = f"{rule}: {share.part / share.of:.1%} of {share.of:,}, {part / of:.1%} in the first days"
    return fired, f"{seen} (p {p:.2g})", evidence | {"p": p, "rise": rise}


def _judge_time(
    rule: str, seconds: float, requests: int, reference: Mapping[str, Any]
) -> tuple[bool, str, dict[str, Any]]:
    before, of = float(reference.get("value", 0.0)), int(reference.get("of", 0))
    evidence: dict[str, Any] = {"value": seconds, "of": requests}
    if of < REFERENCE:
        mean = (before * of + seconds * requests) / (of + requests)
        evidence["reference"] = {"value": mean, "of": of + requests}
        return False, f"{rule}: {seconds:.3g} s; later windows are compared with the first ones", evidence
    evidence["reference"] = {"value": before, "of": of}
    return seconds > SLOWER * before, f"{rule}: {seconds:.3g} s, {before:.3g} s in the first days", evidence


def _shares() -> list[str]:
    return [field.name for field in fields(Rates) if str(field.type) == "Share"]


def _reference(last: Finding | None) -> Mapping[str, Any]:
    return {} if last is None else last.evidence.get("reference", {})


def _until(finding: Finding) -> datetime:
    return datetime.fromisoformat(str(finding.evidence["until"]))
