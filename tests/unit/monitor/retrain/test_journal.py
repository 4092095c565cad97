"""The journal: one in flight, guarded writes, one driver at a time, and a dead one's place is taken."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, update
from sqlalchemy.exc import IntegrityError

from tunesmith.errors import StoreError
from tunesmith.monitor.retrain.driver import Driver
from tunesmith.monitor.retrain.journal import LEASE, Journal, Step, Taken
from tunesmith.store.database import Database
from tunesmith.store.tables import retrain_steps

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
STATE = {"next": "collect", "champion": "story@1"}


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database.open(f"sqlite:///{tmp_path}/registry.db")


def step(name: str, verdict: str = "done") -> Step:
    return Step(name, NOW, verdict, f"{name} was done", {"rows": 3})


def journal(database: Database, host: str = "a", now: datetime = NOW) -> Journal:
    return Journal(database, lambda: now, Driver(host, 1, host))


def test_a_name_has_one_in_flight_and_each_has_a_number(database: Database) -> None:
    mine = journal(database)
    first = mine.begin("story", STATE, step("decision", "start"))
    with pytest.raises(Taken, match="story retrain 1 is in flight already"):
        journal(database, "b").begin("story", STATE, step("decision", "start"))
    assert mine.begin("poem", STATE, step("decision", "start")).number == 1
    ended = mine.record(first, [step("finish")], {"end": "stopped", "next": "finish"})
    assert not ended.running and mine.in_flight("story") is None
    assert mine.begin("story", STATE, step("decision", "start")).number == 2
    assert [one.step for one in mine.steps("story", 1)] == ["decision", "finish"]


def test_what_a_step_came_to_and_where_it_leads_are_one_write(database: Database) -> None:
    mine = journal(database)
    first = mine.begin("story", STATE, step("decision", "start"))
    second = mine.record(first, [step("collect")], {"next": "label", "rows": 3})
    assert (second.next, second.state["rows"], second.state["champion"]) == ("label", 3, "story@1")
    with pytest.raises(Taken, match="another driver has gone on"):
        mine.record(first, [step("collect")], {"next": "label"})  # its own view is old: nothing is written twice
    assert [one.step for one in mine.steps("story", 1)] == ["decision", "collect"]


def test_a_driver_that_lives_keeps_others_out_and_a_silent_one_is_replaced(database: Database) -> None:
    mine, late = journal(database), journal(database, "b", NOW + LEASE + timedelta(seconds=1))
    first = mine.begin("story", STATE, step("decision", "start"))
    with pytest.raises(Taken, match="driven by process 1 on a"):
        journal(database, "b").claim(first)
    taken = late.claim(first)
    with pytest.raises(Taken):
        mine.record(first, [step("collect")], {"next": "label"})
    assert not mine.beat(first) and late.beat(taken)
    assert late.record(taken, [step("collect")], {"next": "label"}).next == "label"


def test_a_released_one_is_free_at_once(database: Database) -> None:
    mine = journal(database)
    first = mine.begin("story", STATE, step("decision", "start"))
    mine.release(first)
    assert journal(database, "b").claim(first).number == 1


def test_a_process_of_this_machine_that_has_ended_is_known_to_be_dead() -> None:
    here = Driver("a", 10, "x", "boot.7")
    assert here.knows_dead("a/boot.7/4194304/y")  # above the largest process id of Linux
    assert here.knows_dead("a/boot.7/10/y")  # the number is this process's own now
    assert not here.knows_dead("a/boot.7/1/y") and not here.knows_dead("a/boot.7/10/x")
    assert not here.knows_dead("b/boot.7/4194304/y")


def test_a_container_of_the_same_name_is_another_machine() -> None:
    """Its processes have numbers of their own: one that is not here, or is this one's, may live there."""
    here = Driver("a", 10, "x", "boot.7")
    for elsewhere in ("boot.8", "other.7", ""):
        assert not here.knows_dead(f"a/{elsewhere}/4194304/y") and not here.knows_dead(f"a/{elsewhere}/10/y")
    assert not here.knows_dead("a/4194304/y")  # as it was written down before
    mine = Driver.here()
    assert mine.numbers and Driver.here().numbers == mine.numbers and mine.knows_dead(mine.token[:-12] + "y" * 12)
    assert Driver.shown(mine.token) == f"process {mine.process} on {mine.host}"


def test_word_left_to_stop_does_not_cost_the_driver_its_write(database: Database) -> None:
    mine = journal(database)
    first = mine.begin("story", STATE, step("decision", "start"))
    journal(database, "b").ask_to_stop(first, "ann", "a mistake")
    written = mine.record(first, [step("collect")], {"next": "label"})
    assert written.state["stop"] == {"who": "ann", "why": "a mistake"} and written.next == "label"


def test_decisions_that_start_nothing_are_kept_too(database: Database) -> None:
    mine = journal(database)
    mine.decided("story", step("decision", "stay"))
    assert [one.verdict for one in mine.steps("story")] == ["stay"] and mine.every() == []


@pytest.mark.parametrize("change", [update(retrain_steps).values(reason="nicer"), delete(retrain_steps)])
def test_the_trail_cannot_be_changed(database: Database, change: Any) -> None:
    journal(database).decided("story", step("decision", "stay"))
    with (
        pytest.raises((StoreError, IntegrityError), match="cannot be changed or deleted"),
        database.writing("test") as connection,
    ):
        connection.execute(change)


def test_asking_for_what_is_not_there_says_so(database: Database) -> None:
    with pytest.raises(StoreError, match="was never retrained"):
        journal(database).find("story")
    with pytest.raises(StoreError, match="there is no retrain 7 of 'story'"):
        journal(database).find("story", 7)


def test_evidence_is_kept_as_every_database_takes_it(database: Database) -> None:
    journal(database).decided("a", Step("decide", NOW, "stay", "no", {"p": float("nan"), "most": [float("inf"), 1.5]}))
    (kept,) = journal(database).steps("a")
    assert kept.evidence == {"p": None, "most": [None, 1.5]}
