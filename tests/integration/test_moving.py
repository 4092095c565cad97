"""Workers on a cluster that changes under them: room for more, a node that is about to go, a worker that hangs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.integration.workers import assert_equal
from tests.unit.train import tiny
from tunesmith.train import lookout, ray_cluster
from tunesmith.train.driver import run_on_ray
from tunesmith.train.heartbeat import signs
from tunesmith.train.job import TrainJob
from tunesmith.train.loop import Loop
from tunesmith.train.sinks import METRICS, read_events

SLOW = {"epochs": 70, "batch_size": 13, "micro_batch_tokens": 16, "eval_every": 35, "checkpoint_every": 35}
"""70 steps of 13 micro-batches."""


def last_step(job: TrainJob) -> int:
    return max((event["step"] for event in read_events(job.folder) if event["event"] == "step"), default=0)


class InOrder:
    """Called a few times a second, does each act once its condition holds."""

    def __init__(self, *acts: tuple[Callable[[], bool], Callable[[], Any]]) -> None:
        self.left = list(acts)

    def __call__(self) -> None:
        if self.left and self.left[0][0]():
            self.left.pop(0)[1]()


@pytest.mark.slow
def test_workers_join_and_leave_with_their_nodes_and_no_step_is_lost(
    tmp_path: Path, model: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One node; a second comes, and both train; the first is about to go, and the second goes on alone."""
    for name, value in ray_cluster.ENVIRONMENT.items():
        monkeypatch.setenv(name, os.environ.get(name, value))
    import ray
    from ray.cluster_utils import Cluster

    monkeypatch.setattr(lookout, "RESIZE_SECONDS", 2.0)
    resources = {"workers": {"min": 1, "max": 2}}
    one = tiny.make_job(tmp_path / "one", model, dataset, SLOW)
    job = tiny.make_job(tmp_path / "moving", model, dataset, SLOW, resources=resources)
    Loop(one).run()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 100 << 20})
    first = cluster.add_node(num_cpus=1, object_store_memory=100 << 20)
    ray.init(address=cluster.address, log_to_driver=False)

    def drain() -> None:
        gcs = ray._private.worker.global_worker.gcs_client
        deadline = int((time.time() + 300) * 1000)
        gcs.drain_node(first.node_id, 2, "spot interruption", deadline)

    def world() -> int:
        return max((sign.world_size for sign in signs(job.folder) if sign.step), default=0)

    told: list[str] = []
    acts = InOrder(
        (lambda: last_step(job) >= 5, lambda: cluster.add_node(num_cpus=1, object_store_memory=100 << 20)),
        (lambda: world() == 2 and last_step(job) >= 10, drain),
    )
    try:
        run_on_ray(job, job.load_recipe().resources, 1, 0, acts, told.append)
        assert not acts.left, (told, [event for event in read_events(job.folder) if event["event"] == "start"])
    finally:
        ray.shutdown()
        cluster.shutdown()
    starts = [event for event in read_events(job.folder) if event["event"] == "start"]
    assert [event["world_size"] for event in starts] == [1, 2, 1]
    # Every worker left with a checkpoint of its last step: no step was done twice.
    content = (job.folder / METRICS).read_text()
    assert content.count('"event": "step"') == 70
    assert "there is room for more than 1 worker: restarting" in told
    assert_equal(job, one)


@pytest.mark.slow
def test_a_worker_that_hangs_is_named_and_the_run_goes_on(tmp_path: Path, model: Path, dataset: Path) -> None:
    resources = {"workers": 2, "hang_minutes": 0.1}
    train = {**SLOW, "checkpoint_every": 10}
    one = tiny.make_job(tmp_path / "one", model, dataset, train)
    job = tiny.make_job(tmp_path / "hanging", model, dataset, train, resources=resources)
    Loop(one).run()

    def stop_one() -> None:
        """As a process does whose disk or driver no longer answers."""
        worker = next(sign for sign in signs(job.folder) if sign.rank == 1)
        psutil.Process(worker.pid).send_signal(signal.SIGSTOP)

    told: list[str] = []
    acts = InOrder((lambda: last_step(job) >= 15, stop_one))
    run_on_ray(job, job.load_recipe().resources, 1, 0, acts, told.append)
    assert not acts.left
    [hung] = [text for text in told if text.startswith("the workers hung: ")]
    assert "worker 1 on " in hung
    assert "without a sign of life" in hung
    assert "worker 0" not in hung
    starts: list[dict[str, Any]] = [event for event in read_events(job.folder) if event["event"] == "start"]
    assert len(starts) == 2
    assert starts[1]["step"] >= 10
    assert_equal(job, one)
