"""The live version evaluated again on the golden set, and compared with the day of its release."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.errors import EvaluationError
from tunesmith.monitor.findings import GOLDEN, Finding, Findings
from tunesmith.monitor.golden.compare import Change, Losses, changes, loss
from tunesmith.monitor.golden.grow import add_corrections, rows_to_evaluate
from tunesmith.monitor.golden.measure import Report, measure
from tunesmith.monitor.golden.row import GoldenRow
from tunesmith.monitor.golden.shelf import Shelf
from tunesmith.recipe.monitor import MonitorSection

if TYPE_CHECKING:
    from tunesmith.registry.version import Version
    from tunesmith.store.database import Database
    from tunesmith.store.home import Home

AGAIN = timedelta(days=1)
"""Corrections are read again from so long before the newest that is kept: one may have been written late."""


def is_due(findings: Findings, version: Version, settings: MonitorSection) -> bool:
    """Whether the version was not evaluated yet, or so long ago that it is time again."""
    days = findings.days_since(version.name, GOLDEN, version.reference)
    return days is None or days >= settings.quality.golden_every_days


def evaluate_golden(
    home: Home, database: Database, findings: Findings, version: Version, settings: MonitorSection, now: datetime,
    report: Report = lambda what, done, of: None, measured: Callable[..., Losses] = measure,
) -> Finding:  # fmt: skip
    """Add what was said since, evaluate, compare; nothing is written down besides the rows.

    The first evaluation of a version is that of the day of release: every later one is compared with it. Raises
    EvaluationError when there is nothing to evaluate on, ModelError, StoreError.
    """
    shelf = Shelf(home, version.name)
    system = (version.recipe.get("data") or {}).get("system")
    newest = max((row.added for row in shelf.added() if row.kind == "correction"), default=None)
    since = None if newest is None else newest - AGAIN
    add_corrections(shelf, database, home, system, settings.traffic.redact, since)
    first = _first(findings, version)
    rows = rows_to_evaluate(shelf, version, home, settings.quality.golden_rows, always=first or ())
    if not rows:
        raise EvaluationError(
            f"there are no golden rows for {version.reference}", where=version.name,
            fix="its dataset has no test rows: label some and give them with --add, or wait for corrections",
        )  # fmt: skip
    found = measured(version, rows, home, Path.cwd(), report)
    rows = [row for row in rows if row.id in found]
    if broken := [row.id for row in rows if not isfinite(found[row.id][0])]:
        return _broken(version, rows, broken, now)
    compared = changes(rows, found, first or found, settings.quality.golden_margin)
    return Finding(
        version.name, now, GOLDEN, "quality", first is not None and any(one.worse for one in compared),
        _reason(found, first, compared, settings.quality.golden_margin), _evidence(rows, found, first, compared),
        version.reference,
    )  # fmt: skip


def _broken(version: Version, rows: list[GoldenRow], broken: list[str], now: datetime) -> Finding:
    """An alarm: a model whose loss is no number answers nothing well. It is nothing to compare with either, so no
    losses are kept."""
    reason = f"the loss is not a number on {len(broken)} of {len(rows)} rows: weights or arithmetic are damaged"
    evidence = {"rows": _kinds(rows), "changes": [], "broken": broken[:50]}
    return Finding(version.name, now, GOLDEN, "quality", True, reason, evidence, version.reference)


def _kinds(rows: list[GoldenRow]) -> dict[str, int]:
    return {kind: sum(row.kind == kind for row in rows) for kind in ("test", "labelled", "correction")}


def _first(findings: Findings, version: Version) -> dict[str, tuple[float, int]] | None:
    """Losses of the day of release, by row."""
    for one in findings.of(version.name, GOLDEN, version.reference):
        kept = one.evidence.get("losses")
        if isinstance(kept, dict):
            return {row: (float(nats), int(tokens)) for row, (nats, tokens) in kept.items() if nats is not None}
    return None


def _reason(found: Losses, first: Losses | None, compared: list[Change], margin: float) -> str:
    if first is None:
        return f"{loss(found):.3f} nats per token on {len(found)} rows: what later evaluations are compared with"
    worse = [one.in_words() for one in compared if one.worse]
    if worse:
        return f"the loss has risen by more than {margin:g}: {'; '.join(worse)}"
    return f"not worse by {margin:g}: {'; '.join(one.in_words() for one in compared if one.difference is not None)}"


def _evidence(rows: list[GoldenRow], found: Losses, first: Losses | None, compared: list[Change]) -> dict[str, Any]:
    evidence: dict[str, Any] = {
        "loss": loss(found), "loss_at_release": loss(first or found), "rows": _kinds(rows),
        "changes": [one.to_json() for one in compared] if first is not None else [],
    }  # fmt: skip
    if first is None:
        evidence["losses"] = {row: [round(nats, 5), tokens] for row, (nats, tokens) in found.items()}
    return evidence
