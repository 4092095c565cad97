"""Every recipe that is handed out can be planned, and a plan is of the machine that the recipe names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tunesmith.plan.catalog import load_catalog
from tunesmith.plan.plan import Plan, plan_recipe
from tunesmith.recipe.load import load_recipe
from tunesmith.store.home import Home

JOBS = sorted((Path(__file__).parents[3] / "jobs").glob("*.yaml"))


def planned(tmp_path: Path, recipe: Path, *overrides: str, machines: tuple[str, ...] = ()) -> Plan:
    home = Home(tmp_path / "home", "sqlite://", str(tmp_path / "artefacts"))
    loaded = load_recipe(recipe, overrides)
    return plan_recipe(loaded, home, load_catalog(), machines, examples=1000, tokens_per_example=500)


@pytest.mark.parametrize("recipe", JOBS, ids=lambda path: path.stem)
def test_a_recipe_of_jobs_fits_on_eight_large_gpus(tmp_path: Path, recipe: Path) -> None:
    plan = planned(tmp_path, recipe, machines=("aws:p4de.24xlarge",))
    assert plan.written.machine == "aws:p4de.24xlarge"
    assert plan.written.fits
    assert plan.ranked
    assert plan.ranked[0].usd > 0
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_a_plan_is_of_the_machine_and_price_that_the_recipe_names(tmp_path: Path) -> None:
    [recipe] = [path for path in JOBS if path.stem == "llama-8b-qlora"]
    own = ("resources.machine=aws:g5.xlarge", "resources.market=spot", "resources.usd_per_hour=0.33")
    option = planned(tmp_path, recipe, *own).written
    assert (option.machine, option.market) == ("aws:g5.xlarge", "spot")
    hours = option.total_seconds / 3600
    assert float(option.usd) == pytest.approx(0.33 * hours, rel=0.01)
    assert planned(tmp_path, recipe, "resources.machine=null").written.machine.startswith("here:")


def test_what_does_not_fit_comes_with_three_ways_that_do(tmp_path: Path) -> None:
    [recipe] = [path for path in JOBS if path.stem == "llama-70b-qlora-fsdp-8gpu"]
    plan = planned(tmp_path, recipe, machines=("aws:g4dn.xlarge",))
    assert not plan.written.fits
    assert len(plan.remedies) == 3
