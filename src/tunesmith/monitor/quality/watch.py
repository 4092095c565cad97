"""One round over the streams of a name: each detector's verdict on each metric of each version that is served."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

import numpy as np

from tunesmith.monitor.findings import Finding, Findings
from tunesmith.monitor.quality.detect import DETECTORS, FIRST, SAME, Alarm
from tunesmith.monitor.quality.streams import Stream, read_streams, versions_of
from tunesmith.recipe.monitor import QualitySection
from tunesmith.store.database import Database

SERVED = timedelta(days=7)
"""A version that has answered nobody for so long is not watched; what is said of it later is still in the database."""


def watch_quality(
    database: Database, findings: Findings, name: str, settings: QualitySection, now: datetime,
    goals: Collection[str] = (),
) -> list[Finding]:  # fmt: skip
    """The verdicts on every stream that has new values; nothing is written down. `goals` are metrics that somebody has
    named; what is found of others starts no retrain.

    A stream is read from the version's first answer and every detector begins anew, so that the same numbers always
    come to the same verdict. What it fired for once it does not fire for again.
    """
    found = []
    for version in versions_of(database, name, now - SERVED):
        for stream in read_streams(database, version, settings.lower_is_better, goals):
            for detector in DETECTORS:
                rule = f"quality.{stream.metric}.{detector}"
                last = findings.last(name, rule, version)
                verdict = judge(stream, detector, settings, last)
                if verdict is not None:
                    fired, reason, evidence = verdict
                    found.append(Finding(name, now, rule, "quality", fired, reason, evidence, version))
    return found


def judge(
    stream: Stream, detector: str, settings: QualitySection, last: Finding | None
) -> tuple[bool, str, dict[str, object]] | None:
    """Whether it fired, why or why not, and the evidence; None where nothing has come since the last time."""
    known = dict(last.evidence) if last is not None else {}
    until = stream.moments[-1].isoformat()
    if (known.get("count"), known.get("until")) == (len(stream.values), until):
        return None
    values = np.asarray(stream.values)
    recent = float(values[-FIRST:].mean())
    evidence: dict[str, object] = {
        "metric": stream.metric, "detector": detector, "count": len(values), "until": until,
        "first": float(values[:FIRST].mean()), "recent": recent, "mean": float(values.mean()),
        "alarms": 0, "alarm": known.get("alarm"), "named": stream.named,
    }  # fmt: skip
    if len(values) < FIRST:
        return False, f"{stream.metric}: {len(values)} of the {FIRST} values that it takes", evidence
    alarms = DETECTORS[detector](stream.good, settings)
    evidence["alarms"] = len(alarms)
    fresh = _fresh(alarms, stream, known.get("alarm"))
    if fresh is None:
        level = f"{stream.metric} is {recent:.3g} on the last {min(FIRST, len(values))} of {len(values):,} values"
        return False, f"{level}; nothing new says that it got worse", evidence
    before = float(values[fresh.begin : fresh.since].mean()) if fresh.since > fresh.begin else float("nan")
    after = float(values[fresh.since : fresh.index + 1].mean())
    since = stream.moments[fresh.since]
    evidence |= {
        "since": since.isoformat(), "before": before, "after": after, "alarm": stream.moments[fresh.index].isoformat(),
        "values_until_alarm": fresh.index + 1 - fresh.since,
    }  # fmt: skip
    way = "fell" if stream.more_is_better else "rose"
    reason = f"{stream.metric} {way} from {before:.3g} to {after:.3g} at about {since:%Y-%m-%d %H:%M} UTC"
    return True, f"{reason}, seen after {fresh.index + 1 - fresh.since} more values", evidence


def _fresh(alarms: list[Alarm], stream: Stream, known: object) -> Alarm | None:
    """The newest alarm, if it is a later one than that which was fired for. Feedback that came late, or was taken back,
    moves an alarm by some values; that does not make it another one."""
    if not alarms:
        return None
    if known is None:
        return alarms[-1]
    moment = datetime.fromisoformat(str(known))
    fired_at = sum(one <= moment for one in stream.moments)
    return alarms[-1] if alarms[-1].index >= fired_at + max(SAME, fired_at // 20) else None
