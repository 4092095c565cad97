"""A Ray cluster over hosts in namespaces, as it would run on machines: one node a host, the head on host 1."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from tests.integration.hosts import Hosts, address, wait_until

PORT = 6379
OBJECT_STORE = 80_000_000
TRIES = 3
"""Ray gives a node half a minute to start, which is little on a busy machine; a supervisor would try again, too."""

SETTINGS = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # A node that is silent for five seconds is dead; with Ray's own settings it is after half a minute.
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "5",
    # Without these a call to a host that is cut off ends after seven minutes.
    "RAY_grpc_client_keepalive_time_ms": "5000",
    "RAY_grpc_client_keepalive_timeout_ms": "5000",
    "PYTHONWARNINGS": "ignore",
}
"""Environment of every node and of the driver."""


def environment(**more: str) -> dict[str, str]:
    """This process's environment with the cluster's settings and `more`."""
    return {**os.environ, **SETTINGS, **more}


class RayHosts(Hosts):
    """Hosts with a Ray node on each of them that is up."""

    def __init__(self, folder: Path, count: int, cpus: Sequence[int], hidden: Sequence[Path] = ()) -> None:
        """`cpus` are those that each node offers to workers, from host 1 on."""
        super().__init__(folder, count, hidden)
        self.cpus = cpus

    def join(self, numbers: Sequence[int]) -> None:
        """Start the nodes of these hosts at the same time, the head's first; returns when they have joined."""
        if 1 in numbers:
            head = ["--head", f"--port={PORT}", f"--dashboard-host={address(1)}"]
            self.run(1, self._node(1, *head), env=environment())
        missing = [number for number in numbers if number != 1]
        for _ in range(TRIES):
            starting = {number: self._begin(number) for number in missing}
            said = {number: process.communicate(timeout=180)[0] for number, process in starting.items()}
            missing = [number for number, process in starting.items() if process.returncode]
            for number in missing:
                self._clear(number)
        assert not missing, f"the nodes of hosts {missing} did not start: {said[missing[0]][-3000:]}"

    def rejoin(self, number: int) -> None:
        """Bring a host that was killed, or whose node was given up by the head, back into the cluster."""
        if number in self.holders:
            self._clear(number)
        else:
            self.start(number)
        self.join([number])

    def kill_process(self, number: int, named: str) -> int:
        """Kill the newest process of a host whose command line holds `named` as the system would, without notice."""
        found = wait_until(lambda: self.processes(number, named), 60, f"{named} on host {number}")
        process = max(found, key=lambda process: process.create_time())
        process.send_signal(signal.SIGKILL)
        return int(process.pid)

    def _clear(self, number: int) -> None:
        for process in self.processes(number):
            with suppress(psutil.Error):
                process.kill()

    def _begin(self, number: int) -> Any:
        command = self._node(number, f"--address={address(1)}:{PORT}")
        return self.popen(number, command, self.folder, env=environment(), stdout=-1, stderr=-2, text=True)

    def _node(self, number: int, *options: str) -> list[str]:
        ray = str(Path(sys.executable).parent / "ray")
        own = [f"--node-ip-address={address(number)}", f"--num-cpus={self.cpus[number - 1]}"]
        return [ray, "start", *own, f"--object-store-memory={OBJECT_STORE}", "--disable-usage-stats", *options]
