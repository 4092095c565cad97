"""What each worker gets on a cluster where the recipe leaves it open, and whether there is room for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    """What the recipe says, or else a GPU where nodes have some, and as many cores as the fewest workers can have.

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
        has = [int(node.resources.get("CPU", 0.0)) for node in cluster.nodes if _suits(node, resources.labels or {})]
        most = 1 if gpus else max(has, default=1)
        fitting = (n for n in range(most, 0, -1) if sum(cores // n for cores in has) >= resources.fewest)
        cpus = next(fitting, 1)
    return Share(cpus, gpus)


def check_room(resources: ResourcesSection, share: Share, cluster: Cluster) -> str | None:
    """Refuse a cluster that can never hold the workers; the sentence to say where it may, once it has grown.

    Raises TargetError saying what is missing. What other jobs hold does not count: the job waits for it.
    """
    wanted: dict[str, float] = {"CPU": share.cpus, **({"GPU": share.gpus} if share.gpus else {})}
    if resources.accelerator is not None:
        wanted[f"accelerator_type:{resources.accelerator}"] = 0.001
    labels = resources.labels or {}
    suited = [node for node in cluster.nodes if _suits(node, labels)]
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


def _suits(node: Node, labels: Mapping[str, str]) -> bool:
    """Whether a node has labels, written as Ray's selectors: `spot`, `!spot`, `in(a, b)`, `!in(a, b)`."""
    for key, selector in labels.items():
        wanted = selector.removeprefix("!")
        names = wanted[3:-1].replace(" ", "").split(",") if wanted.startswith("in(") else [wanted]
        if (node.labels.get(key) in names) == selector.startswith("!"):
            return False
    return True


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
