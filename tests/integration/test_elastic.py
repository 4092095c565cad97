"""A run whose cluster shrinks and grows under it goes on with the workers there is room for, to the same losses."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.chaos import Chaos, losses_differ
from tests.integration.chaos_project import undisturbed, write_project
from tests.integration.hosts import why_not
from tests.integration.ray_hosts import RayHosts

STEPS, EVERY = 5000, 5
"""More steps than any machine does while hosts come and go; the run is stopped when they have."""


@pytest.mark.cluster
@pytest.mark.slow
def test_two_workers_become_one_then_three_then_two_and_nothing_else_changes(tmp_path: Path) -> None:
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)  # also in CI: whether namespaces may be made is the container's to say
    project = write_project(tmp_path, STEPS, EVERY, workers={"min": 1, "max": 3})
    with RayHosts(tmp_path / "hosts", 3, cpus=[1, 1, 1]) as hosts:
        hosts.join([1, 2])
        chaos = Chaos(hosts, project)
        with chaos.watch as watch:
            chaos.drive()
            chaos.reach(3)
            hosts.kill(2)
            chaos.wait(lambda: watch.workers()[-1] == 1, 240, "one worker")
            hosts.start(2)
            hosts.join([2, 3])
            chaos.wait(lambda: watch.workers()[-1] == 3, 300, "three workers")
            hosts.kill(3)
            chaos.wait(lambda: watch.workers()[-1] == 2, 240, "two workers")
            chaos.reach(watch.furthest + 2 * EVERY)
            chaos.stop()
    expected = undisturbed(project, until=watch.furthest)
    sizes = watch.workers()
    assert sizes in ([2, 1, 3, 2], [2, 1, 2, 3, 2])  # the two that come may be seen one after the other
    assert {step for step, _ in watch.losses()} == set(range(1, watch.furthest + 1))
    assert losses_differ(watch.losses(), expected) < 1e-5
    assert chaos.most_lost() <= EVERY
    grown = next(start for start, _, _ in watch.starts() if start.event["world_size"] == 3)
    assert grown.step == max(told.step for told in watch.told if told.kind == "step" and told.at <= grown.at)
