"""When answers get worse: detectors, streams by version, alarms that fire once."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import insert

from tests.unit.monitor.traffic_of import answered, said
from tunesmith.monitor.findings import Finding, Findings
from tunesmith.monitor.quality.detect import DETECTORS, on_scale
from tunesmith.monitor.quality.distance import edit_distance
from tunesmith.monitor.quality.streams import read_streams, versions_of
from tunesmith.monitor.quality.watch import watch_quality
from tunesmith.recipe.monitor import QualitySection
from tunesmith.review.item import Answer, NewItem
from tunesmith.review.reviews import Reviews
from tunesmith.store.database import Database
from tunesmith.store.tables import feedback

BEGIN = datetime(2026, 11, 20, tzinfo=UTC)
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database.open(f"sqlite:///{tmp_path}/registry.db")


def thumbs(share: float, number: int, seed: int = 0) -> list[float]:
    return [float(value) for value in np.random.default_rng(seed).random(number) < share]


def look(database: Database, now: datetime = NOW, **settings: object) -> dict[str, Finding]:
    """A round, written down."""
    findings = Findings(database)
    found = watch_quality(database, findings, "story", QualitySection.model_validate(settings), now)
    findings.note(found)
    return {one.rule: one for one in found}


def by_table(given: str, wanted: str) -> int:
    """The edit distance from its definition (Wagner and Fischer 1974)."""
    above = list(range(len(wanted) + 1))
    for row, letter in enumerate(given, 1):
        here = [row]
        for column, other in enumerate(wanted, 1):
            here.append(min(above[column] + 1, here[-1] + 1, above[column - 1] + (letter != other)))
        above = here
    return above[-1]


def test_the_distance_is_that_of_the_definition() -> None:
    generator = random.Random(0)
    for _ in range(500):
        given, wanted = ("".join(generator.choices("abc\u00e9\U0001f600", k=generator.randint(0, 90))) for _ in "12")
        expected = by_table(given, wanted) / max(len(given), len(wanted), 1)
        assert edit_distance(given, wanted) == pytest.approx(expected), (given, wanted)
    assert edit_distance("", "") == 0 and edit_distance("", "x") == 1 and edit_distance("kitten", "sitting") == 3 / 7


@pytest.mark.parametrize("name", list(DETECTORS))
@pytest.mark.parametrize("share", [0.5, 0.8, 0.97])
def test_a_stream_that_does_not_change_raises_no_alarm(name: str, share: float) -> None:
    alarms = [DETECTORS[name](np.array(thumbs(share, 2000, seed)), QualitySection()) for seed in range(30)]
    assert sum(map(bool, alarms)) <= 1


@pytest.mark.parametrize("name", list(DETECTORS))
def test_a_drop_is_seen_where_it_was_and_a_rise_is_not(name: str) -> None:
    for seed in range(10):
        better, worse = thumbs(0.9, 500, seed), thumbs(0.6, 500, seed + 100)
        found = DETECTORS[name](np.array(better + worse), QualitySection())
        assert len(found) == 1
        assert 500 <= found[0].index < 700 and abs(found[0].since - 500) < 100
        assert DETECTORS[name](np.array(worse + better), QualitySection()) == []


def test_metrics_without_a_scale_are_ranked_among_their_first_values() -> None:
    values = [10.0] * 50 + [20.0] * 50 + [5.0, 15.0, 1e12]
    assert on_scale(values, bounded=False)[[0, 50, 100, 101, 102]].tolist() == [0.25, 0.75, 0.0, 0.5, 1.0]
    generator = np.random.default_rng(3)
    scores = np.concatenate([generator.lognormal(9, 1, 600), generator.lognormal(8, 1, 600)])
    for detector in DETECTORS.values():
        assert detector(on_scale(scores, False), QualitySection())
        assert not detector(on_scale(scores[:600], False), QualitySection())


def test_an_alarm_fires_once_and_says_since_when(database: Database) -> None:
    ids = [f"r{number}" for number in range(1200)]
    moments = answered(database, ids, BEGIN)
    values = thumbs(0.9, 600) + thumbs(0.5, 600, 1)
    said(database, ids[:80], moments[:80], "thumb", values[:80])
    first = look(database, moments[80])["quality.thumb.adwin"]
    assert not first.fired and "80 of the 100" in first.reason
    said(database, ids[80:600], moments[80:600], "thumb", values[80:600])
    calm = look(database, moments[600])
    assert set(calm) == {"quality.thumb.adwin", "quality.thumb.page_hinkley"}
    assert not any(one.fired for one in calm.values())
    assert calm["quality.thumb.adwin"].version == "story@1"
    said(database, ids[600:1000], moments[600:1000], "thumb", values[600:1000])
    alarmed = look(database, moments[1000])
    for one in alarmed.values():
        assert one.fired
        assert abs(datetime.fromisoformat(str(one.evidence["since"])) - moments[600]) < timedelta(minutes=30)
        assert one.evidence["before"] == pytest.approx(0.9, abs=0.05)
        assert one.evidence["after"] == pytest.approx(0.5, abs=0.15)
        assert "thumb fell from 0." in one.reason
    assert look(database, moments[1000]) == {}  # nothing has come since
    said(database, ids[1000:], moments[1000:], "thumb", values[1000:])
    later = look(database, moments[-1])
    assert len(later) == 2 and not any(one.fired for one in later.values())


def test_feedback_that_is_taken_back_does_not_fire_twice(database: Database) -> None:
    ids = [f"r{number}" for number in range(1000)]
    moments = answered(database, ids, BEGIN)
    said(database, ids, moments, "thumb", thumbs(0.9, 600) + thumbs(0.4, 400, 1))
    assert all(one.fired for one in look(database).values())
    answered(database, ["late"], BEGIN + timedelta(minutes=1))
    said(database, ["late"] * 1, [BEGIN + timedelta(minutes=1, seconds=1)], "thumb", [1.0])
    again = look(database)
    assert len(again) == 2 and not any(one.fired for one in again.values())


def test_less_is_better_for_invalid_answers_and_for_what_the_recipe_says(database: Database) -> None:
    ids = [f"r{number}" for number in range(900)]
    rising = [value > 0 for value in thumbs(0.02, 450) + thumbs(0.4, 450, 1)]
    moments = answered(database, ids, BEGIN, invalid=rising)
    generator = np.random.default_rng(0)
    said(database, ids, moments, "effort", [*generator.normal(10, 2, 450), *generator.normal(14, 2, 450)])
    calm = look(database)
    assert calm["quality.invalid.adwin"].fired and "invalid rose from" in calm["quality.invalid.adwin"].reason
    assert not calm["quality.effort.adwin"].fired  # more of it is better, unless the recipe says otherwise
    (stream,) = [one for one in read_streams(database, "story@1", ["effort"]) if one.metric == "effort"]
    assert not stream.more_is_better
    assert DETECTORS["adwin"](stream.good, QualitySection())


def test_only_what_users_saw_counts_and_each_version_by_itself(database: Database) -> None:
    bad = [0.0] * 400
    for version, role, value in (("story@1", "live", 1.0), ("story@2", "live", 0.0), ("story@1", "shadow", 0.0)):
        ids = [f"{version}-{role}-{number}" for number in range(400)]
        moments = answered(database, ids, BEGIN, version=version, role=role)
        said(database, ids, moments, "thumb", [value] * 400)
    ids = [f"other-{number}" for number in range(400)]
    said(database, ids, answered(database, ids, BEGIN, version="story_two@1"), "thumb", bad)
    assert versions_of(database, "story", BEGIN) == ["story@1", "story@2"]
    assert versions_of(database, "story", NOW) == []
    assert [set(one.values) for one in read_streams(database, "story@1")] == [{1.0}]
    found = watch_quality(database, Findings(database), "story", QualitySection(), NOW)
    assert {(one.version, one.fired) for one in found} == {("story@1", False), ("story@2", False)}


def test_of_a_long_stream_a_sample_is_read(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunesmith.monitor.quality.streams.MOST", 300)
    ids = [f"{number % 16:x}{number:031x}" for number in range(640)]
    said(database, ids, answered(database, ids, BEGIN), "score", list(range(640)))
    (stream,) = read_streams(database, "story@1")
    assert stream.values == tuple(range(0, 640, 16))


@pytest.mark.parametrize("name", list(DETECTORS))
def test_a_busy_stream_raises_no_more_alarms_and_still_shows_a_drop(name: str) -> None:
    """100,000 values: one by one they would be fifty times 2,000."""
    calm = [np.array(thumbs(0.8, 100_000, seed)) for seed in range(8)]
    assert sum(bool(DETECTORS[name](one, QualitySection())) for one in calm) <= 1
    drop = np.concatenate([calm[0], np.array(thumbs(0.7, 10_000, 99))])
    (alarm,) = DETECTORS[name](drop, QualitySection())
    assert 100_000 < alarm.index < 107_000 and abs(alarm.since - 100_000) < 500
    trifle = np.concatenate([calm[0], np.array(thumbs(0.79, 100_000, 98))])
    assert DETECTORS[name](trifle, QualitySection()) == []


def test_raters_corrections_are_a_stream_of_the_version_that_answered(database: Database) -> None:
    reviews = Reviews(database, lambda: NOW)
    items = [
        NewItem("story", "answer", [{"role": "user", "content": f"say {number}"}], [Answer(source, "no")])
        for number, source in enumerate(["story@1", "story@2", "story@1"])
    ]
    for item, correction in zip(reviews.add(items), ["now", "yes", "never"], strict=True):
        reviews.rate(item, "ann", correction=correction)
    (stream,) = read_streams(database, "story@1")
    assert (stream.metric, stream.more_is_better) == ("review_correction", False)
    assert sorted(stream.values) == pytest.approx([1 / 3, 4 / 5])


def test_a_client_cannot_flood_the_findings_with_metrics_of_its_own(database: Database) -> None:
    """Hundreds of names from one tenant: what several tenants use, and what is named, is watched all the same."""
    ids = [f"r{number}" for number in range(60)]
    moments = answered(database, ids, BEGIN)
    said(database, ids, moments, "thumb", [1.0] * 60)
    said(database, ids[:30], moments[:30], "seconds_to_edit", [1.0] * 30)
    said(database, ids[:2], moments[:2], "sold", [1.0] * 2)
    with database.writing("test") as connection:
        connection.execute(insert(feedback), [
            {"request": ids[0], "metric": "clicks", "tenant": tenant, "at": moments[0], "value": 1.0, "text": None}
            for tenant in ("shop", "bank")
        ])  # fmt: skip
    for number in range(100):
        said(database, ids[:5], moments[:5], f"made_up_{number}", [1.0] * 5)
    said(database, ids, moments, "invalid", [1.0] * 60)
    streams = {one.metric: one for one in read_streams(database, "story@1", ["seconds_to_edit"], ["sold"])}
    assert len(streams) == 3 + 20 and "invalid" not in streams
    assert {metric for metric, one in streams.items() if one.named} == {"thumb", "seconds_to_edit", "sold"}
    assert "clicks" in streams
    found = look(database)
    assert len(found) <= 2 * (1 + 20)
    assert found["quality.thumb.adwin"].evidence["named"] and not found["quality.clicks.adwin"].evidence["named"]
