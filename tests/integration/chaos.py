"""`tunesmith train` on hosts in namespaces while workers, nodes, links and the driver itself are taken from it."""

from __future__ import annotations

import itertools
import math
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.chaos_project import ENVIRONMENT, command
from tests.integration.hosts import address
from tests.integration.ray_hosts import PORT, RayHosts, environment
from tests.integration.watch import Watch

WORKER = "RayTrainWorker"
DRIVER = "tunesmith train"
CUT_SECONDS = 8.0
"""Long enough for the head to give the host up."""


@dataclass(frozen=True)
class Blow:
    """Something taken from a run: `kind`, on which host, at which step (the furthest done), when (monotonic)."""

    kind: str
    host: int
    step: int
    at: float


@dataclass(frozen=True)
class Recovery:
    """What a blow cost: the step the run went on after, steps to do again, seconds until the first of them was done,
    and workers then."""

    blow: Blow
    resumed: int
    lost: int
    seconds: float
    workers: int


class Chaos:
    """A run whose driver is on host 1, the head's; what is struck comes back, as a supervisor would see to it."""

    def __init__(self, hosts: RayHosts, project: Path, seed: int = 0, may_give_up: int = 0) -> None:
        """`may_give_up` is how often the driver may end with an error of its own and is given the command again."""
        self.hosts, self.project, self.may_give_up = hosts, project, may_give_up
        self.rng = random.Random(seed)
        self.home, self.log = project / "home", project / "driver.log"
        self.watch = Watch(self.home)
        self.blows: list[Blow] = []
        self.gave_up = 0
        self.kinds: dict[str, Callable[[int], None]] = {
            "worker": self._worker, "node": self._node, "link": self._link, "driver": self._driver,
        }  # fmt: skip

    def drive(self) -> None:
        """Give the command."""
        where = {"TUNESMITH_HOME": str(self.home), "RAY_ADDRESS": f"{address(1)}:{PORT}"}
        with self.log.open("ab") as log:
            self.driver = self.hosts.popen(
                1, command(), self.project, env=environment(**ENVIRONMENT, **where), stdout=log, stderr=log
            )

    def strike(self, kind: str) -> Blow:
        """Strike once, mend what can be mended, and return when the run goes on."""
        host = self._victim(kind)
        blow = Blow(kind, host, self.watch.furthest, time.monotonic())
        self.blows.append(blow)
        self.kinds[kind](host)
        self.wait(lambda: self.watch.back_since(blow.at), 180, f"back after {blow}")
        return blow

    def reach(self, step: int, seconds: float = 240) -> None:
        """Wait until a step has been done."""
        self.wait(lambda: self.watch.furthest >= step, seconds, f"step {step}")

    def finish(self, seconds: float = 240) -> None:
        """Wait for the driver's own end."""
        self.wait(lambda: self.driver.poll() == 0, seconds, "the end of the run")

    def stop(self) -> None:
        """Ctrl-C, and the orderly end that it asks for."""
        for process in self.hosts.processes(1, DRIVER):
            process.send_signal(signal.SIGINT)
        assert self.driver.wait(120) == 2, self._said()

    def wait(self, condition: Callable[[], Any], seconds: float, what: str) -> None:
        """Wait while the driver lives. Raises AssertionError with what it printed when it ends, or in the end."""
        deadline = time.monotonic() + seconds
        while not condition():
            code = self.driver.poll()
            if code is not None and code != 0 and self.gave_up < self.may_give_up:
                self.gave_up += 1
                self.drive()
            elif code is not None and not condition():
                raise AssertionError(f"the driver ended with {code} before {what}: {self._said()}")
            assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}: {self._said()}"
            time.sleep(0.02)

    def recoveries(self) -> list[Recovery]:
        """What each blow cost that the run has recovered from."""
        found = []
        for blow in self.blows:
            for start, furthest, first in itertools.islice((s for s in self.watch.starts() if s[0].at > blow.at), 1):
                workers = start.event["world_size"]
                found.append(Recovery(blow, start.step, furthest - start.step, first.at - blow.at, workers))
        return found

    def most_lost(self) -> int:
        """The most steps that any start of the run was behind the furthest one."""
        return max((furthest - start.step for start, furthest, _ in self.watch.starts()), default=0)

    def _victim(self, kind: str) -> int:
        if kind == "driver":
            return 1

        def at_work() -> list[int]:
            numbers = [number for number in self.hosts.holders if number != 1 or kind == "worker"]
            return sorted(number for number in numbers if self.hosts.processes(number, WORKER))

        self.wait(at_work, 120, "a worker where it can be taken")  # after a loss, the run has to grow first
        return self.rng.choice(at_work())

    def _worker(self, host: int) -> None:
        self.hosts.kill_process(host, WORKER)

    def _node(self, host: int) -> None:
        self.hosts.kill(host)
        self.hosts.rejoin(host)

    def _link(self, host: int) -> None:
        self.hosts.cut(host)
        time.sleep(CUT_SECONDS)
        self.hosts.mend(host)
        self.hosts.rejoin(host)

    def _driver(self, host: int) -> None:
        self.hosts.kill_process(host, DRIVER)
        try:
            self.driver.wait(30)
        finally:
            self.drive()

    def _said(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]


def losses_differ(told: list[tuple[int, float]], expected: dict[int, float]) -> float:
    """The largest difference of any step's loss, those done again included, from the undisturbed run's; infinite when
    no step was done."""
    return max((abs(loss - expected[step]) for step, loss in told), default=math.inf)
