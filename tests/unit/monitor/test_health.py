"""Rates, times and cost of a window, against numbers counted by hand."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from tunesmith.experiment.book import Book
from tunesmith.experiment.experiment import Variant
from tunesmith.monitor.health import Health, Share, measure_health
from tunesmith.monitor.traffic.rows import TrafficRow
from tunesmith.monitor.traffic.write import write_traffic
from tunesmith.store.database import Database
from tunesmith.store.home import Home
from tunesmith.store.tables import requests

NOW = datetime(2026, 11, 27, 6, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home", f"sqlite:///{tmp_path}/home/registry.db", str(tmp_path / "artifacts"))


class Past:
    """Requests that were, in the table and in the log."""

    def __init__(self, home: Home) -> None:
        self.home, self.database, self.number = home, Database.open(home.database_url), 0

    def add(self, version: str = "tiny@1", status: int = 200, seconds: float = 1.0, role: str = "live",
            experiment: str | None = None, at: datetime = NOW, **logged: Any) -> None:  # fmt: skip
        self.number += 1
        common = {"id": f"{self.number:032x}", "at": at, "version": version, "status": status, "seconds": seconds,
                  "role": role, "model": "tiny", "tenant": "shop", "experiment": experiment}  # fmt: skip
        with self.database.writing("requests") as connection:
            connection.execute(insert(requests).values(**common, pieces=1))
        if logged:
            write_traffic(self.home, [TrafficRow(**{**common, "name": "tiny", "messages": "[]", **logged})])

    def health(self, **asked: Any) -> Health:
        return measure_health(self.home, self.database, "tiny", NOW - HOUR, NOW + HOUR, **asked)


def test_rates_are_those_counted_by_hand(home: Home) -> None:
    past = Past(home)
    for number in range(20):
        past.add(
            seconds=float(number + 1), answer="x", empty=number < 2, truncated=number < 5, refused=number < 1,
            repeated=None if number < 10 else number < 14, stream=True, first_seconds=0.1 * (number + 1),
        )  # fmt: skip
    past.add(status=502, seconds=99.0)
    past.add(status=504)
    past.add(status=499)
    past.add(status=400)
    past.add("tiny@2", answer="x", invalid=True, stream=False, first_seconds=50.0)
    past.add(at=NOW - 2 * HOUR, status=500)
    past.add(role="shadow", status=500)
    past.add("tinyish@1", status=500)
    found = past.health()
    assert found.all.requests == 25
    assert found.all.errors == Share(2, 25) and found.all.left == Share(1, 25)
    assert found.all.empty == Share(2, 20) and found.all.truncated == Share(5, 20)
    assert found.all.refused == Share(1, 20) and found.all.repeated == Share(4, 10) and found.all.invalid == Share(1, 1)
    one = found.versions["tiny@1"]
    assert (one.seconds_p50, one.seconds_p95) == (10.5, pytest.approx(19.05))
    # Only streamed answers have a first token.
    assert (found.all.first_p50, found.versions["tiny@2"].first_p50) == (pytest.approx(1.05), None)
    assert set(found.versions) == {"tiny@1", "tiny@2"} and found.versions["tiny@2"].errors == Share(0, 1)
    assert json.loads(json.dumps(found.to_json()))["all"]["empty"] == {"part": 2, "of": 20, "value": 0.1}


def test_nothing_is_nothing_and_not_zero(home: Home) -> None:
    found = Past(home).health(usd_per_hour=3.0)
    assert found.all.requests == 0 and found.all.errors.value is None and found.all.seconds_p95 is None
    assert found.versions == {} and found.cost.usd_per_thousand is None and "nothing was answered" in found.cost.why


def test_prompts_of_an_experiment_count_and_those_of_another_name_do_not(home: Home) -> None:
    past = Past(home)
    book = Book(past.database)
    variants = {"control": Variant(version="tiny@1"), "other": Variant(messages=({"role": "system", "content": "B."},))}
    own = book.start("tiny", variants, "ab", "ann", "a test").id
    for experiment in (own, "tiny.x.1", None):
        past.add("smol", experiment=experiment)
    assert past.health().all.requests == 1


def test_a_thousand_requests_cost_their_share_of_the_hours(home: Home) -> None:
    past = Past(home)
    for version in ("tiny@1", "tiny@1", "tiny@2", "other@1"):
        past.add(version)
    past.add(role="shadow")
    past.add(status=503)
    # Two hours at 3 dollars, for four answers.
    assert past.health(usd_per_hour=3.0).cost.usd_per_thousand == Decimal(1500)
    without = past.health().cost
    assert without.usd_per_thousand is None and "serve.usd_per_hour" in without.why


def test_shadows_can_be_asked_for(home: Home) -> None:
    past = Past(home)
    past.add(role="shadow", version="tiny@2", answer="x", refused=True)
    assert past.health(roles=("shadow",)).versions["tiny@2"].refused == Share(1, 1)
    assert past.health().all.requests == 0
