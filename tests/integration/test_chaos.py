"""A run on a Ray cluster over two hosts from which everything is taken once: the same losses, little done twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.chaos import Chaos, losses_differ
from tests.integration.chaos_project import undisturbed, write_project
from tests.integration.hosts import why_not
from tests.integration.ray_hosts import RayHosts
from tunesmith.train.job import read_result

STEPS, EVERY = 60, 5
BLOWS = {8: "worker", 17: "node", 26: "link", 38: "driver"}


@pytest.mark.cluster
@pytest.mark.slow
def test_a_run_survives_the_loss_of_a_worker_a_node_a_link_and_its_driver(tmp_path: Path) -> None:
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)  # also in CI: whether namespaces may be made is the container's to say
    project = write_project(tmp_path, STEPS, EVERY, workers={"min": 1, "max": 2})
    expected = undisturbed(project)
    with RayHosts(tmp_path / "hosts", 2, cpus=[1, 1]) as hosts:
        hosts.join([1, 2])
        chaos = Chaos(hosts, project)
        with chaos.watch as watch:
            chaos.drive()
            for step, kind in BLOWS.items():
                chaos.reach(step)
                chaos.strike(kind)
            chaos.finish()
    print(*chaos.recoveries(), f"{watch.reads} checkpoints read", sep="\n")
    assert watch.run is not None
    result = read_result(watch.run)
    assert result is not None and result.steps == STEPS
    assert {step for step, _ in watch.losses()} == set(expected)
    assert losses_differ(watch.losses(), expected) < 1e-5
    assert chaos.most_lost() <= EVERY
    assert watch.reads and not watch.unreadable
