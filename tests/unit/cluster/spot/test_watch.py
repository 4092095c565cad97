"""The loop that watches: what it does when the service is away, when the head is away, and what it writes."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Sequence

import pytest

from tests.metadata import serving
from tunesmith.cluster.spot.__main__ import lock_file
from tunesmith.cluster.spot.drain import NoNode
from tunesmith.cluster.spot.notice import Notice, Unreachable
from tunesmith.cluster.spot.watch import watch

GOES = Notice("AWS will terminate this spot instance", 118)
MAY_GO = Notice("AWS sees a higher risk of interruption", 120, certain=False)


class Script:
    """A service that says one thing after the other, and the time that passes meanwhile."""

    def __init__(self, *says: Notice | Exception | None) -> None:
        self.says: list[Notice | Exception | None] = list(says)
        self.slept: list[float] = []

    def look(self, now: float) -> Notice | None:
        said = self.says.pop(0)
        if isinstance(said, Exception):
            raise said
        return said


def run(script: Script, drains: Sequence[str | Exception] = ("a1b2",), early: bool = False) -> list[Notice]:
    left, drained = list(drains), []

    def drain(notice: Notice) -> str:
        drained.append(notice)
        result = left.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    watch(script, drain, early, every=5, clock=lambda: 0.0, sleep=script.slept.append)
    assert not script.says
    assert not left
    return drained


def test_the_service_may_be_away_and_come_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tunesmith.spot")
    away = Unreachable("http://x does not answer: timed out")
    script = Script(away, *[away] * 5, None, None, away, away, away, GOES)
    assert run(script) == [GOES]
    # Once it has answered, an outage does not make a notice of half a minute come and go unseen.
    assert script.slept == [10, 20, 40, 60, 60, 60, 5, 5, 5, 5, 5]
    assert caplog.messages == [
        "nothing is known: http://x does not answer: timed out",
        "the metadata service answers; nothing is announced",
        "nothing is known: http://x does not answer: timed out",
        "AWS will terminate this spot instance in 118 s: draining this node",
        "node a1b2 is drained: training checkpoints and moves",
    ]


def test_a_drain_that_does_not_work_is_tried_again_soon(caplog: pytest.LogCaptureFixture) -> None:
    script = Script(GOES, GOES, GOES)
    away = NoNode("the head at 10.0.0.1:6379 does not answer")
    assert run(script, [away, away, "a1b2"]) == [GOES] * 3
    assert script.slept == [1, 1]
    assert caplog.messages.count("the node could not be drained: the head at 10.0.0.1:6379 does not answer") == 2


def test_a_recommendation_is_written_down_once_and_drains_only_when_asked_to(caplog: pytest.LogCaptureFixture) -> None:
    assert run(Script(MAY_GO, MAY_GO, None, GOES)) == [GOES]
    assert sum("waiting for the notice itself" in message for message in caplog.messages) == 1
    assert run(Script(None, MAY_GO), early=True) == [MAY_GO]


def test_a_second_watcher_leaves_at_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    """`ray up` run again starts one more; the first goes on."""
    node = tmp_path_factory.mktemp("node").name
    with serving("aws") as double:
        module = [sys.executable, "-m", "tunesmith.cluster.spot", "aws", "--address", "127.0.0.1:1", "--node", node]
        command = [*module, "--metadata", double.url]
        first = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            double.wait_until_asked("/latest/meta-data/spot/instance-action")
            second = subprocess.run(command, capture_output=True, text=True, timeout=60)
            assert second.returncode == 0
            assert "another watcher is at work on this node" in second.stderr
            assert first.poll() is None
        finally:
            first.kill()
            first.communicate()
    lock_file(node).unlink()
