"""When a retrain begins: triggers alone and together, cool-down, quiet hours, one in flight, somebody's wish."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from tunesmith.monitor.findings import Finding
from tunesmith.monitor.retrain.decide import rule
from tunesmith.monitor.retrain.journal import Retrain
from tunesmith.monitor.retrain.quiet import quiet_now
from tunesmith.monitor.retrain.situation import Situation
from tunesmith.recipe.retrain import RetrainSection

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


def found(rule_name: str, fired: bool = True, kind: Any = "drift") -> Finding:
    return Finding("story", NOW, rule_name, kind, fired, f"{rule_name} says so", {})


def around(days: float = 10, examples: int = 0, ended: float | None = None, **changes: Any) -> Situation:
    values: dict[str, Any] = {
        "name": "story", "now": NOW, "champion": "story@1", "began": NOW - timedelta(days=days), "in_flight": None,
        "last_end": None if ended is None else NOW - timedelta(days=ended), "findings": (),
        "examples": lambda: examples,
    }  # fmt: skip
    return Situation(**{**values, **changes})


def section(**values: Any) -> RetrainSection:
    return RetrainSection.model_validate(values)


@pytest.mark.parametrize(
    ("triggers", "situation", "start"),
    [
        ({"schedule": {"every_days": 30}}, around(days=29.9), False),
        ({"schedule": {"every_days": 30}}, around(days=30), True),
        ({"drift": {}}, around(findings=(found("drift.alarm"),)), True),
        ({"drift": {"alarms": 2}}, around(findings=(found("drift.alarm"),)), False),
        ({"drift": {}}, around(findings=(found("drift.alarm", fired=False), found("drift.all"))), False),
        ({"quality": {}}, around(findings=(found("quality.thumb.adwin", kind="quality"),)), True),
        ({"quality": {}}, around(findings=(found("health.errors", kind="health"),)), False),
        ({"volume": {"examples": 50}}, around(examples=49), False),
        ({"volume": {"examples": 50}}, around(examples=50), True),
        ({"when": "all", "drift": {}, "volume": {"examples": 5}}, around(examples=9), False),
        ({"when": "all", "drift": {}, "volume": {"examples": 5}},
         around(examples=9, findings=(found("drift.alarm"),)), True),
        ({"when": 2, "schedule": {"every_days": 5}, "drift": {}, "volume": {"examples": 5}}, around(examples=9), True),
        ({"when": 2, "schedule": {"every_days": 50}, "drift": {}, "volume": {"examples": 5}}, around(examples=9),
         False),
        ({}, around(), False),
        ({}, around(findings=(found("quality.golden", kind="quality"),)), True),
        ({}, around(findings=(found("quality.golden", kind="quality"), found("quality.golden", False))), False),
    ],
)  # fmt: skip
def test_triggers_begin_a_retrain_alone_and_together(triggers: Any, situation: Situation, start: bool) -> None:
    ruling = rule(section(triggers=triggers), situation)
    assert ruling.start is start
    assert ruling.reason and ruling.firings
    step = ruling.step(situation)
    assert (step.step, step.verdict) == ("decision", "start" if start else "stay")
    assert [one["name"] for one in step.evidence["triggers"]] == [one.name for one in ruling.firings]


def test_a_decision_says_what_every_trigger_saw_fired_or_not() -> None:
    ruling = rule(section(triggers={"when": "all", "drift": {}, "volume": {"examples": 5}}), around(examples=9))
    assert ruling.reason == (
        "1 of 2 triggers ask for it, and it takes 2: drift: 0 alarm(s) of drift since the last training, and it takes "
        "1; volume: 9 new example(s) to learn from, and it takes 5"
    )


EAGER: dict[str, Any] = {"triggers": {"schedule": {"every_days": 1}}}


@pytest.mark.parametrize(
    ("more", "situation", "hindrance"),
    [
        ({"cooldown_days": 7}, around(ended=6.9), "the last one ended on 2026-11-20 14:24, cool-down until"),
        ({"cooldown_days": 7}, around(ended=7.1), None),
        ({"quiet_hours": ["11:00-13:00"]}, around(), "11:00-13:00 UTC are quiet hours"),
        ({"quiet_hours": ["12:01-11:59"]}, around(), None),
        ({}, around(in_flight=Retrain("story", 3, True, 1, {"next": "train"}, NOW, NOW)),
         "story retrain 3 is in flight, at train"),
    ],
)  # fmt: skip
def test_what_stands_in_the_way_is_said(more: Any, situation: Situation, hindrance: str | None) -> None:
    ruling = rule(section(**EAGER, **more), situation)
    assert ruling.start is (hindrance is None)
    if hindrance is not None:
        assert ruling.hindrances[0].startswith(hindrance) and ruling.reason.startswith("not now: ")


def test_a_wish_takes_the_place_of_triggers_and_waiting_but_not_of_one_in_flight() -> None:
    settings = section(triggers={"drift": {}}, cooldown_days=7, quiet_hours=["00:00-23:59"])
    ruling = rule(settings, around(ended=1), wish="a new product")
    assert ruling.start and ruling.reason == "asked for: a new product"
    flying = Retrain("story", 3, True, 1, {"next": "train"}, NOW, NOW)
    assert not rule(settings, around(in_flight=flying), wish="a new product").start


@pytest.mark.parametrize(
    ("span", "clock", "quiet"),
    [
        ("08:00-18:00", "08:00", True), ("08:00-18:00", "17:59", True), ("08:00-18:00", "18:00", False),
        ("22:00-06:00", "23:30", True), ("22:00-06:00", "05:59", True), ("22:00-06:00", "06:00", False),
        ("22:00-06:00", "12:00", False), ("07:00-07:00", "03:00", True),
    ],
)  # fmt: skip
def test_quiet_hours_may_go_over_midnight(span: str, clock: str, quiet: bool) -> None:
    moment = datetime.fromisoformat(f"2026-11-27T{clock}:00+00:00")
    assert quiet_now([span], moment) == (span if quiet else None)


@pytest.mark.parametrize(
    "values",
    [
        {"quiet_hours": ["8-18"]},
        {"quiet_hours": ["08:00-24:00"]},
        {"triggers": {"when": 3, "drift": {}}},
        {"release": {"stages": ["shadow"]}},
        {"release": {"stages": ["ab", "canary"]}},
        {"release": {"steps": [5, 5]}},
        {"release": {"steps": [5, 100]}},
    ],
)
def test_settings_that_make_no_sense_are_refused(values: Any) -> None:
    with pytest.raises(ValidationError):
        section(**values)


def test_metrics_that_clients_made_up_start_no_retrain() -> None:
    section = RetrainSection.model_validate({"triggers": {"quality": {}}})

    def alarm(named: bool) -> Finding:
        return Finding("story", NOW, "quality.sold.adwin", "quality", True, "fell", {"named": named})

    assert not rule(section, around(findings=(alarm(False), alarm(False)))).start
    assert rule(section, around(findings=(alarm(False), alarm(True)))).start
