"""A sweep from recipe to winner: what trials share is made once, they run under one budget, the best is registered."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import dataclass, replace
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.errors import TrainError
from tunesmith.plan.catalog import load_catalog
from tunesmith.plan.money import usd
from tunesmith.plan.price import price_of
from tunesmith.plan.sizes import find_sizes
from tunesmith.plan.time import load_efficiency
from tunesmith.recipe.dump import content, dump_recipe
from tunesmith.recipe.fingerprint import fingerprint
from tunesmith.recipe.load import LoadedRecipe
from tunesmith.recipe.schema import Recipe
from tunesmith.store.durable import write_whole
from tunesmith.store.lock import only_one
from tunesmith.sweep.check import check_space
from tunesmith.sweep.conductor import Conductor
from tunesmith.sweep.costs import Costs
from tunesmith.sweep.front import front_of, knee_of
from tunesmith.sweep.page import write_page
from tunesmith.sweep.record import Record, Trial
from tunesmith.sweep.space import Config, Space, key
from tunesmith.train.run import Planned, plan_run

if TYPE_CHECKING:
    from rich.console import Console

    from tunesmith.run.pipeline import Outcome
    from tunesmith.store.home import Home

WINNER = "winner.yaml"


@dataclass(frozen=True)
class SweepResult:
    """How a sweep ended: all trials, the winner, its recipe's file, the page, and what the run made of it."""

    folder: Path
    trials: tuple[Trial, ...]
    winner: Trial
    recipe_file: Path
    page: Path
    spent: Decimal
    budget: Decimal
    seconds: float
    outcome: Outcome | None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        front = front_of(self.trials)
        knee = knee_of(front)
        return {
            "folder": str(self.folder),
            "spent_usd": str(self.spent),
            "max_usd": str(self.budget),
            "winner": self.winner.to_json(),
            "recipe": str(self.recipe_file),
            "page": str(self.page),
            "front": [trial.name for trial in front],
            "knee": knee.name if knee else None,
            "trials": [trial.to_json() for trial in self.trials],
            "seconds": self.seconds,
            "run": self.outcome.to_json() if self.outcome else None,
        }


def run_sweep(
    loaded: LoadedRecipe, home: Home, console: Console, usd_per_hour: Decimal | None = None, register: bool = True
) -> SweepResult:
    """Run a recipe's sweep, or go on with it where it was broken off.

    `usd_per_hour` is the price of this machine, by default what the recipe's `resources` say. Raises TunesmithError for
    what the user can mend; TrainError when no trial came to its end within the budget.
    """
    began = time.perf_counter()
    section = loaded.recipe.sweep
    if section is None:
        raise TrainError("the recipe has no `sweep` section", where=str(loaded.path), fix="see docs/recipe.md")
    _need_searcher(section.searcher.type)
    space = Space.from_section(section)
    check_space(loaded, space)
    trials = Trials(loaded, space, home, console)
    folder = home.folder / "sweeps" / f"{loaded.recipe.name}-{fingerprint(loaded.recipe)[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    with only_one(folder, "sweep"):
        costs, first_seed = trials.costs(usd_per_hour), loaded.recipe.train.seed
        conductor = Conductor(section, Record(folder), costs, trials.run_folder, first_seed=first_seed)
        _run(conductor, trials, folder, console)
        winner = conductor.winner()
        if winner is None:
            raise TrainError(
                f"no trial came to its end within {usd(section.budget)}",
                where="sweep.max_usd",
                fix="raise it and give the same command again, or take a smaller model or fewer steps",
            )
        _drop_what_lost(conductor, winner)
        file = folder / WINNER
        write_whole(file, trials.winning_recipe(winner, conductor).encode())
        kept = tuple(conductor.record.trials.values())
        page = write_page(folder, loaded.recipe.name, kept, winner, conductor.spent, section.budget)
        outcome = trials.register(winner) if register else None
    seconds = time.perf_counter() - began
    return SweepResult(folder, kept, winner, file, page, conductor.spent, section.budget, seconds, outcome)


class Trials:
    """The recipes and runs of configurations. Data, base model and sizes are found once."""

    def __init__(self, loaded: LoadedRecipe, space: Space, home: Home, console: Console) -> None:
        self.loaded, self.space, self.home, self.console = loaded, space, home, console
        self.values = content(loaded.recipe, defaults=False)
        self.planned: dict[str, Planned] = {}
        self.first = plan_run(self._loaded({}), home, console)

    def plan(self, config: Config) -> Planned:
        """The run of a configuration, its data prepared where it needs other data."""
        if key(config) not in self.planned:
            from rich.console import Console

            quiet = Console(stderr=True, quiet=True)
            self.planned[key(config)] = plan_run(self._loaded(config), self.home, quiet)
        return self.planned[key(config)]

    def run_folder(self, config: Config) -> str:
        """Where it trains."""
        return self.plan(config).job.run_folder

    def job(self, trial: Trial) -> dict[str, Any]:
        """What the trial's process is told."""
        planned = self.plan(trial.config)
        placement = planned.placement
        workers = planned.recipe.resources.most
        return {
            "job": planned.job.to_json(),
            "workers": workers,
            "cpus": placement.cpus,
            "gpus": placement.gpus,
        }

    def costs(self, usd_per_hour: Decimal | None) -> Costs:
        """What trials cost here."""
        machine = load_catalog().here
        manifest = json.loads((self.first.dataset.folder / "manifest.json").read_text(encoding="utf-8"))
        placement = self.first.placement
        held = placement.workers * placement.cpus / machine.cpus
        if placement.gpus and machine.num_accelerators:
            held = placement.workers * placement.gpus / machine.num_accelerators
        price = usd_per_hour
        if price is None:
            price = price_of(self.loaded.recipe.resources, load_catalog()).usd_per_hour
        shape, efficiency = find_sizes(self.loaded).shape, load_efficiency(self.home.folder)
        return Costs(self.values, self.space, shape, manifest, efficiency, machine, price, min(1.0, held))

    def winning_recipe(self, winner: Trial, conductor: Conductor) -> str:
        """The recipe of a trial as YAML, with its figures above."""
        best = winner.best
        assert best is not None
        lines = [
            f"# The best of {len(conductor.record.trials)} trials of the sweep in {self.loaded.path.name}, "
            f"which cost {usd(conductor.spent)} of {usd(conductor.section.budget)}.",
            f"# Validation loss {best.loss:.4f} at step {best.step}; its training cost {usd(winner.usd)}.",
        ]
        return "\n".join(lines) + "\n" + dump_recipe(self._loaded(winner.config).recipe)

    def register(self, winner: Trial) -> Outcome:
        """Evaluate and register what the winner has trained: its run is found, not made again."""
        from tunesmith.run.pipeline import run_recipe

        return run_recipe(self._loaded(winner.config), self.home, self.console)

    def _loaded(self, config: Config) -> LoadedRecipe:
        return replace(self.loaded, recipe=Recipe.model_validate(self.space.apply(self.values, config)))


def _need_searcher(name: str) -> None:
    """Refuse a searcher whose package is not installed."""
    package = {"tpe": "optuna", "blendsearch": "flaml", "cfo": "flaml"}.get(name)
    if package and find_spec(package) is None:
        raise TrainError(
            f"the searcher '{name}' needs {package}, which is not installed",
            where="sweep.searcher.type",
            fix='pip install "tunesmith[sweep]", or take cost-aware',
        )


def _run(conductor: Conductor, trials: Trials, folder: Path, console: Console) -> None:
    from tunesmith.sweep.on_tune import run_trials
    from tunesmith.sweep.show import Show
    from tunesmith.train.ray_cluster import connected

    first, section = trials.first, conductor.section
    nested = first.recipe.resources.most > 1
    placement = first.placement
    workers = placement.workers * section.max_concurrent
    need = {"CPU": 0.01} if nested else {"CPU": float(placement.cpus)}
    if placement.gpus and not nested:
        need["GPU"] = float(placement.gpus)
    shutil.rmtree(folder / "tune", ignore_errors=True)
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
    show = Show(conductor, console)
    with connected(placement.cpus * workers + int(nested), placement.gpus * workers), show:
        run_trials(conductor, trials.job, folder, need, show.told)
    show.summary()


def _drop_what_lost(conductor: Conductor, winner: Trial) -> None:
    """Keep of the others only the checkpoint with the lowest loss."""
    for trial in conductor.record.trials.values():
        if trial is winner or trial.best is None or trial.run_folder == winner.run_folder:
            continue
        kept = f"{trial.best.step}"
        for path in (Path(trial.run_folder) / "checkpoints").glob("step-*"):
            if path.name.removeprefix("step-").lstrip("0") != kept:
                shutil.rmtree(path, ignore_errors=True)
