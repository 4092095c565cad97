"""Decisions as commands make them: a dry run changes nothing, a stay is written down, a start pins the champion."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from sqlalchemy import insert

from tunesmith.errors import RegistryError, StoreError
from tunesmith.monitor.findings import Finding, Findings
from tunesmith.monitor.retrain import keep_going
from tunesmith.monitor.retrain.journal import Retrain
from tunesmith.monitor.retrain.keep_going import Keeper
from tunesmith.monitor.retrain.queue import queue
from tunesmith.monitor.retrain.work import champion_of
from tunesmith.monitor.traffic.rows import TrafficRow
from tunesmith.monitor.traffic.write import write_traffic
from tunesmith.recipe.load import load_recipe
from tunesmith.registry.registry import Registry
from tunesmith.registry.version import NewVersion
from tunesmith.review.reviews import Reviews
from tunesmith.store.database import Database
from tunesmith.store.home import Home
from tunesmith.store.tables import feedback, requests
from tunesmith.train.run import Stopped

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
RECIPE = (
    "name: story\nmodel: {source: model}\ndata: {train: rows.jsonl}\nretrain: {triggers: {volume: {examples: 3}}}\n"
)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home", f"sqlite:///{tmp_path}/registry.db", str(tmp_path / "artifacts"))
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "adapter_model.safetensors").write_text("weights")
    registry = Registry.open(home, now=lambda: NOW - timedelta(days=10))
    register(registry, tmp_path / "files", "passed")
    registry.close()
    return home


def register(registry: Registry, files: Path, verdict: Any) -> None:
    new = NewVersion(
        name="story", kind="adapter", base_model="base", recipe_hash="r", recipe={}, created_by="ann", verdict=verdict
    )
    registry.register(new, files)


@pytest.fixture
def keeper(home: Home, tmp_path: Path) -> Keeper:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return Keeper(load_recipe(tmp_path / "recipe.yaml"), home, Console(stderr=True, quiet=True), now=lambda: NOW)


def people_correct(home: Home, number: int) -> None:
    at = NOW - timedelta(days=1)
    rows = [
        TrafficRow(f"r{n}", at, "story", "story", "story@1", json.dumps([{"role": "user", "content": f"question {n}"}]),
                   answer="bad", tenant="shop")
        for n in range(number)
    ]  # fmt: skip
    write_traffic(home, rows)
    database = Database.open(home.database_url)
    common = {"tenant": "shop", "at": at}
    with database.writing("test") as connection:
        told = {"model": "story", "version": "story@1", "role": "live", "status": 200, "seconds": 1.0, "pieces": 1}
        connection.execute(insert(requests), [{"id": row.id, **told, **common} for row in rows])
        connection.execute(
            insert(feedback), [{"request": row.id, "metric": "correction", "text": "good", **common} for row in rows]
        )


def test_a_dry_run_says_what_would_happen_and_writes_nothing(keeper: Keeper, home: Home) -> None:
    people_correct(home, 3)
    ruling = keeper.ruling(write=False)
    assert ruling.start and "volume: 3 new example(s)" in ruling.reason
    assert keeper.journal.every() == [] and keeper.journal.steps("story") == []
    assert champion_of(keeper.registry, "story") is None


def test_a_decision_to_stay_is_written_down_with_its_figures(keeper: Keeper, home: Home) -> None:
    people_correct(home, 2)
    retrain, ruling = keeper.once()
    assert retrain is None and ruling is not None and not ruling.start
    (step,) = keeper.journal.steps("story")
    assert step.verdict == "stay" and step.evidence["triggers"][0]["evidence"] == {"examples": 2, "needed": 3}


def test_what_is_begun_pins_the_live_version_first(keeper: Keeper, home: Home) -> None:
    people_correct(home, 3)
    keeper.ruling()
    found = keeper.journal.in_flight("story")
    assert found is not None and found.state["champion"] == "story@1" and found.next == "collect"
    assert champion_of(keeper.registry, "story") == "story@1"
    assert datetime.fromisoformat(found.state["since"]) == NOW - timedelta(days=10)
    again = keeper.ruling()
    assert not again.start and "story retrain 1 is in flight, at collect" in again.reason


def test_without_a_version_that_passed_there_is_nothing_to_do_better_than(tmp_path: Path, keeper: Keeper) -> None:
    keeper.close()
    home = Home(tmp_path / "other", f"sqlite:///{tmp_path}/other.db", str(tmp_path / "artifacts"))
    registry = Registry.open(home)
    register(registry, tmp_path / "files", "failed")
    registry.close()
    other = Keeper(keeper.loaded, home, keeper.console, now=lambda: NOW)
    with pytest.raises(RegistryError, match="no version of 'story' has passed its gate"):
        other.ruling()


def test_a_watch_goes_on_after_what_fails_for_a_while(keeper: Keeper, home: Home, monkeypatch: Any) -> None:
    tries: list[str] = []

    def drive(*_: Any) -> None:
        tries.append("driven")
        raise StoreError("the database is away")

    monkeypatch.setattr(keep_going, "drive", drive)
    slept: list[float] = []
    keeper.sleep = slept.append
    keeper.forever("a wish", rounds=3)
    assert len(tries) == 3 and slept == [900.0, 900.0]
    assert [one.number for one in keeper.journal.every("story")] == [1]  # the wish was granted once


def test_a_watch_ends_where_its_training_was_stopped(keeper: Keeper, monkeypatch: Any) -> None:
    def drive(*_: Any) -> None:
        raise Stopped("the run was stopped before its end; its work is kept")

    monkeypatch.setattr(keep_going, "drive", drive)
    slept: list[float] = []
    keeper.sleep = slept.append
    keeper.forever("a wish")
    found = keeper.journal.in_flight("story")
    assert slept == [] and found is not None and found.running


def test_a_watch_says_what_a_retrain_has_come_to(keeper: Keeper, monkeypatch: Any) -> None:
    def drive(work: Any, wait: Any) -> Retrain:
        return replace(work.retrain, running=False, state={"end": "stopped", "because": "old-rows: worse"})

    monkeypatch.setattr(keep_going, "drive", drive)
    told = io.StringIO()
    keeper.console = Console(file=told)
    keeper.forever("a wish", rounds=1)
    assert told.getvalue().splitlines()[-1] == "story retrain 1: stopped: old-rows: worse"


def test_the_drifted_region_is_put_before_raters_once(keeper: Keeper, home: Home) -> None:
    people_correct(home, 6)
    keeper.ruling("a look")
    retrain = keeper.journal.in_flight("story")
    assert retrain is not None
    region = {"region": ["r4", "r2", "gone"]}
    found = [Finding("story", NOW, rule, "drift", fired, "far away", region, "story@1")
             for rule, fired in (("drift.all", True), ("drift.length", True), ("drift.alarm", False))]  # fmt: skip
    Findings(keeper.database).note(found)
    for _ in range(2):
        added, why = queue(home, keeper.database, "story", 5, retrain)
        assert added == 2 and why == "0 that tenants dispute, 2 from the drifted region"
    items = Reviews(keeper.database).items("story")
    by_request = {one.request: one.priority for one in items}
    assert set(by_request) == {"r4", "r2"} and by_request["r4"] > by_request["r2"]
    assert items[0].answers[0].source == "story@1"


def test_without_triggers_the_last_evaluation_on_the_golden_set_decides(keeper: Keeper, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE.partition("retrain:")[0])
    keeper.loaded = load_recipe(tmp_path / "recipe.yaml")
    findings = Findings(keeper.database)
    assert "was not evaluated again yet" in keeper.ruling(write=False).reason
    for hours, fired in ((3, True), (2, False), (1, True)):
        at = NOW - timedelta(hours=hours)
        findings.note([Finding("story", at, "quality.golden", "quality", fired, "the loss, as it is", {}, "story@1")])
        assert keeper.ruling(write=False).start is fired
