"""Ray's own drain of the node that this process runs on."""

from __future__ import annotations

import time

from tunesmith.cluster.spot.notice import Notice
from tunesmith.errors import TunesmithError

SECONDS = 10.0
"""Until Ray's answer is given up; the watcher asks again."""


class NoNode(Exception):
    """There is no node to drain: Ray does not run here, or its head does not answer."""


def drain(notice: Notice, address: str, ip: str | None, node: str | None) -> str:
    """Tell the cluster at `address` that a node goes, and when; returns the node's id.

    `node` is its id, without it that of the only living node at `ip`, without that at this machine's address. Nothing
    new is placed there from now on, and what runs there hears of it; Ray ends the node when the time is over. Asking
    again changes nothing. Raises NoNode.
    """
    import ray
    from ray._raylet import GcsClient  # type: ignore[attr-defined]
    from ray.core.generated import autoscaler_pb2

    try:
        gcs = GcsClient(address=address)
        node = node or _node_at(gcs, ip or ray.util.get_node_ip_address())
        accepted, why = gcs.drain_node(
            node,
            autoscaler_pb2.DrainNodeReason.DRAIN_NODE_REASON_PREEMPTION,
            notice.what,
            int((time.time() + notice.seconds) * 1000),
            timeout=SECONDS,
        )
    except (ray.exceptions.RayError, RuntimeError, OSError) as error:
        raise NoNode(f"the head at {address} does not answer: {error}") from None
    if not accepted:
        raise NoNode(f"Ray refuses: {why}")
    return node


def check_ray() -> None:
    """Refuse to watch where there is no Ray: a notice could not be passed on."""
    from importlib.util import find_spec

    if find_spec("ray") is None:
        raise TunesmithError("the watcher needs ray, which is not installed", fix="pip install 'tunesmith[train]'")


def _node_at(gcs: object, ip: str) -> str:
    from ray.core.generated import gcs_pb2

    nodes = gcs.get_all_node_info(timeout=SECONDS)  # type: ignore[attr-defined]
    alive = [
        node_id.hex()
        for node_id, info in nodes.items()
        if info.node_manager_address == ip and info.state == gcs_pb2.GcsNodeInfo.ALIVE
    ]
    if len(alive) != 1:
        raise NoNode(f"{len(alive)} living nodes have the address {ip}; name one with --node")
    return str(alive[0])
