"""What rules found: kept as it was written, read back by time, kind and rule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from tunesmith.errors import StoreError
from tunesmith.monitor.findings import Finding, Findings
from tunesmith.store.database import Database

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database.open(f"sqlite:///{tmp_path}/registry.db")


def finding(rule: str = "drift.alarm", minutes: float = 0, fired: bool = False, **changes: Any) -> Finding:
    values = {"kind": rule.partition(".")[0], "reason": "so it is", "evidence": {"p": 0.5}, **changes}
    return Finding("story", NOW + timedelta(minutes=minutes), rule, fired=fired, **values)


def test_findings_are_read_back_as_they_were_written(database: Database) -> None:
    found = Findings(database)
    many = [
        finding(fired=True, version="story@1"),
        finding("quality.thumb.adwin", 1),
        finding("drift.alarm", 2),
        finding("health.error_rate", 3, evidence={"of": {"deep": [1, 2.5, None, "x"]}}),
    ]
    found.note(many)
    assert found.since("story", None) == many
    assert found.since("story", NOW) == many[1:]
    assert found.since("story", None, kind="drift") == [many[0], many[2]]
    assert found.since("story", None, fired=True) == many[:1]
    assert found.since("story", None, fired=False) == many[1:]
    assert found.since("other", None) == []
    assert found.of("story", "drift.alarm") == [many[0], many[2]]
    assert found.of("story", "drift.alarm", "story@1") == many[:1]
    assert found.last("story", "drift.alarm") == many[2]
    assert found.last("story", "drift.alarm", "story@1") == many[0]
    assert found.last("story", "drift.alarm", "story@2") is None
    assert found.names() == ["story"]


def test_the_latest_of_each_rule(database: Database) -> None:
    found = Findings(database, lambda: NOW + timedelta(days=2))
    found.note([finding(fired=True), finding("quality.golden", 1)])
    found.note([finding("drift.alarm", 5)])
    latest = found.latest("story")
    assert {rule: (one.fired, one.at) for rule, one in latest.items()} == {
        "drift.alarm": (False, NOW + timedelta(minutes=5)),
        "quality.golden": (False, NOW + timedelta(minutes=1)),
    }
    assert found.latest("other") == {}
    assert found.days_since("story", "quality.golden") == pytest.approx(2 - 1 / 1440)
    assert found.days_since("story", "health.cost") is None


def test_evidence_and_reasons_of_any_kind_can_be_written(database: Database) -> None:
    evidence = {
        "nan": float("nan"), "inf": float("inf"), "array": np.arange(3), "number": np.float32(0.5),
        "moment": NOW, "text": "a\0b\ud800", 7: (1, 2), "true": np.bool_(True), "set": {"x"},
    }  # fmt: skip
    found = Findings(database)
    found.note([finding(reason="\x1b[31mred\0\ud800 \u202e", evidence=evidence)])
    read = found.since("story", None)[0]
    assert read.evidence == {
        "nan": None, "inf": None, "array": [0, 1, 2], "number": 0.5, "moment": "2026-11-27T12:00:00+00:00",
        "text": "a\ufffdb?", "7": [1, 2], "true": True, "set": ["x"],
    }  # fmt: skip
    assert read.reason == "\\x1b[31mred\\x00\\ud800 \\u202e"
    assert read.to_json()["at"] == "2026-11-27T12:00:00+00:00"


def test_what_was_found_cannot_be_changed(database: Database) -> None:
    Findings(database).note([finding()])
    for statement in ("UPDATE tunesmith_findings SET fired = true", "DELETE FROM tunesmith_findings"):
        with pytest.raises((StoreError, SQLAlchemyError)), database.writing("findings") as connection:
            connection.execute(text(statement))
    assert [one.fired for one in Findings(database).since("story", None)] == [False]


def test_all_or_none(database: Database) -> None:
    with pytest.raises((StoreError, SQLAlchemyError)):
        Findings(database).note([finding(), finding("drift.all", kind="weather")])
    assert Findings(database).since("story", None) == []


def test_who_looked_at_the_same_time_writes_nothing_twice(database: Database) -> None:
    found = Findings(database)
    assert found.newest("story") == (0, None)
    found.note([finding()])
    began, at = found.newest("story")
    assert (began, at) == (1, NOW)
    assert found.note([finding("drift.all", 1), finding("drift.alarm", 1)], unless_after=began)
    assert not found.note([finding("drift.all", 2), finding("drift.alarm", 2)], unless_after=began)
    assert found.note([finding("health.cost", 2)], unless_after=began)
    assert found.note([], unless_after=began)
    assert [one.rule for one in found.since("story", NOW)] == ["drift.all", "drift.alarm", "health.cost"]
