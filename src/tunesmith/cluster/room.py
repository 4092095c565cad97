"""What each worker gets on a cluster where the recipe leaves it open, and whether there is room for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunesmith.cluster.place import Cluster, Node
from tunesmith.cluster.targets import TargetError
from tunesmith.recipe.resources import ResourcesSection


@dataclass(frozen=True)
class Share:
    """Cores and GPUs of each worker."""

    cpus: int
    gpus: int

    def overrides(self) -> list[str]:
        """As `--set` takes them."""
        return [f"resources.cpus_per_worker={self.cpus}", f"resources.gpus_per_worker={self.gpus}"]


def share_of(resources: ResourcesSection, cluster: Cluster) -> Share:
    """What the recipe says, or else a GPU where nodes have some, and the largest node's cores shared out evenly.

    Raises TargetError where GPUs may still come, and the recipe leaves open whether they are meant.
    """
    gpus: int | None = resources.gpus_per_worker
    if gpus is None:
        gpus = int(
            any(node.resources.get("GPU", 0) >= 1 for node in cluster.nodes) or resources.accelerator is not None
        )
        if not gpus and cluster.grows:
            raise TargetError(
                "no node has a GPU now, and the cluster starts nodes on demand: are workers to have one?",
                where="resources.gpus_per_worker",
                fix="--set resources.gpus_per_worker=1, or 0 to train on cores",
            )
    cpus = resources.cpus_per_worker
    if cpus is None:
        has = sorted(node.resources.get("CPU", 0.0) for node in cluster.nodes if node.resources.get("CPU", 0.0) >= 1)
        on_a_node = -(-resources.fewest // len(has)) if has else 1
        cpus = 1 if gpus or not has else max(1, int(has[-1]) // on_a_node)
    return Share(cpus, gpus)


def check_room(resources: ResourcesSection, share: Share, cluster: Cluster) -> str | None:
    """Refuse a cluster that can never hold the workers; the sentence to say where it may, once it has grown.

    Raises TargetError saying what is missing. What other jobs hold does not count: the job waits for it.
    """
    wanted: dict[str, float] = {"CPU": share.cpus, **({"GPU": share.gpus} if share.gpus else {})}
    if resources.accelerator is not None:
        wanted[f"accelerator_type:{resources.accelerator}"] = 0.001
    labels = resources.labels or {}
    suited = [node for node in cluster.nodes if all(node.labels.get(key) == value for key, value in labels.items())]
    room = sum(_fits(wanted, node) for node in suited)
    if room >= resources.fewest:
        return None
    wants = ", ".join(f"{amount:g} {name}" for name, amount in wanted.items() if not name.startswith("accelerator"))
    wants += f" ({resources.accelerator})" if resources.accelerator else ""
    wants += "".join(f", label {name}={value}" for name, value in sorted(labels.items()))
    reason = (
        f"{resources.fewest} worker(s) of {wants} are asked for, and there is room for {room}: {_list(cluster.nodes)}"
    )
    if cluster.grows:
        return f"{reason}. The cluster starts nodes on demand: the job waits for them"
    raise TargetError(
        f"the cluster can never place the workers: {reason}",
        where="resources",
        fix="change `resources` in the recipe (or by --set), add nodes, or say `grows: true` of its target",
    )


def _fits(wanted: dict[str, float], node: Node) -> int:
    return min(int(node.resources.get(name, 0.0) / amount + 1e-9) for name, amount in wanted.items())


def _list(nodes: Sequence[Node]) -> str:
    if not nodes:
        return "the cluster has no nodes"
    shown = []
    for node in nodes[:4]:
        kinds = [name.partition(":")[2] for name in node.resources if name.startswith("accelerator_type:")]
        shown.append(
            f"{node.resources.get('CPU', 0):g} CPU, {node.resources.get('GPU', 0):g} GPU"
            + (f" ({', '.join(kinds)})" if kinds else "")
        )
    more = f", and {len(nodes) - 4} more" if len(nodes) > 4 else ""
    return f"nodes with {'; '.join(shown)}{more}"
