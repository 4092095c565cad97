"""A run stops before its budget is crossed, with a checkpoint, and goes on when the budget is raised."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.test_run import RECIPE, environment, project
from tunesmith.plan.ledger import Ledger

__all__ = ["project"]

pytestmark = pytest.mark.slow

USD_PER_HOUR = 360.0
"""Ten cents a second, so that seconds cost something."""


def train(project: Path, *settings: str) -> subprocess.CompletedProcess[str]:
    given = (f"resources.usd_per_hour={USD_PER_HOUR}", "train.max_steps=4000", "train.epochs=4000", *settings)
    command = [sys.executable, "-m", "tunesmith", "train", "recipe.yaml", "--in-process", "--json", "--yes"]
    overrides = [part for one in given for part in ("--set", one)]
    return subprocess.run(
        [*command, *overrides], cwd=project, env=environment(project), capture_output=True, text=True, timeout=300
    )


def test_a_dear_run_and_one_whose_budget_ends_before_the_first_loss_do_not_start_unasked(project: Path) -> None:
    command = [sys.executable, "-m", "tunesmith", "train", "recipe.yaml", "--in-process", "--set", "train.max_steps=2"]

    def given(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *more], cwd=project, env=environment(project), capture_output=True, text=True, timeout=300
        )

    dear = given("--set", "resources.usd_per_hour=36000")
    assert dear.returncode == 2
    assert "error: budget.confirm_above_usd: the run is expected to cost $" in dear.stderr
    assert "with --yes" in dear.stderr
    poor = given("--set", "resources.usd_per_hour=36", "--set", "budget.max_usd=0.001")
    assert poor.returncode == 2
    assert "error: budget.max_usd: $0.001 do not last until the first validation loss" in poor.stderr
    assert not list((project / "home" / "runs").glob("*/metrics.jsonl"))

    agreed = given("--set", "resources.usd_per_hour=36000", "--yes")
    assert agreed.returncode == 0, agreed.stderr
    assert "warning: the run is expected to cost $" in agreed.stderr
    assert "cost: planned $" in agreed.stdout


def test_a_budget_is_kept_to_a_report_and_the_run_goes_on_when_it_is_raised(project: Path) -> None:
    assert "max_steps: 60" in RECIPE
    stopped = train(project, "budget.max_usd=1.5")
    assert stopped.returncode == 2, stopped.stderr
    assert "the run was stopped before its budget is crossed: " in stopped.stderr
    assert "cost: $360.00 an hour for each machine (owned, " in stopped.stderr
    [run] = (project / "home" / "runs").iterdir()
    first = float(Ledger.read(run).usd)
    assert 0.3 < first < 1.5
    events = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    costs = [event["cost_usd"] for event in events if event["event"] in ("step", "evaluation")]
    assert len(costs) > 5
    assert costs == sorted(costs)
    assert costs[-1] == pytest.approx(first, abs=0.3)
    step = max(event["step"] for event in events if event["event"] == "step")
    assert any(event["event"] == "checkpoint" and event["step"] == step for event in events)

    over = train(project, "budget.max_usd=0.2")
    assert over.returncode == 2
    assert f"budget.max_usd: nothing is left of the budget of $0.20: ${first:.2f} are spent" in over.stderr

    again = train(project, f"budget.max_usd={first + 1.0}")
    assert again.returncode == 2
    starts = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [event["step"] for event in starts if event["event"] == "start"] == [0, step]
    assert first < float(Ledger.read(run).usd) < first + 1.0
