"""Workers that share no files with the driver, on one machine: the same losses, also when one is killed."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
import pytest

from tests.integration.test_moving import InOrder, last_step
from tests.integration.workers import assert_equal, on_gloo
from tests.unit.train import tiny
from tunesmith.errors import TrainError
from tunesmith.train.driver import run_on_ray
from tunesmith.train.heartbeat import signs
from tunesmith.train.job import TrainJob
from tunesmith.train.places import open_place
from tunesmith.train.remote.fetch import NODE_FOLDER
from tunesmith.train.remote.mirror import PREFIX
from tunesmith.train.sinks import read_events

TRAIN = {"epochs": 25, "batch_size": 4, "checkpoint_every": 10, "eval_every": 20}


@pytest.mark.cluster
@pytest.mark.slow
def test_what_workers_need_and_leave_travels_by_ray(
    s3_bucket: str, tmp_path: Path, model: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers; the driver's end is killed, and after a checkpoint the first of them: all has to be told anew."""
    undisturbed = tiny.make_job(tmp_path / "undisturbed", model, dataset, TRAIN)
    on_gloo(undisturbed, 2)
    places = {"workers": 2, "checkpoints": f"s3://{s3_bucket}/runs"}
    job: TrainJob = tiny.make_job(tmp_path / "driver" / "run", model, dataset, TRAIN, resources=places)
    node = tmp_path / "node"
    monkeypatch.setenv(NODE_FOLDER, str(node))
    seen: set[str] = set()
    killed: list[int] = []

    def kill_the_desk() -> None:
        [desk] = [one for one in psutil.Process().children(recursive=True) if "ray::Desk" in name_of(one)]
        killed.append(desk.pid)
        desk.send_signal(signal.SIGKILL)

    def kill_the_first() -> None:
        seen.update(path.name.split("-")[0] for path in node.iterdir())
        psutil.Process(signs(job.folder)[0].pid).send_signal(signal.SIGKILL)

    place = open_place(job.folder / "checkpoints", job.load_recipe().resources.checkpoints)
    acts = InOrder(
        (lambda: last_step(job) >= 5, kill_the_desk),
        (lambda: last_step(job) >= 25 and bool(place.steps()), kill_the_first),
    )
    run_on_ray(job, job.load_recipe().resources, 1, 0, acts)
    assert not acts.left
    assert killed
    assert {"dataset", "base"} <= seen
    starts = [event["step"] for event in read_events(job.folder) if event["event"] == "start"]
    assert len(starts) == 2
    assert starts[1] >= 20
    assert_equal(job, undisturbed)
    description = (job.artefact / "adapter_config.json").read_text()
    assert description == (undisturbed.artefact / "adapter_config.json").read_text()  # no folder of the worker's in it
    assert not (job.folder / "checkpoints").exists()
    assert not list((job.folder / "workers").glob("*.json"))
    assert len(list(node.glob(f"{PREFIX}*"))) <= 2  # of the two that were killed, as the others go with the first


def name_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@pytest.mark.cluster
@pytest.mark.slow
def test_checkpoints_that_would_be_lost_with_a_node_are_refused(
    tmp_path: Path, model: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job: TrainJob = tiny.make_job(tmp_path / "run", model, dataset, {"epochs": 1, "batch_size": 4})
    monkeypatch.setenv(NODE_FOLDER, str(tmp_path / "node"))
    with pytest.raises(TrainError) as caught:
        run_on_ray(job, job.load_recipe().resources, 1, 0, lambda: None)
    assert caught.value.where == "resources.checkpoints"
    assert "shares no files with the driver" in caught.value.what
    assert "s3://" in str(caught.value.fix)
