"""`tunesmith monitor`, as a user types it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests import tiny_versions
from tests.unit.monitor.test_page import week
from tunesmith.cli import cli
from tunesmith.errors import GateFailed, RegistryError, StoreError
from tunesmith.monitor.findings import Finding, Findings
from tunesmith.store.database import Database
from tunesmith.store.home import find_home

RECIPE = "name: tiny\nmodel: {source: base}\ndata: {train: rows.jsonl}\nmonitor: {}\n"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("TUNESMITH_DATABASE_URL", "TUNESMITH_ARTIFACTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["monitor", *arguments], catch_exceptions=False)


def told(*arguments: str) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def note_week() -> None:
    """The week of `test_page`, with today as its end."""
    late = datetime.now(UTC) - max(one.at for one in week([]))
    found = [
        Finding(one.name, one.at + late, one.rule, one.kind, one.fired, one.reason, one.evidence, one.version)
        for one in week(["a"])
    ]
    Findings(Database.open(find_home().database_url)).note(found)


def test_status_is_a_table_and_json() -> None:
    note_week()
    shown = told("status", "story", "--days", "3")
    assert shown.startswith("story@2: 3 alarms in the last 3 days\n")
    lines = {line.split()[1]: line for line in shown.splitlines() if len(line.split()) > 1}
    assert lines["drift.language"].split()[0] == "✔" and lines["drift.alarm"].split()[0] == "✘"
    assert "\x1b" not in shown and "quality.golden" in shown
    found = json.loads(told("status", "story", "--json"))
    assert found["version"] == "story@2" and found["alarms"] == 4
    assert {one["rule"] for one in found["latest"] if one["fired"]} >= {"drift.alarm", "quality.golden"}


def test_report_writes_a_page(project: Path) -> None:
    note_week()
    assert told("report", "story", "--html", "page.html") == "page.html\n"
    assert "<svg" in (project / "page.html").read_text()


def test_a_name_that_nothing_is_known_of_is_an_error() -> None:
    with pytest.raises(StoreError, match="no registry"):
        run("status", "story")
    note_week()
    with pytest.raises(StoreError, match="nothing was looked at yet for 'tale'"):
        run("status", "tale")
    with pytest.raises(RegistryError):
        run("watch", "recipe.yaml", "--once")


def test_golden_evaluates_and_a_risen_loss_exits_with_1(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_versions.register(project)
    rows = [{"prompt": f"say {number}", "completion": "yes"} for number in range(24)]
    (project / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    first = json.loads(told("golden", "recipe.yaml", "--add", "rows.jsonl", "--json"))
    assert (first["version"], first["fired"]) == ("tiny@1", False)
    assert first["evidence"]["rows"] == {"test": 0, "labelled": 24, "correction": 0}
    again = told("golden", "recipe.yaml", "--add", "rows.jsonl")
    assert again.startswith("tiny@1: not worse by 0.1: rows of the day of release: ")

    from tunesmith.monitor.golden import evaluate

    def doubled(*arguments: object) -> dict[str, tuple[float, int]]:
        return {row: (2 * nats, tokens) for row, (nats, tokens) in first["evidence"]["losses"].items()}

    honest = evaluate.evaluate_golden
    monkeypatch.setattr(evaluate, "evaluate_golden", lambda *given: honest(*given, measured=doubled))
    with pytest.raises(GateFailed, match="the loss has risen by more than"):
        run("golden", "recipe.yaml")
    latest = json.loads(told("status", "tiny", "--json"))
    assert [(one["rule"], one["fired"]) for one in latest["latest"]] == [("quality.golden", True)]


def test_watch_looks_once_and_tells(project: Path) -> None:
    tiny_versions.register(project)
    result = run("watch", "recipe.yaml", "--once", "--json")
    assert json.loads(result.stdout) == {"name": "tiny", "looked_at": 0, "fired": []}
    assert "inputs of tiny cannot be looked at" in result.stderr and "the golden set of tiny" in result.stderr
    shown = told("watch", "recipe.yaml", "--once")
    assert shown.endswith("UTC tiny: 0 verdicts, 0 fired\n")
    assert datetime.strptime(shown[:16], "%Y-%m-%d %H:%M") > datetime.now() - timedelta(days=1)


def test_watch_outlives_trouble_with_the_database(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_versions.register(project)
    from tunesmith.cli import monitor as command
    from tunesmith.monitor import look as looking

    rounds: list[str] = []

    def look(*_: object, **__: object) -> list[Finding]:
        rounds.append("looked")
        if len(rounds) == 1:
            raise StoreError("the database does not answer", where="postgresql://there")
        return []

    def sleep(seconds: float) -> None:
        if len(rounds) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(looking, "look", look)
    monkeypatch.setattr(command.time, "sleep", sleep)
    shown = CliRunner().invoke(cli, ["monitor", "watch", "recipe.yaml"])
    assert len(rounds) == 2 and "tiny: 0 verdicts" in shown.stdout
    assert "looked at again later" in shown.stderr and "the database does not answer" in shown.stderr
    rounds.clear()
    with pytest.raises(StoreError, match="does not answer"):
        run("watch", "recipe.yaml", "--once")
