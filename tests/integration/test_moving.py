"""Workers on a cluster that changes under them: room for more, a node that is about to go, a worker that hangs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.integration.workers import assert_equal
from tests.unit.train import tiny
from tunesmith.train import ray_cluster
from tunesmith.train.driver import run_on_ray
from tunesmith.train.heartbeat import signs
from tunesmith.train.job import STOP, TrainJob
from tunesmith.train.loop import Loop
from tunesmith.train.sinks import METRICS, read_events
from tunesmith.train.wishes import Wishes

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


def losses(job: TrainJob) -> dict[int, float]:
    return {event["step"]: event["train_loss"] for event in read_events(job.folder) if event["event"] == "step"}


@pytest.mark.cluster
@pytest.mark.slow
def test_workers_join_and_leave_with_their_nodes_and_no_step_is_lost(
    tmp_path: Path, model: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One node; a second comes, and both train; the first is about to go, and the second goes on alone."""
    for name, value in ray_cluster.ENVIRONMENT.items():
        monkeypatch.setenv(name, os.environ.get(name, value))
    import ray
    from ray.cluster_utils import Cluster

    endless = {**SLOW, "epochs": 20_000, "eval_every": 20_000, "checkpoint_every": 20_000}
    resources = {"workers": {"min": 1, "max": 2}}
    one = tiny.make_job(tmp_path / "one", model, dataset, endless)
    job = tiny.make_job(tmp_path / "moving", model, dataset, endless, resources=resources)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 100 << 20})
    first = cluster.add_node(num_cpus=1, object_store_memory=100 << 20)
    ray.init(address=cluster.address, log_to_driver=False)

    def drain() -> None:
        gcs = ray._private.worker.global_worker.gcs_client
        gcs.drain_node(first.node_id, 2, "spot interruption", int((time.time() + 300) * 1000))

    def worlds() -> list[int]:
        return [event["world_size"] for event in read_events(job.folder) if event["event"] == "start"]

    def on(workers: int) -> bool:
        """Whether so many train, and have done a step."""
        return worlds()[-1:] == [workers] and read_events(job.folder)[-1]["event"] == "step"

    told: list[str] = []
    acts = InOrder(
        (lambda: on(1), lambda: cluster.add_node(num_cpus=1, object_store_memory=100 << 20)),
        (lambda: on(2), drain),
        (lambda: on(1) and len(worlds()) > 2, (job.folder / STOP).touch),
    )
    try:
        run_on_ray(job, job.load_recipe().resources, 1, 0, acts, told.append)
        assert not acts.left, (told, worlds())
    finally:
        ray.shutdown()
        cluster.shutdown()
    # Ray may hear late of a node, and start as many again.
    assert [size for size, _ in groupby(worlds())] == [1, 2, 1]
    assert "there is room for more than 1 worker: restarting" in told
    # Every worker left with a checkpoint of its last step: no step was done twice.
    furthest = last_step(job)
    assert (job.folder / METRICS).read_text().count('"event": "step"') == furthest
    undisturbed = Loop(one)
    monkeypatch.setattr(undisturbed, "_mine", lambda step: Wishes(stop=float(step == furthest)))
    undisturbed.run()
    assert losses(job) == pytest.approx(losses(one), abs=1e-5)


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
