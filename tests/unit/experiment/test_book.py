"""Experiments that are begun, changed, judged and ended: by people and by the referee."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from tunesmith.errors import StoreError
from tunesmith.experiment.book import Book, promoted, rolled_back
from tunesmith.experiment.evidence import gather
from tunesmith.experiment.experiment import Experiment, Goal, Variant
from tunesmith.experiment.referee import referee, stand
from tunesmith.experiment.report import experiment_page
from tunesmith.experiment.timeline import timeline
from tunesmith.store.database import Database
from tunesmith.store.tables import feedback, requests

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
VARIANTS = {"control": Variant(version="story@1"), "v2": Variant(version="story@2")}


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database.open(f"sqlite:///{tmp_path}/registry.db")


def start(database: Database, stage: Any = "ab", now: datetime = NOW, **settings: Any) -> Experiment:
    return Book(database, lambda: now).start("story", VARIANTS, stage, "ann", "a test", **settings)


def traffic(
    database: Database, experiment: Experiment, variant: str, users: int, thumbs_up: int = 0, **columns: Any
) -> None:
    """Requests of so many new users, each with a thumb, of which so many are up."""
    values: dict[str, Any] = {
        "at": NOW, "tenant": "shop", "model": "story", "version": "story@1", "experiment": experiment.id,
        "epoch": experiment.epoch, "role": "live", "status": 200, "first_seconds": 0.1, "seconds": 1.0, "pieces": 5,
        "empty": False, "truncated": False, "invalid": None, **columns,
    }  # fmt: skip
    kind = f"{variant}-{experiment.epoch}-{columns.get('status', 200)}-{values['pieces']}"
    ids = [f"{kind}-{number}" for number in range(users)]
    with database.writing("test") as connection:
        connection.execute(insert(requests), [{**values, "id": one, "unit": one, "variant": variant} for one in ids])
        said = [
            {"request": one, "metric": "thumb", "tenant": "shop", "at": NOW, "value": float(number < thumbs_up)}
            for number, one in enumerate(ids)
        ]
        connection.execute(insert(feedback), said)


def nobody(*_: Any) -> None:
    raise AssertionError("nothing is promoted here")


def test_one_name_has_one_experiment_at_a_time(database: Database) -> None:
    first = start(database)
    assert (first.id, first.weights, first.running) == ("story.1", {"control": 50.0, "v2": 50.0}, True)
    with pytest.raises(StoreError, match=r"'story' takes part in story\.1 already"):
        start(database)
    book = Book(database)
    book.change("story", partial(rolled_back, reason="enough"), "ann", "rollback", "enough")
    assert start(database).id == "story.2"
    assert [one.id for one in book.running()] == ["story.2"]
    assert [one.id for one, _, _ in book.every()][-1] in ("story.1", "story.2")


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        ({"control": VARIANTS["control"]}, "has a variant 'control' and at least one more"),
        ({"a": VARIANTS["v2"], "b": VARIANTS["v2"]}, "has a variant 'control' and at least one more"),
    ],
)
def test_what_is_no_experiment(database: Database, variants: dict[str, Variant], message: str) -> None:
    with pytest.raises(StoreError, match=message):
        Book(database).start("story", variants, "ab", "ann", "why")


def test_every_change_is_written_down(database: Database) -> None:
    start(database, "canary")
    book = Book(database)
    before = book.state()
    book.change("story", lambda one: one.with_share(25), "bob", "weights", "it looks well")
    assert book.state() != before
    book.change("story", partial(promoted, variant="v2", reason="better"), "bob", "promote", "better")
    assert (
        book.change("story", partial(promoted, variant="v2", reason="again"), "eve", "promote", "again").reason
        == "better"
    )
    told = [(one["who"], one["action"], one["stage"], one["weights"]) for one in book.history("story.1")]
    assert told == [
        ("ann", "start", "canary", {"control": 99.0, "v2": 1.0}),
        ("bob", "weights", "canary", {"control": 75.0, "v2": 25.0}),
        ("bob", "promote", "ended", {"control": 0.0, "v2": 100.0}),
    ]
    with pytest.raises(StoreError, match="there is no variant 'v9'"):
        start(database).with_weights({"v9": 1.0})
    with pytest.raises(StoreError, match="there is no experiment 'nothing'"):
        book.find("nothing")


def test_a_better_variant_is_promoted_only_where_that_was_asked_for(database: Database) -> None:
    found = start(database, goals=(Goal(name="thumb"),))
    traffic(database, found, "control", 1000, 500)
    traffic(database, found, "v2", 1000, 650)
    assert stand(database, found).decisions["v2"].verdict == "promote"
    assert referee(database, found, nobody) == found
    book = Book(database)
    asked = book.change("story", lambda one: one.model_copy(update={"decides_itself": True}), "ann", "auto", "go")
    told: list[str] = []
    done = referee(database, asked, lambda one, variant, why: told.append(f"{one.id} {variant} {why[:20]}"))
    assert told == ["story.1 v2 v2: thumb +0.15 [+0."]
    assert (done.stage, done.verdict) == ("ended", "promoted v2")


def test_a_broken_variant_is_taken_out_by_itself(database: Database) -> None:
    found = start(database, "canary")
    traffic(database, found, "control", 200)
    traffic(database, found, "v2", 6, status=503)
    done = referee(database, found, nobody)
    assert (done.stage, done.verdict, done.weights) == ("ended", "rolled back", {"control": 100.0, "v2": 0.0})
    assert done.reason is not None and done.reason.startswith("v2: 6 of 6 (100.0%) requests that failed: at least ")
    assert Book(database).history("story.1")[-1]["who"] == "tunesmith"
    assert referee(database, done, nobody) == done


@pytest.mark.parametrize(
    ("columns", "what"),
    [
        ({"empty": True}, "answers without text"),
        ({"invalid": True}, "answers that their JSON schema refuses"),
        ({"truncated": True}, "answers cut off at their limit"),
        ({"first_seconds": 60.0}, "answers that began later than allowed"),
    ],
)
def test_each_guardrail(database: Database, columns: dict[str, Any], what: str) -> None:
    found = start(database)
    traffic(database, found, "control", 300, 300, invalid=False)
    traffic(database, found, "v2", 60, 60, **columns)
    done = referee(database, found, nobody)
    assert done.verdict == "rolled back" and what in str(done.reason)


def test_a_good_variant_is_left_alone(database: Database) -> None:
    found = start(database)
    traffic(database, found, "control", 300, 270)
    traffic(database, found, "v2", 300, 270)
    assert referee(database, found, nobody) == found


def test_users_that_are_lost_block_the_reading(database: Database) -> None:
    found = start(database, goals=(Goal(name="thumb"),))
    traffic(database, found, "control", 1000, 500)
    traffic(database, found, "v2", 700, 650)
    assert stand(database, found).decisions["v2"].verdict == "blocked"


def test_a_user_counts_where_he_was_first(database: Database) -> None:
    found = start(database, "canary", goals=(Goal(name="thumb"),))
    traffic(database, found, "control", 10, 5)
    moved = Book(database).change("story", lambda one: one.with_share(50), "ann", "weights", "more")
    traffic(database, moved, "v2", 5, 5)
    with database.writing("test") as connection:
        again = {
            "id": "again", "at": NOW + timedelta(hours=1), "tenant": "shop", "model": "story", "version": "story@2",
            "experiment": found.id, "epoch": 2, "variant": "v2", "unit": "control-1-200-5-0", "role": "live",
            "status": 200, "seconds": 1.0, "pieces": 1,
        }  # fmt: skip
        connection.execute(insert(requests).values(**again))
    seen = gather(database, moved)
    assert seen.users == {1: {"control": 10}, 2: {"v2": 5}}
    first, second = seen.samples["thumb"]["v2"]
    assert (first[0].users, first[1].users, second[0].users, second[1].users) == (0, 10, 5, 0)


def test_a_canary_goes_up_when_its_step_has_lasted(database: Database) -> None:
    found = start(database, "canary", step_hours=2.0)
    early = referee(database, found, nobody, lambda: NOW + timedelta(hours=1))
    assert early == found
    shares = []
    when = NOW
    for _ in range(5):
        when += timedelta(hours=2, minutes=1)
        # Two gateways at once: what the first has done the second does not do again.
        before, found = found, referee(database, found, nobody, lambda at=when: at)  # type: ignore[misc]
        referee(database, before, nobody, lambda at=when: at)  # type: ignore[misc]
        assert Book(database).find("story.1") == found
        shares.append((found.stage, found.weights["v2"]))
    assert shares == [("canary", 5.0), ("canary", 25.0), ("canary", 50.0), ("ab", 50.0), ("ab", 50.0)]


def test_shadows_are_held_to_the_rules_too(database: Database) -> None:
    found = start(database, "shadow")
    assert found.weights == {"control": 100.0, "v2": 0.0}
    traffic(database, found, "control", 100)
    traffic(database, found, "v2", 20, role="shadow", status=503)
    assert referee(database, found, nobody).verdict == "rolled back"


def test_the_page_shows_how_the_interval_went(database: Database) -> None:
    found = start(database, goals=(Goal(name="thumb"),))
    for part in range(5):
        at = NOW + timedelta(minutes=part)
        for variant, up in (("control", 50), ("v2", 70)):
            traffic(database, found, variant, 100, up, at=at, pieces=part)
    looks = timeline(database, found, "thumb", "v2", looks=10)
    assert [look.users for look in looks] == list(range(100, 1001, 100))
    assert looks[0].seen.high == float("inf")
    last = stand(database, found).decisions["v2"].readings[0]
    assert (looks[-1].seen.low, looks[-1].seen.high) == pytest.approx((last.low, last.high))
    page = experiment_page(stand(database, found), Book(database).history(found.id), {("v2", "thumb"): looks})
    assert "v2: promote" in page and "<svg" in page and "a test" in page
    assert timeline(database, found, "score", "v2") == []
