"""`tunesmith experiment` and `tunesmith keys`, as a user types them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.unit.cli.test_registry import NEW
from tunesmith.cli import cli
from tunesmith.errors import TunesmithError
from tunesmith.monitor.retrain.journal import Journal, Step
from tunesmith.registry.registry import Registry
from tunesmith.review.item import Answer, NewItem
from tunesmith.review.reviews import Reviews
from tunesmith.store.database import Database
from tunesmith.store.home import find_home


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("TUNESMITH_DATABASE_URL", "TUNESMITH_ARTIFACTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "home"))
    registry = Registry.open(find_home())
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "adapter").write_text(str(number))
        registry.register(NEW, tmp_path / str(number))
    registry.move_alias("summaries", "champion", 1, "ann", "first")
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["experiment", *arguments], catch_exceptions=False)


def told(*arguments: str) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_whole_life_of_an_experiment() -> None:
    begun = told("start", "summaries", "--variant", "summaries@2", "--why", "new rows", "--by", "ann")
    assert begun == "summaries.1 is in stage canary (control 99 %, v2 1 %)\n"
    assert json.loads(told("ls", "--json"))[0]["variants"]["control"]["version"] == "summaries@1"
    assert "control 90 %, v2 10 %" in told("weights", "summaries", "control=90", "v2=10", "--why", "well")
    shown = told("status", "summaries")
    assert "summaries.1, stage canary: control 90 %, v2 10 %" in shown
    assert "v2: inconclusive. too few users to say how many are needed" in shown
    assert json.loads(told("status", "summaries", "--json"))["decisions"]["v2"]["verdict"] == "inconclusive"
    ended = told("promote", "summaries", "v2", "--why", "better")
    assert ended == "summaries.1 is in stage ended (control 0 %, v2 100 %): promoted v2, better\n"
    registry = Registry.open(find_home())
    assert registry.resolve("summaries@champion").number == 2
    assert registry.history("summaries", "champion")[-1].why == "summaries.1: better"
    assert [one["action"] for one in json.loads(told("history", "summaries", "--json"))] == [
        "start",
        "weights",
        "promote",
    ]
    assert "promoted v2" in told("ls")


def test_a_rollback_leaves_the_champion() -> None:
    told(
        "start", "summaries", "--variant", "new=summaries@2", "--stage", "ab", "--why", "w", "--goal", "turns:lower:0.1"
    )
    assert "(control 100 %, new 0 %): rolled back, complaints" in told("rollback", "summaries", "--why", "complaints")
    assert Registry.open(find_home()).resolve("summaries@champion").number == 1


def test_what_people_prefer_is_shown_and_decides_nothing(project: Path) -> None:
    """Also of pairs that a retrain had put before them before its version was registered."""
    told("start", "summaries", "--variant", "summaries@2", "--why", "new rows")
    before = told("status", "summaries")
    assert "people" not in before and json.loads(told("status", "summaries", "--json"))["people"] == {}
    database = Database.open(find_home().database_url)
    journal, reviews = Journal(database), Reviews(database)
    state = {"next": "release", "champion": "summaries@1", "version": "summaries@2", "section": {}}
    journal.begin("summaries", state, Step("decision", datetime.now(UTC), "start", "asked for", {}))
    for number in range(12):
        source = "summaries@retrain-1" if number < 6 else "summaries@2"
        asked = [{"role": "user", "content": f"question {number}"}]
        answers = [Answer("summaries@1", f"old {number}"), Answer(source, f"new {number}")]
        (item,) = reviews.add([NewItem("summaries", "pair", asked, answers)])
        reviews.rate(item, "ann", "tie" if number % 3 == 2 else source)
    shown = told("status", "summaries")
    assert shown.startswith(before)
    assert shown.removeprefix(before) == (
        "v2: people preferred it on 8 of 12 pairs, the control on 0, neither on 4 (a share of 0.83, 95% interval 0.52 "
        "to 0.98); that does not decide the experiment\n"
    )
    found = json.loads(told("status", "summaries", "--json"))
    assert (found["people"]["v2"]["wins"], found["people"]["v2"]["ties"]) == (8, 4)
    assert found["decisions"]["v2"]["verdict"] == "inconclusive"
    told("report", "summaries", "--html", str(project / "page.html"))
    page = (project / "page.html").read_text()
    assert "What people prefer" in page and "Their judgement does not decide the experiment." in page
    assert "summaries@retrain-1" not in page
    results = CliRunner().invoke(cli, ["review", "results", "summaries", "--json"], catch_exceptions=False)
    (preferred,) = json.loads(results.output)["preferences"]
    assert (preferred["candidate"], preferred["wins"]) == ("summaries@2", 8)


def test_a_prompt_is_tried_and_cannot_be_promoted(project: Path) -> None:
    prompt = project / "prompt.json"
    prompt.write_text('[{"role": "system", "content": "Be brief."}]')
    told("start", "summaries", "--prompt", str(prompt), "--stage", "shadow", "--why", "is it the prompt?")
    with pytest.raises(TunesmithError, match="is a prompt of the base model, and an alias points at versions"):
        run("promote", "summaries", "prompt", "--why", "w")
    prompt.write_text('{"role": "system"}')
    told("rollback", "summaries", "--why", "w")
    with pytest.raises(TunesmithError, match="this is not a prompt"):
        run("start", "summaries", "--prompt", str(prompt), "--why", "w")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("start", "summaries", "--variant", "summaries@9", "--why", "w"), "there is no version 9 of 'summaries'"),
        (("start", "summaries", "--why", "w"), "has a variant 'control' and at least one more"),
        (("status", "nothing"), "there is no experiment 'nothing'"),
        (("rollback", "nothing", "--why", "w"), "there is no experiment 'nothing'"),
    ],
)
def test_mistakes(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(TunesmithError, match=message):
        run(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("start", "summaries", "--variant", "summaries@2"), "Missing option '--why'"),
        (("start", "summaries", "--variant", "summaries@2", "--goal", "Bad", "--why", "w"), "'Bad' is not a goal"),
        (("start", "summaries", "--variant", "summaries@2", "--steps", "5,1", "--why", "w"), "'5,1' are not steps"),
        (("weights", "summaries", "control", "--why", "w"), "'control' is not a weight"),
    ],
)
def test_usage(arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.output


def test_keys_are_shown_once_listed_and_revoked() -> None:
    runner = CliRunner()
    made = json.loads(
        runner.invoke(cli, ["keys", "create", "shop", "--scope", "infer", "--by", "ann", "--json"]).output
    )
    assert made["secret"].startswith(f"sk-ts-{made['id']}-") and made["scopes"] == ["infer"]
    assert made["secret"] not in runner.invoke(cli, ["keys", "ls"]).output
    assert "shop is revoked" in runner.invoke(cli, ["keys", "revoke", made["id"], "--by", "bob"]).output
    trail = json.loads(runner.invoke(cli, ["keys", "trail", "--json"]).output)
    assert [(one["who"], one["action"]) for one in trail] == [("bob", "keys.revoke"), ("ann", "keys.create")]
    with pytest.raises(TunesmithError, match="there is no key 'none'"):
        runner.invoke(cli, ["keys", "revoke", "none"], catch_exceptions=False)
