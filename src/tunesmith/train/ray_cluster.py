"""The Ray cluster a run is on: one of our own on this machine or somebody else's, and what Ray says of it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tunesmith.errors import TrainError
from tunesmith.recipe.resources import ResourcesSection
from tunesmith.train.heartbeat import signs
from tunesmith.train.room import share_of_node

ENVIRONMENT = {
    # A Ray started here listens on loopback for as long as the run; without this 2.60 turns token auth on half-way.
    "RAY_AUTH_MODE": "disabled",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",  # by default workers yield to everything else on the machine
    # A link cut in silence is noticed after seconds, not after seven minutes.
    "RAY_grpc_client_keepalive_time_ms": "5000",
    "RAY_grpc_client_keepalive_timeout_ms": "5000",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S": "1",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "15",  # of one try to place workers; how many is up to the lookout
}

OF_NODES_TOO = ("RAY_grpc_client_keepalive_time_ms", "RAY_grpc_client_keepalive_timeout_ms")
"""Set only where the nodes are ours: one that was not started with them takes the pings for an attack, and hangs up."""


@contextmanager
def connected(cpus: int, gpus: int) -> Iterator[Any]:
    """A Ray cluster: the one of RAY_ADDRESS, or one of our own on this machine for the time of the block."""
    address = os.environ.get("RAY_ADDRESS")
    for name, value in ENVIRONMENT.items():
        if address is None or name not in OF_NODES_TOO:
            os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():
        yield ray
        return
    logging.getLogger("ray").setLevel(logging.WARNING)
    options: dict[str, Any] = {"address": address} if address else {"num_cpus": cpus, "include_dashboard": False}
    if gpus and not address:
        options["num_gpus"] = gpus
    _init(ray, {"log_to_driver": False, "logging_level": logging.WARNING, "configure_logging": True, **options})
    try:
        yield ray
    finally:
        ray.shutdown()


def _init(ray: Any, options: dict[str, Any]) -> None:
    """Start or join the cluster; a machine that is busy gets a second try. Raises TrainError."""
    for last in (False, True):
        try:
            ray.init(**options)
            return
        except (RuntimeError, ConnectionError, TimeoutError, ValueError) as error:
            ray.shutdown()
            if last:
                address = options.get("address")
                raise TrainError(
                    f"Ray cannot be {'joined' if address else 'started'}: {last_line(error)}",
                    where=f"RAY_ADDRESS={address}" if address else None,
                    fix="see that the cluster is up and of the same Ray version"
                    if address
                    else "give the command again when the machine is less busy, or train with --in-process",
                ) from error


def local_cpus(resources: ResourcesSection, cpus: int) -> int:
    """Of a Ray on this machine: as many workers as have cores of their own, and never fewer than asked for."""
    cores = os.cpu_count() or 1
    return cpus * max(resources.fewest, min(resources.most, cores // cpus))


def use_own_network() -> None:
    """Let gloo listen where the other nodes see this one, also where the host's name stands for loopback."""
    import psutil
    import ray.util

    address = ray.util.get_node_ip_address()
    for name, addresses in psutil.net_if_addrs().items():
        if any(one.address == address for one in addresses):
            os.environ.setdefault("GLOO_SOCKET_IFNAME", name)


class ClusterView:
    """What the lookout asks of Ray."""

    def __init__(self, ray: Any) -> None:
        self.ray = ray

    def nodes(self) -> list[dict[str, Any]]:
        nodes: list[dict[str, Any]] = self.ray.nodes()
        return nodes

    def free(self) -> list[Mapping[str, float]]:
        """Resources in nobody's use, node by node."""
        from ray._private import state

        return list(state.available_resources_per_node().values())

    def placed(self) -> bool:
        """Whether workers of this run have their places, so that they are only starting."""
        from ray.util import placement_group_table

        own = self.ray.get_runtime_context().get_job_id()
        table = placement_group_table()
        return any(group["state"] == "CREATED" and name.endswith(own) for name, group in table.items())


def machines_held(folder: Path, fewest: int, need: Mapping[str, float]) -> float:
    """How many whole machines of the joined cluster a run's workers take up; before they start, those it waits for."""
    import ray

    workers = len(signs(folder)) or fewest
    return workers * share_of_node(ray.nodes() if ray.is_initialized() else [], need)


def forget_reservations(ray: Any) -> None:
    """Ray 2.60 keeps what an elastic run had reserved for three minutes after its driver was killed.

    The actor that keeps such reservations starts anew without any; other runs renew theirs within 20 seconds.
    """
    try:
        coordinator = ray.get_actor("AutoscalingCoordinator", namespace="AutoscalingCoordinator")
    except ValueError:  # no elastic run has been here
        return
    ray.kill(coordinator, no_restart=False)


def last_line(error: BaseException) -> str:
    """What an error ends with, in one line."""
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__
