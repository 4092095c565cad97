"""Trackers mirror a run and cannot fail it; the JSONL file is always there."""

from __future__ import annotations

import builtins
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.unit.train.conftest import MakeJob
from tunesmith.recipe.schema import Recipe
from tunesmith.train import sinks
from tunesmith.train.job import STOP
from tunesmith.train.loop import Loop
from tunesmith.train.sinks import JsonLines, Mirrors, read_events

BOTH = {"mlflow": {"tracking_uri": "http://127.0.0.1:9"}, "wandb": {}}


def warnings_of(folder: Path) -> list[str]:
    return [event["text"] for event in read_events(folder) if event["event"] == "warning"]


def broken(where: str, error: BaseException) -> type:
    """A tracker that breaks down at construction, at a step or at the end."""

    class Broken:
        package = "pip install broken"

        def __init__(self, recipe: Recipe, run_id: str) -> None:
            self.raise_at("construction")

        def raise_at(self, place: str) -> None:
            if place == where:
                raise error

        def log(self, step: int, values: Mapping[str, float]) -> None:
            self.raise_at("log")

        def close(self, status: str) -> None:
            self.raise_at("close")

    return Broken


@pytest.mark.parametrize("error", [RuntimeError("no  server\nat all"), SystemExit(1), ConnectionError("gone")])
@pytest.mark.parametrize("where", ["construction", "log", "close"])
def test_a_tracker_that_breaks_never_fails_a_run_and_is_reported_once(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, where: str, error: BaseException
) -> None:
    monkeypatch.setitem(sinks.SINKS, "mlflow", broken(where, error))
    job = make_job({"epochs": 1, "batch_size": 7}, tracking={"mlflow": BOTH["mlflow"]})
    assert Loop(job).run().status == "finished"
    reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
    assert warnings_of(job.folder) == [f"tracking.mlflow does not work and is left out from here on: {reason}"]


def test_a_broken_tracker_does_not_silence_another(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Any] = []

    class Listening(broken("nowhere", ValueError())):  # type: ignore[misc]
        def log(self, step: int, values: Mapping[str, float]) -> None:
            heard.append((step, sorted(values)))

        def close(self, status: str) -> None:
            heard.append(status)

    monkeypatch.setitem(sinks.SINKS, "mlflow", broken("log", ValueError("no")))
    monkeypatch.setitem(sinks.SINKS, "wandb", Listening)
    job = make_job({"epochs": 1, "batch_size": 13}, tracking=BOTH)
    Loop(job).run()
    numbers = ["gradient_norm", "label_tokens", "label_tokens_per_second", "learning_rate", "passes_seconds"]
    numbers += ["seconds", "stalled_seconds", "tokens", "tokens_per_second", "total_seconds", "train_loss"]
    assert heard == [(1, numbers), (1, ["validation_loss"]), "finished"]


@pytest.mark.parametrize(
    ("name", "command"), [("mlflow", 'pip install "tunesmith[track]"'), ("wandb", "pip install wandb")]
)
def test_a_missing_package_is_one_warning_with_the_command(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, name: str, command: str
) -> None:
    real = builtins.__import__

    def without(module: str, *rest: Any, **named: Any) -> Any:
        if module.split(".")[0] == name:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
        return real(module, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    job = make_job({"max_steps": 2, "batch_size": 2}, tracking={name: BOTH[name]})
    assert Loop(job).run().status == "finished"
    assert warnings_of(job.folder) == [
        f"tracking.{name} does not work and is left out from here on: "
        f"a package is missing (No module named '{name}'); {command}"
    ]


def test_a_run_that_fails_is_closed_as_failed(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[str] = []

    class Listening(broken("nowhere", ValueError())):  # type: ignore[misc]
        def close(self, status: str) -> None:
            ends.append(status)

    monkeypatch.setitem(sinks.SINKS, "wandb", Listening)
    job = make_job({"batch_size": 4}, tracking={"wandb": {}})
    monkeypatch.setattr(Loop, "_evaluate", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        Loop(job).run()
    assert ends == ["failed"]


@pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("mlflow", "sqlalchemy")), reason="mlflow is not installed"
)
def test_mlflow_has_every_step_of_a_run_that_was_resumed(make_job: MakeJob, tmp_path: Path) -> None:
    """The real client on a database: one MLflow run for both attempts."""
    from mlflow.tracking import MlflowClient

    address = f"sqlite:///{tmp_path}/mlflow.db"
    tracking = {"mlflow": {"tracking_uri": address, "experiment": "tiny"}}
    job = make_job({"epochs": 2, "batch_size": 4}, tracking=tracking)
    (job.folder / STOP).touch()
    Loop(job).run()
    assert warnings_of(job.folder) == []
    client = MlflowClient(address)
    number = client.get_experiment_by_name("tiny").experiment_id
    assert [run.info.status for run in client.search_runs([number])] == ["KILLED"]
    (job.folder / STOP).unlink()
    Loop(job).run()
    (run,) = client.search_runs([number])
    assert run.info.status == "FINISHED"
    assert run.data.params == {"recipe": "tiny"}
    expected = {event["step"]: event["train_loss"] for event in read_events(job.folder) if event["event"] == "step"}
    logged = client.get_metric_history(run.info.run_id, "train_loss")
    assert {metric.step: metric.value for metric in logged} == pytest.approx(expected)
    assert all(metric.timestamp > 1_700_000_000_000 for metric in logged)


def test_a_server_that_does_not_answer_is_given_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    for name in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)
    told: list[str] = []
    recipe = Recipe.model_validate(
        {"name": "tiny", "model": {"source": "x"}, "data": {"train": "x"}, "tracking": {"mlflow": BOTH["mlflow"]}}
    )
    mirrors = Mirrors(recipe, "run", told.append)
    mirrors.log(1, {"loss": 1.0})
    assert len(told) == 1
    assert told[0].startswith("tracking.mlflow does not work and is left out from here on: ")


def test_events_of_steps_done_again_count_once(tmp_path: Path) -> None:
    lines = JsonLines(tmp_path)
    for event in (
        {"event": "start", "step": 0},
        {"event": "step", "step": 1},
        {"event": "step", "step": 2},
        {"event": "warning", "text": "kept"},
        {"event": "evaluation", "step": 2},
        {"event": "start", "step": 1},
        {"event": "step", "step": 2, "again": True},
    ):
        lines.write(event)
    lines.close()
    assert read_events(tmp_path) == [
        {"event": "start", "step": 0},
        {"event": "step", "step": 1},
        {"event": "warning", "text": "kept"},
        {"event": "start", "step": 1},
        {"event": "step", "step": 2, "again": True},
    ]
    assert read_events(tmp_path / "none") == []
