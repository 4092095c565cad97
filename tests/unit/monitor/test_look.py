"""A round of watching over a home with a version, its data, a traffic log and feedback."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.monitor.traffic_of import answered, said
from tunesmith.data.dataset import MANIFEST
from tunesmith.data.example import Example, Origin
from tunesmith.data.profile import build_profile, write_profile
from tunesmith.errors import RegistryError
from tunesmith.monitor.findings import Finding, Findings
from tunesmith.monitor.look import look
from tunesmith.monitor.traffic.rows import TrafficRow
from tunesmith.monitor.traffic.write import write_traffic
from tunesmith.recipe.schema import Recipe
from tunesmith.registry.registry import Registry
from tunesmith.registry.version import NewVersion
from tunesmith.store.database import Database
from tunesmith.store.home import Home

BEGIN = datetime(2026, 11, 20, tzinfo=UTC)
CARDS = ("my card was declined in the shop", "when will my new card arrive", "please block the card I lost")
WEATHER = ("will it rain in Lisbon tomorrow", "how warm was it in Oslo last night", "is there snow on the pass today")
RECIPE = Recipe.model_validate(
    {
        "name": "story",
        "model": {"source": "base"},
        "data": {"train": "rows.jsonl"},
        "monitor": {"drift": {"window": 50}},
        "serve": {"usd_per_hour": 1.0},
    }
)


def asked(kinds: tuple[str, ...], seed: int) -> str:
    generator = np.random.default_rng(seed)
    words = kinds[int(generator.integers(len(kinds)))].split()
    return " ".join([*generator.permutation(words), f"number {generator.integers(100)}"])


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with story@1, whose training data ask about cards."""
    home = Home(tmp_path, f"sqlite:///{tmp_path}/registry.db", str(tmp_path / "artifacts"))
    folder = home.datasets / "d1"
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text(json.dumps({"split_seed": 0}))
    columns = {name: pa.array([], pa.string()) for name in ("messages", "tools", "label", "file", "line")}
    for part in ("train", "test"):
        pq.write_table(pa.table(columns), folder / f"{part}-examples.parquet")
    write_profile(
        build_profile(
            Example(
                [{"role": "user", "content": asked(CARDS, number)}, {"role": "assistant", "content": "card"}],
                Origin("rows.jsonl", number),
            )
            for number in range(600)
        ),
        folder,
    )
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    registry = Registry.open(home, now=lambda: BEGIN)
    registry.register(
        NewVersion(
            name="story", kind="adapter", base_model="base", recipe_hash="r1", recipe={}, created_by="ann",
            dataset_version="d1", verdict="passed",
        ),
        tmp_path / "adapter",
    )  # fmt: skip
    registry.close()
    return home


def traffic(home: Home, kinds: tuple[str, ...], first: int, number: int, thumbs: float = 1.0) -> datetime:
    """Requests after the first `first`, with their thumbs; returns the time of the last."""
    ids = [f"{one:032x}" for one in range(first, first + number)]
    database = Database.open(home.database_url)
    moments = answered(database, ids, BEGIN + timedelta(minutes=1, seconds=30 * first))
    rows = [
        TrafficRow(
            id=one, at=moment, name="story", model="story", version="story@1", answer="card",
            messages=json.dumps([{"role": "user", "content": asked(kinds, 10_000 + first + place)}]),
        )
        for place, (one, moment) in enumerate(zip(ids, moments, strict=True))
    ]  # fmt: skip
    write_traffic(home, rows)
    up = np.random.default_rng(first).random(number) < thumbs
    said(database, ids, moments, "thumb", [float(one) for one in up])
    database.close()
    return moments[-1] + timedelta(seconds=29)  # by then a gateway has written them


def round_at(home: Home, now: datetime, told: list[str] | None = None) -> dict[str, list[Finding]]:
    """A look; what it found, by rule."""
    by_rule: dict[str, list[Finding]] = {}
    texts: list[str] = [] if told is None else told
    for one in look(home, RECIPE, now=lambda: now, tell=texts.append):
        by_rule.setdefault(one.rule, []).append(one)
    return by_rule


def test_everything_is_looked_at_once_and_written_down(home: Home) -> None:
    told: list[str] = []
    found = round_at(home, traffic(home, CARDS, 0, 120), told)
    assert [one.evidence["window"] for one in found["drift.alarm"]] == [0, 1]
    assert not any(one.fired for every in found.values() for one in every)
    assert {"drift.all", "quality.thumb.adwin", "quality.thumb.page_hinkley", "health.errors"} <= set(found)
    assert found["health.cost"][0].evidence["usd_per_thousand"] > 0
    assert told[0].startswith("story@1 is evaluated on its golden set")
    assert len(told) == 2 and told[1].startswith("the golden set of story cannot be looked at")
    database = Database.open(home.database_url)
    kept = Findings(database).since("story", None)
    assert len(kept) == sum(map(len, found.values()))
    assert round_at(home, traffic(home, CARDS, 120, 10)).keys() == {
        "quality.thumb.adwin", "quality.thumb.page_hinkley",
    }  # fmt: skip  # 30 of 50 requests, and 10 of the 50 that health takes


def test_new_inputs_raise_an_alarm_whose_region_is_new(home: Home) -> None:
    round_at(home, traffic(home, CARDS, 0, 130))
    end = traffic(home, WEATHER, 130, 130)
    found = round_at(home, end)
    assert [one.evidence["window"] for one in found["drift.alarm"]] == [2, 3, 4]
    alarm = next(one for one in found["drift.alarm"] if one.fired)
    assert alarm.version == "story@1" and alarm.evidence["windows"] == 2
    assert "2 windows in a row differ in" in alarm.reason
    new = {f"{one:032x}" for one in range(130, 260)}
    region = alarm.evidence["region"]
    assert len(region) > 5 and len(new & set(region)) > 0.8 * len(region)
    assert found["drift.all"][-1].fired
    assert any(one.fired for rule, every in found.items() if rule != "drift.all" for one in every)
    from tunesmith.monitor.examples import region_examples
    from tunesmith.monitor.standing import stand

    database = Database.open(home.database_url)
    examples = region_examples(home, stand(Findings(database), "story", 30, end))
    assert examples and any("Lisbon" in one.prompt or "Oslo" in one.prompt for one in examples)


def test_windows_of_one_look_or_of_many_come_to_the_same(home: Home, tmp_path: Path) -> None:
    """What is remembered between looks is enough, whether they are many or one was killed half-way."""
    for number, first in enumerate(range(0, 240, 20)):
        kinds = CARDS if number < 6 else WEATHER
        end = traffic(home, kinds, first, 20)
        if number == 8:
            killed_before_writing(home, end)
        round_at(home, end)
    by_many = Findings(Database.open(home.database_url)).of("story", "drift.alarm")
    other = Home(tmp_path, f"sqlite:///{tmp_path}/other.db", home.artifacts)
    registry = Registry.open(other, now=lambda: BEGIN)
    registry.register(
        NewVersion(
            name="story", kind="adapter", base_model="base", recipe_hash="r1", recipe={}, created_by="ann",
            dataset_version="d1", verdict="passed",
        ),
        tmp_path / "adapter",
    )  # fmt: skip
    registry.close()
    by_one = round_at(other, end)["drift.alarm"]
    seen = [[(one.fired, one.evidence["p"], one.evidence["region"]) for one in every] for every in (by_many, by_one)]
    assert len(seen[0]) == 4 and seen[0] == seen[1]
    fired = [one for one, _, _ in seen[0]]
    assert not any(fired[:2]) and fired[3]
    kept = list(Path(home.artifacts, "monitor", "story").iterdir())
    assert len(kept) <= 3  # of many looks only the last ones' memory


def killed_before_writing(home: Home, now: datetime) -> None:
    from tunesmith.monitor.drift_rules import watch_inputs
    from tunesmith.monitor.live import live_version

    registry = Registry.open(home)
    version = live_version(registry, "story")
    registry.close()
    database = Database.open(home.database_url)
    assert RECIPE.monitor is not None
    watch_inputs(home, Findings(database), version, RECIPE.monitor.drift, now, BEGIN)


def test_what_a_gateway_writes_late_is_looked_at(home: Home) -> None:
    """Of two gateways one writes its rows at once, the other those of the same seconds after the look."""
    end = traffic(home, CARDS, 0, 40)
    ids = [f"{one:032x}" for one in range(40, 80)]
    rows = [
        TrafficRow(
            id=one, at=end + timedelta(seconds=place / 10), name="story", model="story", version="story@1",
            answer="card", messages=json.dumps([{"role": "user", "content": asked(CARDS, place)}]),
        )
        for place, one in enumerate(ids)
    ]  # fmt: skip
    write_traffic(home, rows[1::2])
    first = round_at(home, end + timedelta(seconds=5)).get("drift.alarm", [])
    write_traffic(home, rows[::2])
    later = round_at(home, end + timedelta(seconds=60))["drift.alarm"]
    database = Database.open(home.database_url)
    windows = Findings(database).since("story", None, kind="drift")
    database.close()
    last = [one for one in windows if one.rule == "drift.all"][-1]
    assert len(first) + len(later) == 1
    # The window of 50 holds the first ten of both gateways, not twenty of one.
    assert last.evidence["until"] == rows[9].at.isoformat()


def test_a_name_that_is_not_there_is_an_error(home: Home) -> None:
    with pytest.raises(RegistryError):
        look(home, RECIPE.model_copy(update={"name": "tale"}))
