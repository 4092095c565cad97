"""How a version meets users: only a gated one, from stage to stage, to a promotion that happens once or an end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from sqlalchemy import insert

from tests.unit.monitor.retrain.clock import START, Clock
from tunesmith.experiment.book import Book
from tunesmith.experiment.experiment import Experiment, Variant
from tunesmith.monitor.retrain import drive, release
from tunesmith.monitor.retrain.journal import Journal, Step
from tunesmith.monitor.retrain.parity import PATIENCE, wait_for_parity
from tunesmith.monitor.retrain.work import Result, Waiting, Work, champion_of, pin_champion
from tunesmith.recipe.retrain import RetrainSection
from tunesmith.registry.registry import Registry
from tunesmith.registry.version import NewVersion
from tunesmith.store.database import Database
from tunesmith.store.home import Home
from tunesmith.store.tables import feedback, parity, requests

RELEASE = {"shadow_requests": 5, "steps": [10, 50], "step_hours": 1, "planned_users": 100, "max_days": 3}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def work(tmp_path: Path, clock: Clock) -> Iterator[Work]:
    """A champion, a challenger that passed its gates, and a retrain that has come to its release."""
    home = Home(tmp_path, f"sqlite:///{tmp_path}/registry.db", str(tmp_path / "artifacts"))
    registry = Registry.open(home, now=clock)
    database = Database.open(home.database_url)
    versions = [register(registry, tmp_path, number, "passed") for number in (1, 2)]
    pin_champion(registry, versions[0])
    section = RetrainSection.model_validate({"release": RELEASE})
    journal = Journal(database, clock)
    state = {"next": "release", "champion": "story@1", "version": "story@2", "section": section.model_dump(mode="json")}
    retrain = journal.begin("story", state, Step("decision", START, "start", "asked for", {}))
    made = Work(home, database, registry, journal, Console(stderr=True, quiet=True), retrain, None, clock)
    made.__dict__["own"] = type(
        "Own", (), {"recipe": type("R", (), {"evaluate": type("E", (), {"json_schema": None})})}
    )
    yield made
    registry.close()
    database.close()


def register(registry: Registry, folder: Path, number: int, verdict: Any) -> Any:
    files = folder / f"files-{number}"
    files.mkdir()
    (files / "adapter_model.safetensors").write_text(str(number))
    new = NewVersion(
        name="story", kind="adapter", base_model="base", recipe_hash=f"r{number}", recipe={}, created_by="ann",
        verdict=verdict,
    )  # fmt: skip
    return registry.register(new, files)


def come(work: Work, experiment: Experiment, variant: str, users: int, up: int = 0, role: str = "live") -> None:
    now = work.now()
    ids = [f"{variant}-{experiment.stage}-{experiment.epoch}-{role}-{number}" for number in range(users)]
    common = {"at": now, "tenant": "shop", "model": "story", "version": "story@2", "experiment": experiment.id,
              "epoch": experiment.epoch, "role": role, "status": 200, "seconds": 1.0, "first_seconds": 0.1, "pieces": 5,
              "empty": False, "truncated": False, "variant": variant}  # fmt: skip
    with work.database.writing("test") as connection:
        connection.execute(insert(requests), [{**common, "id": one, "unit": one} for one in ids])
        if role == "live":
            connection.execute(
                insert(feedback),
                [{"request": one, "metric": "thumb", "tenant": "shop", "at": now, "value": float(number < up)}
                 for number, one in enumerate(ids)],
            )  # fmt: skip


def go(work: Work) -> Result | Waiting:
    """One step of the driver, written down."""
    result = drive._step(work)
    if isinstance(result, Result):
        work.retrain = drive._recorded(work, result)
    return result


def running(work: Work) -> Experiment:
    return Book(work.database).find("story")


def test_from_the_shadow_through_canary_and_ab_to_one_promotion(work: Work, clock: Clock) -> None:
    go(work)
    assert running(work).stage == "shadow" and running(work).variants["challenger"] == Variant(version="story@2")
    come(work, running(work), "challenger", 4, role="shadow")
    waiting = go(work)
    assert isinstance(waiting, Waiting) and "4 of 5 requests in the shadow" in waiting.reason
    come(work, running(work).model_copy(update={"epoch": 9}), "challenger", 1, role="shadow")
    go(work)
    assert (running(work).stage, running(work).weights["challenger"]) == ("canary", 10)
    clock.forward(hours=1.1)
    go(work)
    assert running(work).weights["challenger"] == 50
    clock.forward(hours=1.1)
    go(work)
    assert running(work).stage == "ab" and champion_of(work.registry, "story") == "story@1"
    come(work, running(work), "control", 80, up=30)
    come(work, running(work), "challenger", 80, up=78)
    go(work)
    assert running(work).verdict == "promoted challenger" and champion_of(work.registry, "story") == "story@2"
    go(work)
    assert not work.retrain.running and work.retrain.state["end"] == "promoted"
    moves = work.registry.history("story", "champion")
    assert [move.to_number for move in moves] == [1, 2]
    names = [one.step for one in work.journal.steps("story", 1)]
    assert names == ["decision", "shadow", "canary", "ab", "promote", "finish"]


def test_users_who_like_it_less_take_it_back(work: Work) -> None:
    go(work)
    come(work, running(work), "challenger", 5, role="shadow")
    go(work)
    come(work, running(work), "control", 150, up=140)
    come(work, running(work), "challenger", 150, up=20)
    go(work)
    go(work)
    assert work.retrain.state["end"] == "kept" and champion_of(work.registry, "story") == "story@1"
    assert running(work).verdict == "rolled back"


def test_a_shadow_that_breaks_a_rule_never_meets_a_user(work: Work) -> None:
    go(work)
    experiment = running(work)
    with work.database.writing("test") as connection:
        rows = [{"id": f"s{n}", "at": START, "tenant": "shop", "model": "story", "version": "story@2", "unit": f"s{n}",
                 "experiment": experiment.id, "variant": "challenger", "epoch": 1, "role": "shadow", "status": 200,
                 "seconds": 1.0, "pieces": 0, "empty": True} for n in range(60)]  # fmt: skip
        connection.execute(insert(requests), rows)
    go(work)
    assert running(work).verdict == "rolled back" and "without text" in str(running(work).reason)
    assert all(change["stage"] in ("shadow", "ended") for change in Book(work.database).history(experiment.id))


def test_nothing_decided_within_its_days_ends_with_the_champion(work: Work, clock: Clock) -> None:
    go(work)
    clock.forward(days=3.1)
    go(work)
    go(work)
    assert work.retrain.state["end"] == "kept" and "nothing was decided within 3 days" in work.retrain.state["because"]


def test_an_experiment_that_was_begun_before_the_driver_died_is_found_and_not_begun_again(work: Work) -> None:
    release.release(work)  # begun, and what the driver knows of it is lost
    assert work.retrain.state.get("experiment") is None
    go(work)
    assert work.retrain.state["experiment"] == "story.1" and len(Book(work.database).every()) == 1


def test_an_experiment_of_somebody_else_is_waited_for(work: Work) -> None:
    variants = {"control": Variant(version="story@1"), "v3": Variant(version="story@2")}
    Book(work.database).start("story", variants, "ab", "ann", "her own")
    waiting = go(work)
    assert isinstance(waiting, Waiting) and "story.1 runs on story" in waiting.reason


def test_a_version_that_failed_its_gates_meets_nobody(work: Work, tmp_path: Path) -> None:
    register(work.registry, tmp_path, 3, "failed")
    work.retrain = work.journal.record(work.retrain, [], {"version": "story@3"})
    go(work)
    go(work)
    assert work.retrain.state["end"] == "stopped" and Book(work.database).every() == []
    assert champion_of(work.registry, "story") == "story@1"


def test_a_champion_that_somebody_moves_meanwhile_is_left_alone(work: Work, tmp_path: Path) -> None:
    go(work)
    register(work.registry, tmp_path, 3, "passed")
    work.registry.move_alias("story", "champion", 3, "ann", "hers")
    go(work)
    go(work)
    assert running(work).verdict == "rolled back" and champion_of(work.registry, "story") == "story@3"
    assert work.retrain.state["end"] == "kept"


def test_word_to_stop_rolls_the_experiment_back(work: Work) -> None:
    go(work)
    work.journal.ask_to_stop(work.retrain, "ann", "a mistake")
    ended = drive.drive(work, lambda reason: False)
    assert ended.state["end"] == "stopped" and "ann stopped it: a mistake" in ended.state["because"]
    assert running(work).verdict == "rolled back" and champion_of(work.registry, "story") == "story@1"


def test_word_to_stop_finds_an_experiment_that_was_not_written_down(work: Work) -> None:
    release.release(work)
    work.journal.ask_to_stop(work.retrain, "ann", "a mistake")
    ended = drive.drive(work, lambda reason: False)
    assert ended.state["end"] == "stopped" and running(work).verdict == "rolled back"


def test_what_nobody_waits_for_is_left_where_it_is_for_the_next_driver(work: Work) -> None:
    told: list[str] = []
    left = drive.drive(work, lambda reason: bool(told.append(reason)))
    assert left.running and told == ["story.1: 0 of 5 requests in the shadow"]
    other = Journal(work.database, work.now)
    assert other.claim(left).number == 1


def check(work: Work, version: str, passed: bool) -> None:
    with work.database.writing("test") as connection:
        row = {"version": version, "engine": "cpu", "passed": passed, "reason": "as said", "evidence": {}, "at": START}
        connection.execute(insert(parity), row)


def served(work: Work) -> None:
    check(work, "story@1", True)
    with work.database.writing("test") as connection:
        row = {"id": "x", "at": work.now(), "tenant": "shop", "model": "story", "version": "story@1", "role": "live",
               "status": 200, "seconds": 1.0, "pieces": 1}  # fmt: skip
        connection.execute(insert(requests), row)


def test_parity_is_not_asked_where_nobody_serves(work: Work) -> None:
    found = wait_for_parity(work)
    assert isinstance(found, Result) and found.verdict == "skip" and "not served" in found.reason


def test_parity_is_waited_for_where_an_endpoint_serves_and_its_word_holds(work: Work, clock: Clock) -> None:
    served(work)
    assert isinstance(wait_for_parity(work), Waiting)
    check(work, "story@2", True)
    found = wait_for_parity(work)
    assert isinstance(found, Result) and found.verdict == "pass"


def test_an_engine_that_says_something_else_stops_it(work: Work) -> None:
    served(work)
    check(work, "story@2", False)
    found = wait_for_parity(work)
    assert isinstance(found, Result) and found.verdict == "fail" and found.following == "finish"


def test_a_check_that_never_comes_stops_it(work: Work, clock: Clock) -> None:
    served(work)
    clock.forward(seconds=PATIENCE.total_seconds() + 1)
    found = wait_for_parity(work)
    assert isinstance(found, Result) and found.verdict == "fail" and "within 2 hours" in found.reason


def test_without_a_champion_alias_the_live_version_is_pinned(work: Work, tmp_path: Path) -> None:
    before = work.registry.history("story", "champion")
    pin_champion(work.registry, work.registry.resolve("story@2"))  # there is one already: nothing moves
    assert work.registry.history("story", "champion") == before
