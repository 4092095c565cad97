"""Findings and streams on a real PostgreSQL: the same tests as on SQLite."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.postgres import postgres_server, postgres_url  # noqa: F401
from tests.unit.monitor import test_findings, test_quality
from tunesmith.store.database import Database


@pytest.fixture
def database(postgres_url: str) -> Database:  # noqa: F811
    return Database.open(postgres_url)


@pytest.mark.parametrize(
    "test",
    [
        test_findings.test_findings_are_read_back_as_they_were_written,
        test_findings.test_the_latest_of_each_rule,
        test_findings.test_evidence_and_reasons_of_any_kind_can_be_written,
        test_findings.test_what_was_found_cannot_be_changed,
        test_findings.test_all_or_none,
        test_findings.test_who_looked_at_the_same_time_writes_nothing_twice,
        test_quality.test_an_alarm_fires_once_and_says_since_when,
        test_quality.test_only_what_users_saw_counts_and_each_version_by_itself,
    ],
)
def test_in_postgresql(database: Database, test: Any) -> None:
    test(database)
