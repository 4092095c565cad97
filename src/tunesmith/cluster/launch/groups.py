"""What a launcher file may rent: its groups of machines, each with type, market and number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tunesmith.cluster.launch.file import ClusterError, LauncherFile
from tunesmith.errors import did_you_mean
from tunesmith.plan.money import Market


@dataclass(frozen=True)
class Group:
    """Machines of one kind. `machine` is the key in the catalog, `least` and `most` how many there may be."""

    name: str
    machine: str
    market: Market
    least: int
    most: int
    head: bool


def groups(file: LauncherFile) -> list[Group]:
    """The head first, then the workers as written; none for machines of one's own. Raises ClusterError."""
    if file.provider == "local":
        return []
    types = file.values.get("available_node_types")
    if not isinstance(types, dict) or not types:
        where = file.place("available_node_types")
        raise ClusterError("there are no available_node_types", where=where, fix="copy them from the folder cluster/")
    head = file.values.get("head_node_type")
    if not isinstance(head, str) or head not in types:
        where = file.place("head_node_type")
        raise ClusterError(f"head_node_type is {head!r}", where=where, fix=did_you_mean(str(head), types))
    total = _number(file, file.values, "max_workers", 2)  # what Ray takes, too
    return [_group(file, name, total, name == head) for name in sorted(types, key=lambda name: name != head)]


def _group(file: LauncherFile, name: str, total: int, head: bool) -> Group:
    node = file.values["available_node_types"][name]
    place = ("available_node_types", name)
    config = node.get("node_config") if isinstance(node, dict) else None
    if not isinstance(config, dict):
        raise ClusterError(f"{name} has no node_config", where=file.place(*place), fix="say which machine it is")
    least = 1 if head else _number(file, node, "min_workers", 0, *place)
    most = 1 if head else min(total, _number(file, node, "max_workers", total, *place))
    machine, market = READERS[file.provider](config)
    if machine is None:
        where, key = file.place(*place, "node_config"), KEYS[file.provider]
        raise ClusterError(f"{name} names no type of machine", where=where, fix=f"write {key} into its node_config")
    if head and market == "spot":
        raise ClusterError(
            "the head is on the spot market: when it is taken away, the cluster and its jobs are gone",
            where=file.place(*place),
            fix="leave the settings for spot out of its group",
        )
    return Group(name, f"{file.provider}:{machine}", market, least, most, head)


def _number(file: LauncherFile, values: dict[str, Any], key: str, default: int, *place: str) -> int:
    number = values.get(key, default)
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise ClusterError(f"{key} is {number!r}", where=file.place(*place, key), fix="a number from 0 on")
    return number


def _aws(config: dict[str, Any]) -> tuple[str | None, Market]:
    options = config.get("InstanceMarketOptions")
    spot = isinstance(options, dict) and options.get("MarketType") == "spot"
    return config.get("InstanceType"), "spot" if spot else "on-demand"


def _gcp(config: dict[str, Any]) -> tuple[str | None, Market]:
    machine = config.get("machineType")
    scheduling = config.get("scheduling")
    spot = isinstance(scheduling, dict) and (
        scheduling.get("provisioningModel") == "SPOT" or scheduling.get("preemptible")
    )
    name = str(machine).rpartition("/")[2] if machine else None
    for card in config.get("guestAccelerators") or ():
        # As the catalog names machines with cards added to them: n1-standard-8+t4.
        name = f"{name}+{str(card.get('acceleratorType', '')).rpartition('-')[2]}"
    return name, "spot" if spot else "on-demand"


def _azure(config: dict[str, Any]) -> tuple[str | None, Market]:
    parameters = config.get("azure_arm_parameters")
    parameters = parameters if isinstance(parameters, dict) else {}
    return parameters.get("vmSize"), "spot" if parameters.get("priority") == "Spot" else "on-demand"


READERS: dict[str, Callable[[dict[str, Any]], tuple[str | None, Market]]] = {"aws": _aws, "gcp": _gcp, "azure": _azure}
"""Provider -> reads type and market from a node_config."""

KEYS = {"aws": "InstanceType", "gcp": "machineType", "azure": "azure_arm_parameters.vmSize"}
