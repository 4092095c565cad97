"""What runs on the head for a retrain: whose registry it is, and when it waits for a driver that was lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tunesmith.cluster import retrain_job
from tunesmith.cluster.job import HOME, read_result
from tunesmith.cluster.retrain_job import check_registry, database_url, in_words, main, wait_for_driver
from tunesmith.cluster.storage import Storage
from tunesmith.cluster.targets import TargetError
from tunesmith.monitor.retrain.driver import Driver
from tunesmith.monitor.retrain.journal import LEASE, Journal, Step
from tunesmith.registry.registry import Registry
from tunesmith.registry.version import NewVersion
from tunesmith.store.database import Database
from tunesmith.store.home import Home

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (None, "TEAM_DATABASE is not set on the head"),
        ("", "TEAM_DATABASE is not set on the head"),
        ("sqlite:////srv/registry.db", "TEAM_DATABASE on the head names a file"),
    ],
)
def test_a_head_that_names_no_database_says_so_in_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, value: str | None, what: str
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv(HOME, str(tmp_path / "head"))
    monkeypatch.setenv("TEAM_DATABASE", value) if value is not None else monkeypatch.delenv("TEAM_DATABASE", False)
    wanted = ["--artefacts", "s3://b/r", "--database-env", "TEAM_DATABASE", "--knows", "tiny@1", "--files", "ab"]
    with pytest.raises(SystemExit) as ended:
        main("tiny-retrain-1", str(tmp_path / "storage"), wanted)
    result = read_result(Storage(str(tmp_path / "storage")), "tiny-retrain-1")
    assert ended.value.code == 2 and result is not None and what in str(result.problem)
    assert what in capsys.readouterr().err and not (tmp_path / "head").exists()


def test_a_url_that_cannot_be_read_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAM_DATABASE", "mysql://ann:hunter2@db.example/registry")
    with pytest.raises(Exception, match="are not supported") as caught:
        database_url("TEAM_DATABASE")
    assert "hunter2" not in str(caught.value)


def test_the_database_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "weights").write_text("weights")
    home = Home(tmp_path / "home", f"sqlite:///{tmp_path}/registry.db", str(tmp_path / "artefacts"))
    registry = Registry.open(home)
    new = NewVersion("tiny", "adapter", "base", recipe_hash="r", recipe={}, created_by="ann", verdict="passed")
    mine = registry.register(new, tmp_path / "files")
    registry.close()
    check_registry(home, "tiny@1", mine.content_hash, "TEAM_DATABASE")
    for knows, files in (("tiny@1", "0" * 64), ("tiny@2", mine.content_hash), ("other@1", mine.content_hash)):
        with pytest.raises(TargetError, match="it is another one") as caught:
            check_registry(home, knows, files, "TEAM_DATABASE")
        assert caught.value.where == "TEAM_DATABASE on the head"


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        ({"retrain": None, "decision": {"start": False, "reason": "too few"}}, "no retrain: too few"),
        (
            {"retrain": {"name": "t", "number": 3, "running": True, "next": "release"}},
            "t retrain 3: in flight, at release",
        ),
        ({"retrain": {"name": "t", "number": 3, "end": "kept", "because": "no"}}, "t retrain 3: kept: no"),
        ({"retrain": "not a mapping", "decision": ["nor", "this"]}, "no retrain:"),
        ({"retrain": None, "decision": {"reason": "a\x1b[2Jb\nc"}}, "no retrain: a"),
    ],
)
def test_what_came_of_it_is_told_in_one_line(outcome: dict[str, Any], told: str) -> None:
    said = in_words(outcome)
    assert said.startswith(told) and said.isprintable()


def test_a_driver_of_a_lost_head_is_waited_for_until_it_counts_as_dead(tmp_path: Path) -> None:
    database, clock = Database.open(f"sqlite:///{tmp_path}/registry.db"), [NOW]
    lost = Journal(database, lambda: clock[0], Driver("lost-head", 7, "lost", "elsewhere"))
    lost.begin("tiny", {"next": "train"}, Step("decision", NOW, "start", "it is time", {}))
    mine = Journal(database, lambda: clock[0], Driver("head", 8, "mine", "here"))
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock[0] += timedelta(seconds=seconds)

    wait_for_driver(mine, "tiny", sleep)
    assert LEASE.seconds <= sum(slept) <= LEASE.seconds + retrain_job.PAUSE_SECONDS
    other = Journal(database, lambda: clock[0], Driver("head", 9, "other", "there"))
    retrain = other.claim(lost.find("tiny"))  # it was given back to whoever comes
    slept.clear()

    def sleep_while_it_lives(seconds: float) -> None:
        sleep(seconds)
        assert other.beat(retrain)

    wait_for_driver(mine, "tiny", sleep_while_it_lives)
    assert sum(slept) == retrain_job.WAIT_SECONDS  # then the command says who drives it
    slept.clear()
    wait_for_driver(mine, "other", sleep)
    assert slept == []
