"""Whole sweeps over made-up trainings: money, breadth, and going on after a kill."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from pathlib import Path
from statistics import mean

import pytest

from tests.unit.sweep.simulated import SECONDS, SPACE, START, Costs, losses, play, seconds, section
from tunesmith.recipe.sweep import SweepSection
from tunesmith.sweep.space import Space

GRID = Space.from_section(SweepSection.model_validate({"space": SPACE, "max_usd": 1})).grid()
THIRD = sum(map(seconds, GRID)) / 3
SEEDS = range(5)


@pytest.mark.parametrize("searcher", ["cost-aware", "random", "tpe", "grid", "blendsearch", "cfo"])
@pytest.mark.parametrize("scheduler", ["asha", "median", "none"])
def test_no_sweep_goes_past_its_budget_by_more_than_a_report(tmp_path: Path, searcher: str, scheduler: str) -> None:
    if searcher in ("tpe", "blendsearch", "cfo"):
        pytest.importorskip("optuna")
        pytest.importorskip("flaml")
    for wrong_by in (0.3, 3.0):
        sweep = play(section(THIRD, searcher, scheduler, 0), tmp_path / str(wrong_by), 0, Costs(wrong_by))
        assert sweep.spent <= Decimal(str(THIRD + SECONDS + START))
        configs = [str(sorted(trial.config.items())) for trial in sweep.record.trials.values()]
        assert len(set(configs)) == len(configs)
        assert sweep.winner()


def test_a_third_of_the_grid_s_dollars_finds_almost_its_best(tmp_path: Path) -> None:
    ratios, blind, early = [], [], Counter[str]()
    for seed in SEEDS:
        best = min(min(losses(config, seed)) for config in GRID)
        given = section(THIRD, "cost-aware", "asha", seed, rungs=2)
        sweep = play(given, tmp_path / f"{seed}", seed, Costs(2.0))
        other = play(section(THIRD, "random", "none", seed), tmp_path / f"random-{seed}", seed, Costs(2.0))
        for found, kept in ((sweep, ratios), (other, blind)):
            winner = found.winner()
            assert winner is not None and winner.best is not None
            kept.append(winner.best.loss / best)
        early.update(trial.status for trial in sweep.record.trials.values())
    assert sum(ratio < 1.02 for ratio in ratios) >= len(SEEDS) - 1
    assert mean(ratios) < mean(blind)
    assert early["early"] > 2 * early["whole"]


@pytest.mark.parametrize("die_at", [1, 5, 12, 20])
def test_a_killed_sweep_goes_on_from_its_journal(tmp_path: Path, die_at: int) -> None:
    given = section(THIRD, "cost-aware", "asha", 1)
    dead = play(given, tmp_path, 1, Costs(), die_at)
    before = {name: len(trial.reports) for name, trial in dead.record.trials.items()}
    alive = play(given, tmp_path, 1, Costs())
    for name, count in before.items():
        steps = [report.step for report in alive.record.trials[name].reports]
        assert len(steps) >= count and steps == sorted(set(steps))
    assert not [trial for trial in alive.record.trials.values() if trial.status == "waiting"]
    assert alive.winner()
    assert alive.spent <= Decimal(str(THIRD + SECONDS + START))


def test_dollars_that_are_left_go_to_the_resting_trials_that_may_still_win(tmp_path: Path) -> None:
    space = {"train.learning_rate": {"choice": [1e-4, 3e-4, 1e-3]}}
    sweep = play(section(500, "grid", "asha", 0, space=space, trials=3), tmp_path, 0, Costs())
    ends = {trial.config["train.learning_rate"]: trial.status for trial in sweep.record.trials.values()}
    assert sorted(ends) == [1e-4, 3e-4, 1e-3]
    winner = sweep.winner()
    assert winner is not None and winner.status == "whole"
    best = min(space["train.learning_rate"]["choice"], key=lambda rate: min(losses({"train.learning_rate": rate}, 0)))
    assert winner.config["train.learning_rate"] == best


def test_what_came_to_its_end_is_trained_with_other_seeds_and_their_mean_counts(tmp_path: Path) -> None:
    space = {"train.learning_rate": {"choice": [1e-4, 3e-4, 1e-3]}}
    given = section(500, "cost-aware", "none", 0, space=space, trials=3, seeds=3)
    sweep = play(given, tmp_path, 0, Costs())
    trials = list(sweep.record.trials.values())
    seeds = Counter((trial.config["train.learning_rate"], trial.config.get("train.seed", 0)) for trial in trials)
    assert seeds == {(rate, seed): 1 for rate in (1e-4, 3e-4, 1e-3) for seed in (0, 1, 2)}
    means = {
        rate: mean(min(losses(trial.config, 0)) for trial in trials if trial.config["train.learning_rate"] == rate)
        for rate in (1e-4, 3e-4, 1e-3)
    }
    winner = sweep.winner()
    assert winner is not None and winner.config["train.learning_rate"] == min(means, key=lambda rate: means[rate])

    poor = play(section(80, "cost-aware", "none", 0, space=space, trials=3, seeds=3), tmp_path / "poor", 0, Costs())
    assert [trial.config.get("train.seed") for trial in poor.record.trials.values()] == [None, 1, 2]


def test_the_cheapest_configuration_is_where_flaml_begins_and_a_killed_sweep_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("flaml")
    space = {
        "train.learning_rate": {"type": "loguniform", "low": 1e-4, "high": 3e-3},
        "train.epochs": {"choice": [1, 2]},
        "method.rank": {"type": "randint", "low": 4, "high": 32},
        "method.alpha": {"type": "uniform", "low": 8, "high": 64, "when": {"train.epochs": 2}},
    }
    given = section(THIRD, "cfo", "asha", 0, space=space)
    dead = play(given, tmp_path, 0, Costs(), die_at=20)
    alive = play(given, tmp_path, 0, Costs())
    trials = list(alive.record.trials.values())
    assert len(trials) > len(dead.record.trials) > 1
    assert trials[0].config["train.epochs"] == 1
    assert all(("method.alpha" in trial.config) == (trial.config["train.epochs"] == 2) for trial in trials)
    assert all(isinstance(trial.config["method.rank"], int) for trial in trials)
    assert alive.winner()
