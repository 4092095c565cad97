"""A notice at a double of the metadata service, a real Ray cluster: the watcher drains its node, and training moves."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from tests.integration.hosts import wait_until
from tests.metadata import Metadata, serving
from tests.unit.train import tiny
from tunesmith.train import ray_cluster
from tunesmith.train.driver import run_on_ray
from tunesmith.train.job import STOP
from tunesmith.train.loop import Loop
from tunesmith.train.sinks import METRICS, read_events
from tunesmith.train.wishes import Wishes

ACTION = "/latest/meta-data/spot/instance-action"


def interrupt(double: Metadata, seconds: float = 120) -> None:
    """What AWS announces two minutes ahead."""
    at = datetime.fromtimestamp(time.time() + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    double.answers[ACTION] = f'{{"action": "terminate", "time": "{at}"}}'


@contextmanager
def watcher(double: Metadata, address: str, node: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The watcher of one node, as its launcher file starts it."""
    command = [sys.executable, "-m", "tunesmith.cluster.spot", "aws", "--address", address, "--node", node]
    with log.open("ab") as output:
        process = subprocess.Popen([*command, "--metadata", double.url, "--every", "0.5"], stderr=output)
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head that runs no work, and what nodes a test adds."""
    for name, value in ray_cluster.ENVIRONMENT.items():
        monkeypatch.setenv(name, os.environ.get(name, value))
    import ray
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 100 << 20})
    try:
        yield made
    finally:
        ray.shutdown()
        made.shutdown()


@pytest.mark.slow
def test_a_notice_drains_the_node_it_is_for_and_no_other(cluster: Any, tmp_path: Path) -> None:
    """The watcher starts before its metadata service answers, is killed, started again, and drains all the same."""
    import ray

    first = cluster.add_node(num_cpus=1, object_store_memory=100 << 20)
    second = cluster.add_node(num_cpus=1, object_store_memory=100 << 20)
    ray.init(address=cluster.address, log_to_driver=False)

    @ray.remote(num_cpus=1)
    def where() -> str:
        return str(ray.get_runtime_context().get_node_id())

    log = tmp_path / "spot.log"
    with serving("aws") as double:
        double.broken = True
        with watcher(double, cluster.address, first.node_id, log):
            wait_until(lambda: "nothing is known" in log.read_text(), 60, "a word on the missing service")
        double.broken = False
        with watcher(double, cluster.address, first.node_id, log) as process:
            wait_until(lambda: "nothing is announced" in log.read_text(), 60, "a word on the quiet service")
            assert process.poll() is None
            interrupt(double)
            assert process.wait(30) == 0
    assert f"node {first.node_id} is drained" in log.read_text()
    # Nothing new is placed on the node that goes.
    assert set(ray.get([where.remote() for _ in range(6)])) == {second.node_id}


@pytest.mark.cluster
@pytest.mark.slow
def test_training_checkpoints_and_moves_before_the_machine_is_taken_away(
    cluster: Any, tmp_path: Path, model: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One worker on the node that gets the notice; it goes on, on the other node, and no step is done twice."""
    import ray

    endless = {"epochs": 20_000, "batch_size": 13, "micro_batch_tokens": 16}
    endless |= {"eval_every": 20_000, "checkpoint_every": 20_000}
    one = tiny.make_job(tmp_path / "one", model, dataset, endless)
    job = tiny.make_job(tmp_path / "moving", model, dataset, endless)
    spot = cluster.add_node(num_cpus=1, object_store_memory=100 << 20)
    ray.init(address=cluster.address, log_to_driver=False)
    log, told = tmp_path / "spot.log", []

    def starts() -> int:
        return sum(event["event"] == "start" for event in read_events(job.folder))

    def trains() -> bool:
        return bool(starts()) and read_events(job.folder)[-1]["event"] == "step"

    with serving("aws") as double, watcher(double, cluster.address, spot.node_id, log):
        acts: list[tuple[Callable[[], bool], Callable[[], Any]]] = [
            (trains, lambda: (cluster.add_node(num_cpus=1, object_store_memory=100 << 20), interrupt(double))),
            (lambda: starts() > 1 and trains(), (job.folder / STOP).touch),
        ]

        def act() -> None:
            if acts and acts[0][0]():
                acts.pop(0)[1]()

        run_on_ray(job, job.load_recipe().resources, 1, 0, act, told.append)
    assert not acts, (told, log.read_text())
    assert f"node {spot.node_id} is drained" in log.read_text()
    events = read_events(job.folder)
    steps = [event["step"] for event in events if event["event"] == "step"]
    assert steps == list(range(1, steps[-1] + 1))
    assert [size for size, _ in groupby(event["world_size"] for event in events if event["event"] == "start")] == [1]
    undisturbed = Loop(one)
    monkeypatch.setattr(undisturbed, "_mine", lambda step: Wishes(stop=float(step == steps[-1])))
    undisturbed.run()
    losses = {event["step"]: event["train_loss"] for event in events if event["event"] == "step"}
    assert losses == pytest.approx(
        {event["step"]: event["train_loss"] for event in read_events(one.folder) if event["event"] == "step"}, abs=1e-5
    )
    assert (job.folder / METRICS).is_file()
