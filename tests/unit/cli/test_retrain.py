"""`tunesmith retrain`, as a user types it: decisions, the list, the trail, and the end by somebody's word."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.test_registry import NEW
from tunesmith.monitor.retrain.journal import Journal, Step
from tunesmith.registry.registry import Registry
from tunesmith.store.database import Database
from tunesmith.store.home import Home, find_home

Run = Callable[..., subprocess.CompletedProcess[str]]
RECIPE = "name: summaries\nmodel: {source: model}\ndata: {train: rows.jsonl}\nretrain: {triggers: {drift: {}}}\n"
HEAVY = ("torch", "ray", "numpy", "pyarrow", "transformers", "scipy")


@pytest.fixture
def project(tunesmith: Run, tmp_path: Path) -> Home:
    """A live version, and a recipe."""
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "adapter").write_text("weights")
    home = find_home()
    registry = Registry.open(home)
    registry.register(NEW, tmp_path / "files")
    registry.close()
    return home


def in_flight(home: Home) -> Journal:
    journal = Journal(Database.open(home.database_url))
    state: dict[str, Any] = {"next": "train", "champion": "summaries@1", "why": "a test", "section": {}}
    decision = Step("decision", datetime.now(UTC), "start", "asked for: a test", {"champion": "summaries@1"})
    journal.release(journal.begin("summaries", state, decision))
    return journal


def test_without_a_project_there_is_nothing_to_list(tunesmith: Run) -> None:
    assert tunesmith("retrain", "ls").stdout == "none yet\n"
    assert json.loads(tunesmith("retrain", "ls", "--json").stdout) == {"retrains": [], "last_decision": {}}


def test_a_dry_run_says_what_every_trigger_says(tunesmith: Run, project: Home) -> None:
    said = tunesmith("retrain", "recipe.yaml", "--dry-run").stdout
    assert said.startswith("would not begin: 0 of 1 triggers ask for it, and it takes 1: drift: 0 alarm(s)")
    assert "  drift: quiet, 0 alarm(s) of drift" in said
    wished = json.loads(tunesmith("retrain", "recipe.yaml", "--dry-run", "--now", "a wish", "--json").stdout)
    assert wished["start"] and wished["reason"] == "asked for: a wish"


def test_a_dry_run_makes_no_project(tunesmith: Run, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    home = find_home()
    assert not home.folder.exists()
    assert "there is no registry here" in tunesmith("retrain", "recipe.yaml", "--dry-run", exit_code=2).stderr
    assert not home.folder.exists()


def test_a_decision_to_stay_is_told_and_listed(tunesmith: Run, project: Home) -> None:
    assert tunesmith("retrain", "recipe.yaml").stdout.startswith("no retrain: 0 of 1 triggers ask for it")
    assert "last decision not to" in tunesmith("retrain", "ls", "summaries").stdout
    listed = json.loads(tunesmith("retrain", "ls", "summaries", "--json").stdout)
    assert listed["last_decision"]["summaries"]["verdict"] == "stay"


def test_the_trail_is_shown_in_three_ways(tunesmith: Run, project: Home, tmp_path: Path) -> None:
    in_flight(project)
    assert tunesmith("retrain", "show", "summaries").stdout.startswith("summaries retrain 1: in flight, at train\n")
    shown = json.loads(tunesmith("retrain", "show", "summaries", "1", "--json").stdout)
    assert shown["running"] and [step["step"] for step in shown["steps"]] == ["decision"]
    tunesmith("retrain", "show", "summaries", "--html", "trail.html")
    assert "asked for: a test" in (tmp_path / "trail.html").read_text()


def test_word_to_stop_ends_one_that_nobody_drives(tunesmith: Run, project: Home) -> None:
    journal = in_flight(project)
    said = tunesmith("retrain", "stop", "summaries", "--why", "a mistake", "--by", "ann").stdout
    assert "stopped: ann stopped it: a mistake" in said
    assert journal.in_flight("summaries") is None
    again = tunesmith("retrain", "stop", "summaries", "--why", "a mistake", exit_code=2)
    assert "no retrain of 'summaries' is in flight" in again.stderr


def test_what_is_not_there_is_said(tunesmith: Run, project: Home) -> None:
    assert "was never retrained" in tunesmith("retrain", "show", "summaries", exit_code=2).stderr
    assert "recipe.yml" in tunesmith("retrain", "recipe.yml", exit_code=2).stderr
    assert "Example:" in tunesmith("retrain", "recipe.yaml", "--help").stdout


def test_looking_at_retrains_needs_nothing_heavy() -> None:
    code = (
        "import sys, tunesmith.cli.retrain, tunesmith.monitor.retrain.journal, tunesmith.monitor.retrain.trail\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
