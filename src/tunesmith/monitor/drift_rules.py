"""Whether what is asked of the live version is still what it was trained on: windows of the log since the last look."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from math import log10
from typing import TYPE_CHECKING, Any

from tunesmith.data.dataset import MANIFEST
from tunesmith.errors import DataError, StoreError
from tunesmith.monitor.drift.state import DriftState
from tunesmith.monitor.drift.watch import DescriptorResult, DriftWindow, watch_drift
from tunesmith.monitor.findings import Finding, Findings
from tunesmith.monitor.traffic.place import Place
from tunesmith.monitor.traffic.read import read_traffic
from tunesmith.monitor.traffic.rows import FLUSH_SECONDS
from tunesmith.recipe.monitor import DriftSection

if TYPE_CHECKING:
    from tunesmith.registry.version import Version
    from tunesmith.store.home import Home

ALARM, ALL = "drift.alarm", "drift.all"
FOLDER = "monitor"
LOGGED = ("id", "at", "status", "messages")
AT_ONCE = timedelta(hours=6)
"""Of the log so much is read at a time."""

ALL_WRITTEN = timedelta(seconds=2 * FLUSH_SECONDS)
"""What is older is in the log, of every gateway. Of what is newer a part may be, and where a look stops the next goes
on: what is written later, but is older, would never be seen."""

MOST_OF_REGION = 50
"""Requests of a window's region that are named."""


@dataclass(frozen=True)
class Asked:
    """A request of the log: its id, when its answer ended, the conversation."""

    id: str
    at: datetime
    messages: list[Any]


@dataclass(frozen=True)
class Stopped:
    """Where the last look stopped: the last request's time, the ids of that time that were seen, what is remembered of
    the last windows, when each of them began; `state` and `before` are where that is kept, and what it replaced."""

    until: datetime
    seen: frozenset[str] = frozenset()
    state: str | None = None
    before: str | None = None
    begins: list[str] = field(default_factory=list)


def watch_inputs(
    home: Home, findings: Findings, version: Version, settings: DriftSection, now: datetime, oldest: datetime
) -> list[Finding]:
    """The verdicts on every whole window of requests to the version since the last look, none older than `oldest`;
    nothing is written down but what is remembered of the last windows. What is left of a window is looked at with what
    follows.

    Raises DataError where the version's dataset is not here or too small, StoreError.
    """
    from tunesmith.data.profile import profile_of

    folder = home.datasets / str(version.dataset_version)
    if version.dataset_version is None or not (folder / MANIFEST).is_file():
        raise DataError(
            f"the dataset version {version.dataset_version or '(none)'} of {version.reference} is not here",
            where=str(home.datasets),
            fix="bring its folder here: its profile is what traffic is compared with",
        )
    last = findings.last(version.name, ALARM, version.reference)
    stopped = _stopped(last, version)
    place = Place(home, FOLDER)
    state, profile = _remembered(place, stopped), None
    found: list[Finding] = []
    pending: list[Asked] = []
    for some in _asked(home, version, stopped, oldest, now):
        pending += some
        if len(pending) < settings.window:
            continue
        profile = profile if profile is not None else profile_of(folder)
        windows, state = watch_drift(profile, [one.messages for one in pending], settings, state)
        for window in windows:
            asked = pending[window.start : window.end]
            stopped = _moved(stopped, asked, settings.windows_in_row)
            found += _findings(version, window, asked, stopped, now)
        pending = pending[windows[-1].end :] if windows else pending
    if found and state is not None:
        path = f"{version.name}/drift-{version.number}-{state.windows}.json"
        place.write(path, state.dump().encode())
        if stopped.before is not None:
            place.remove(stopped.before)
        kept = {"state": path, "before": stopped.state}
        found = [*found[:-1], _with(found[-1], kept)]
    return found


def _asked(home: Home, version: Version, stopped: Stopped, oldest: datetime, now: datetime) -> Iterator[list[Asked]]:
    """Requests that were answered, in order of time, some hours of them at a time."""
    begin, last = max(stopped.until, oldest), now - ALL_WRITTEN
    while begin <= last:
        end = min(begin + AT_ONCE, last + timedelta(microseconds=1))
        table = read_traffic(home, version.name, begin, end, version=version.reference, columns=LOGGED)
        some = []
        for row in table.to_pylist():
            if row["id"] in stopped.seen or row["status"] >= 400:
                continue
            try:
                messages = json.loads(row["messages"])
            except ValueError:
                continue
            if isinstance(messages, list) and messages and all(isinstance(one, dict) for one in messages):
                some.append(Asked(row["id"], row["at"], messages))
        yield some
        begin = end


def _findings(
    version: Version, window: DriftWindow, asked: list[Asked], stopped: Stopped, now: datetime
) -> list[Finding]:
    """Of one window: each descriptor, all together, and whether there is an alarm, which comes last."""

    def finding(rule: str, fired: bool, reason: str, evidence: dict[str, Any]) -> Finding:
        return Finding(version.name, now, rule, "drift", fired, reason, span | evidence, version.reference)

    span = {
        "window": window.number, "requests": len(asked), "since": asked[0].at.isoformat(),
        "until": asked[-1].at.isoformat(),
    }  # fmt: skip
    found = [
        finding(f"drift.{name}", one.fired, _of_descriptor(name, one), asdict(one))
        for name, one in window.results.items()
    ]
    region = [asked[place - window.start].id for place in window.region[:MOST_OF_REGION]]
    scores = window.scores[:MOST_OF_REGION]
    differ = [name for name, one in window.results.items() if one.fired]
    strength = {"statistic": -log10(max(window.p, 1e-300)), "threshold": -log10(max(window.threshold, 1e-300))}
    together = strength | {"p": window.p, "region": region, "scores": scores, "differ": differ}
    reason = f"differs by itself in {', '.join(differ)}" if differ else "as in training"
    found.append(finding(ALL, window.fired, f"window {window.number} of {len(asked)} requests: {reason}", together))
    if window.alarm:
        words = (
            f"{len(stopped.begins)} windows in a row differ in {', '.join(window.causes)}, since {_when(stopped)} UTC"
        )
    else:
        words = f"no alarm: p {window.p:.2g} of the last windows together, an alarm takes {window.threshold:.2g}"
    evidence = together | {
        "causes": window.causes, "row": {name: asdict(window.row[name]) for name in window.causes},
        "windows": len(stopped.begins), "row_since": stopped.begins[0], "begins": stopped.begins,
        "seen": sorted(one.id for one in asked if one.at == asked[-1].at),
    }  # fmt: skip
    found.append(finding(ALARM, window.alarm, words, evidence))
    return found


def _of_descriptor(name: str, one: DescriptorResult) -> str:
    verdict = "differs" if one.fired else "as in training"
    return f"{name}: {verdict}; effect {one.effect:.3g} (counts from {one.floor:.3g}), p {one.corrected:.2g}"


def _stopped(last: Finding | None, version: Version) -> Stopped:
    if last is None:
        return Stopped(version.created_at)
    kept = last.evidence
    return Stopped(
        datetime.fromisoformat(kept["until"]), frozenset(kept["seen"]), kept.get("state"), kept.get("before"),
        list(kept["begins"]),
    )  # fmt: skip


def _moved(stopped: Stopped, asked: list[Asked], windows_in_row: int) -> Stopped:
    begins = [*stopped.begins, asked[0].at.isoformat()][-windows_in_row:]
    return Stopped(stopped.until, stopped.seen, stopped.state, stopped.before, begins)


def _remembered(place: Place, stopped: Stopped) -> DriftState | None:
    """What was kept of the last windows; None, so that it begins anew, where that is gone or damaged."""
    if stopped.state is None:
        return None
    try:
        with place.open(stopped.state) as source:
            return DriftState.load(source.read().decode())
    except (FileNotFoundError, StoreError, UnicodeDecodeError):
        return None


def _with(finding: Finding, more: dict[str, Any]) -> Finding:
    return Finding(
        finding.name, finding.at, finding.rule, finding.kind, finding.fired, finding.reason,
        {**finding.evidence, **more}, finding.version,
    )  # fmt: skip


def _when(stopped: Stopped) -> str:
    return stopped.begins[0][:16].replace("T", " ")
