"""Where metrics go: a JSONL file always, other trackers when the recipe says so. None of those can fail a run."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from tunesmith.recipe.schema import Recipe

METRICS = "metrics.jsonl"
MLFLOW_TAG = "tunesmith.run"


class Sink(Protocol):
    """A tracker."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Take the numbers of a step."""

    def close(self, status: str) -> None:
        """Send what is left; `status` is that of the result, or `failed`."""


class JsonLines:
    """One line of JSON an event, only ever appended to: a resumed run says `start` with the step it goes on from."""

    def __init__(self, folder: Path) -> None:
        path = folder / METRICS
        cut = _is_cut(path)
        self.file = path.open("a", encoding="utf-8", buffering=1)
        if cut:  # the last attempt died in the middle of a line
            self.file.write("\n")

    def write(self, event: Mapping[str, Any]) -> None:
        """Append an event."""
        self.file.write(json.dumps(event) + "\n")

    def close(self) -> None:
        """Bring the lines to the disk."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()


def _is_cut(path: Path) -> bool:
    if not path.is_file() or not path.stat().st_size:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() != b"\n"


def read_events(folder: Path) -> list[dict[str, Any]]:
    """The events of the run as it counts: without lines cut short, and without steps that were done again."""
    path = folder / METRICS
    if not path.is_file():
        return []
    events: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if event["event"] in ("start", "rewound"):
            events = [earlier for earlier in events if earlier.get("step", 0) <= event["step"]]
        events.append(event)
    return events


class Mlflow:
    """Mirror to an MLflow server: one MLflow run for a run, however often it is resumed."""

    package = 'pip install "tunesmith[track]"'

    def __init__(self, recipe: Recipe, run_id: str) -> None:
        # MLflow's own defaults wait four minutes for a server that does not answer.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        from mlflow.tracking import MlflowClient

        section = recipe.tracking.mlflow
        assert section is not None
        self.client = MlflowClient(section.tracking_uri)
        experiment = self.client.get_experiment_by_name(section.experiment)
        number = experiment.experiment_id if experiment else self.client.create_experiment(section.experiment)
        earlier = self.client.search_runs([number], f"tags.`{MLFLOW_TAG}` = '{run_id}'", max_results=1)
        if earlier:
            self.run = earlier[0].info.run_id
            self.client.update_run(self.run, status="RUNNING")
        else:
            self.run = self.client.create_run(number, run_name=run_id, tags={MLFLOW_TAG: run_id}).info.run_id
            self.client.log_param(self.run, "recipe", recipe.name)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Send the numbers of a step."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self.client.log_batch(self.run, metrics=[Metric(key, value, now, step) for key, value in values.items()])

    def close(self, status: str) -> None:
        """Mark the run as ended."""
        self.client.set_terminated(self.run, {"failed": "FAILED", "interrupted": "KILLED"}.get(status, "FINISHED"))


class Wandb:
    """Mirror to Weights & Biases."""

    package = "pip install wandb"

    def __init__(self, recipe: Recipe, run_id: str) -> None:
        import wandb

        section = recipe.tracking.wandb
        assert section is not None
        self.run = wandb.init(project=section.project, mode=section.mode, id=run_id, name=run_id, resume="allow")

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Send the numbers of a step."""
        self.run.log(dict(values), step=step)

    def close(self, status: str) -> None:
        """Upload what is left."""
        self.run.finish(exit_code=int(status == "failed"))


SINKS: dict[str, type[Mlflow] | type[Wandb]] = {"mlflow": Mlflow, "wandb": Wandb}
"""Key of the recipe's `tracking` section -> tracker."""


class Mirrors:
    """The trackers that the recipe asks for, each dropped with one warning when it fails."""

    def __init__(self, recipe: Recipe, run_id: str, warn: Callable[[str], None]) -> None:
        self.warn = warn
        self.sinks: dict[str, Sink] = {}
        for name, make in SINKS.items():
            if getattr(recipe.tracking, name) is not None:
                self._guard(name, lambda name=name, make=make: self.sinks.__setitem__(name, make(recipe, run_id)))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Take the numbers of a step to every tracker that still works."""
        for name, sink in list(self.sinks.items()):
            self._guard(name, lambda sink=sink: sink.log(step, values))

    def close(self, status: str) -> None:
        """End every tracker that still works."""
        for name, sink in list(self.sinks.items()):
            self._guard(name, lambda sink=sink: sink.close(status))

    def _guard(self, name: str, action: Callable[[], Any]) -> None:
        try:
            action()
        except (Exception, SystemExit) as error:  # a tracker may raise anything, and none of it may stop the run
            self.sinks.pop(name, None)
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            if isinstance(error, ImportError):
                reason = f"a package is missing ({error}); {SINKS[name].package}"
            self.warn(f"tracking.{name} does not work and is left out from here on: {reason}")
