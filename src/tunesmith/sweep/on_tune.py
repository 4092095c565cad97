"""The conductor's decisions in the words of Ray Tune: a searcher, a scheduler, and the tuner that runs the trials."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune import CheckpointConfig, FailureConfig, RunConfig, TuneConfig
from ray.tune.execution.placement_groups import PlacementGroupFactory
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from tunesmith.sweep.conductor import Conductor
from tunesmith.sweep.record import Status, Trial
from tunesmith.sweep.trainable import TrialProcess

MAX_CRASHES = 2
"""A trial whose process dies more often counts as broken."""

ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the runs have their own metrics
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # the last word of a trial holds no loss
    "TUNE_MAX_PENDING_TRIALS_PG": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # the sweep's journal is what it goes on from
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # or each report of workers within a trial costs two seconds
}

JobOf = Callable[[Trial], dict[str, Any]]
"""What a trial's process is told: see `TrialProcess`."""


class Unkept:
    """Tune writes its searcher and scheduler to the disk to go on from; ours go on from the sweep's journal."""

    def __reduce__(self) -> tuple[Any, ...]:
        return object, ()

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self


class Choice(Unkept, Searcher):
    """Asks the conductor for the next trial. Tune's own names of trials stay in here."""

    def __init__(self, conductor: Conductor, job_of: JobOf) -> None:
        super().__init__(metric="loss", mode="min")
        self.conductor, self.job_of = conductor, job_of
        self.names: dict[str, str] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial's job; None while others run whose end may free dollars, FINISHED when there is no more."""
        trial = self.conductor.next()
        if trial is None:
            return None if self.conductor.running else Searcher.FINISHED
        self.names[trial_id] = trial.name
        return {"trial": trial.name, **self.job_of(trial)}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """The decision has been noted by the scheduler; what is left are processes that died too often."""
        name = self.names[trial_id]
        if error and self.conductor.record.trials[name].status == "waiting":
            self.conductor.end(name, "broken", "its process died too often")

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the sweep's journal has it."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the sweep's journal has it."""


class Decisions(Unkept, FIFOScheduler):
    """Passes each validation loss to the conductor, and stops what it says must stop."""

    def __init__(self, conductor: Conductor, told: Callable[[Trial, dict[str, Any]], None]) -> None:
        super().__init__()
        self.conductor, self.told = conductor, told

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Take a validation loss."""
        name = trial.config["trial"]
        if "problem" in result or "whole" in result:
            return str(TrialScheduler.CONTINUE)  # `done` is set: `on_trial_complete` follows
        status = self.conductor.report(name, result["step"], result["loss"], result["share"])
        self._tell(name, result)
        if status is None:
            return str(TrialScheduler.CONTINUE)
        self._end(name, status)
        return str(TrialScheduler.STOP)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Take the end of a trial that was not stopped from here."""
        name = trial.config["trial"]
        known = self.conductor.record.trials[name]
        if known.status != "waiting":
            return
        if "problem" in result:
            self._end(name, "broken", result["problem"])
            return
        last = result.get("last")
        if last and (not known.reports or known.reports[-1].step < last["step"]):
            self.conductor.report(name, last["step"], last["loss"], last["share"])
        self._end(name, "whole" if result.get("whole") else "early")

    def _end(self, name: str, status: Status, problem: str | None = None) -> None:
        self.conductor.end(name, status, problem)
        self._tell(name, {"status": status})

    def _tell(self, name: str, result: dict[str, Any]) -> None:
        self.told(self.conductor.record.trials[name], result)


def run_trials(
    conductor: Conductor,
    job_of: JobOf,
    folder: Path,
    need: dict[str, float],
    told: Callable[[Trial, dict[str, Any]], None],
) -> None:
    """Run trials until there is none left that is worth its dollars. Ray must be connected.

    `need` is what the process of a trial needs; `told` is called with each report and each end.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for name in ("ray.tune", "ray.train"):
        logging.getLogger(name).setLevel(logging.ERROR)
    concurrent = conductor.section.max_concurrent
    tuner = tune.Tuner(
        tune.with_resources(TrialProcess, PlacementGroupFactory([need])),
        tune_config=TuneConfig(
            search_alg=Choice(conductor, job_of),
            scheduler=Decisions(conductor, told),
            num_samples=-1,
            max_concurrent_trials=concurrent,
            reuse_actors=True,
        ),
        run_config=RunConfig(
            name="tune",
            storage_path=str(folder),
            verbose=0,
            failure_config=FailureConfig(max_failures=MAX_CRASHES),
            checkpoint_config=CheckpointConfig(checkpoint_at_end=False),
        ),
    )
    tuner.fit()
