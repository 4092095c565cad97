"""Rates of a version against those of its first days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.unit.monitor.traffic_of import answered
from tunesmith.monitor.findings import Finding, Findings
from tunesmith.monitor.health_rules import watch_health
from tunesmith.store.database import Database
from tunesmith.store.home import Home

BEGIN = datetime(2026, 11, 27, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path, f"sqlite:///{tmp_path}/registry.db", str(tmp_path / "artifacts"))


@pytest.fixture
def database(home: Home) -> Database:
    return Database.open(home.database_url)


def window(
    database: Database, home: Home, hour: int, number: int, failed: int = 0, seconds: float = 1.0
) -> dict[str, Finding]:
    """So many requests from that hour on, and a look after them, written down."""
    ids = [f"{hour}-{index}" for index in range(number)]
    statuses = [503 if index < failed else 200 for index in range(number)]
    begin = BEGIN + timedelta(hours=hour)
    answered(database, ids, begin, status=statuses, seconds=seconds)
    findings = Findings(database)
    found = watch_health(home, database, findings, "story", begin + timedelta(minutes=59), usd_per_hour=2.0)
    findings.note(found)
    return {one.rule: one for one in found}


def test_a_rate_that_rises_above_the_first_days_is_told(home: Home, database: Database) -> None:
    first = window(database, home, 0, 110, failed=1)
    assert not first["health.errors"].fired and "compared with the first" in first["health.errors"].reason
    assert window(database, home, 1, 20) == {}  # too few: the window goes on
    second = window(database, home, 2, 110, failed=1)
    assert second["health.errors"].evidence["of"] == 130
    assert second["health.errors"].evidence["reference"] == {"part": 2, "of": 240}
    calm = window(database, home, 3, 100, failed=2)
    assert not calm["health.errors"].fired and "2.0% of 100, 0.8% in the first days" in calm["health.errors"].reason
    bad = window(database, home, 4, 100, failed=20)
    assert bad["health.errors"].fired and bad["health.errors"].evidence["p"] < 1e-4
    assert bad["health.errors"].version == "story@1" and bad["health.errors"].kind == "health"
    assert bad["health.errors"].evidence["reference"] == calm["health.errors"].evidence["reference"]


def test_slow_answers_are_told_and_cost_is_written_down(home: Home, database: Database) -> None:
    window(database, home, 0, 110)
    window(database, home, 1, 110)
    calm = window(database, home, 2, 60, seconds=1.5)
    assert not calm["health.seconds_p95"].fired
    slow = window(database, home, 3, 60, seconds=2.5)
    assert slow["health.seconds_p95"].fired and "2.5 s, 1 s in the first days" in slow["health.seconds_p95"].reason
    assert slow["health.cost"].evidence["usd_per_thousand"] == pytest.approx(1000 * 2.0 / 60, rel=0.01)
