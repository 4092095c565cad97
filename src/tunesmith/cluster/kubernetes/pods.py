"""Pods of a Ray cluster as every one of ours is: not root, its home shared, its driver never on a spot node."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tunesmith.cluster.kubernetes.files import FOLDER, VOLUME
from tunesmith.cluster.kubernetes.layout import GIB, Layout, Pod

SPOT_NODES = {
    "aws": {"eks.amazonaws.com/capacityType": "SPOT"},
    "gcp": {"cloud.google.com/gke-spot": "true"},
    "azure": {"kubernetes.azure.com/scalesetpriority": "spot"},
}
"""Provider -> the label that its managed Kubernetes puts on spot nodes."""

KARPENTER = ("karpenter.sh/capacity-type", "spot")

GRACE_SECONDS = 120
"""From the notice to the kill: what AWS gives. GKE and Azure give less, and end the pod when they do."""

LEAVE = (
    "ray drain-node --reason DRAIN_NODE_REASON_PREEMPTION --reason-message 'the pod is ending' "
    f"--deadline-remaining-seconds {GRACE_SECONDS - 20} && sleep {GRACE_SECONDS - 20}"
)
"""What a pod does before it ends: Ray's notice, upon which training writes a checkpoint and moves on."""

PORTS = {
    "gcs-server": 6379,
    "dashboard": 8265,
    "client": 10001,
    "metrics": 8080,
    "as-metrics": 44217,
    "dash-metrics": 44227,
}


@dataclass(frozen=True)
class Wishes:
    """What the user said of the pods: image, Secret, claim of the shared home, storage, node labels."""

    image: str
    secret: str | None = None
    claim: str = "tunesmith-home"
    storage: str | None = None
    node_selector: dict[str, str] = field(default_factory=dict)


def head_group(layout: Layout, wishes: Wishes, name: str, items: list[dict[str, str]]) -> dict[str, Any]:
    """The head: Ray's services, the driver and the recipe; workers too where the layout says so."""
    container = _container("ray-head", layout.head, wishes)
    container["ports"] = [{"name": called, "containerPort": port} for called, port in PORTS.items()]
    container["volumeMounts"].append({"name": "recipe", "mountPath": FOLDER, "readOnly": True})
    pod = _pod(container, wishes, layout.head)
    pod["volumes"].append({"name": "recipe", "configMap": {"name": name, "items": items}})
    pod["affinity"] = {"nodeAffinity": never_on_spot()}
    if layout.num_pods > layout.min_pods:
        del pod["automountServiceAccountToken"]  # the autoscaler asks the API server for pods
    if layout.head.gpus and (selector := _nodes(layout, wishes, spot=False)):
        pod["nodeSelector"] = selector
    start = {"dashboard-host": "0.0.0.0"}
    if not layout.head_trains:  # nothing of a run is placed beside the driver
        start |= {"num-cpus": "0", "num-gpus": "0"}
    return {"rayStartParams": start, "template": {"metadata": {"labels": {"tunesmith-run": name}}, "spec": pod}}


def worker_group(layout: Layout, wishes: Wishes, name: str) -> dict[str, Any]:
    """The pods beside the head."""
    container = _container("ray-worker", layout.worker, wishes)
    container["ports"] = [{"name": "metrics", "containerPort": PORTS["metrics"]}]
    container["lifecycle"] = {"preStop": {"exec": {"command": ["/bin/sh", "-c", LEAVE]}}}
    pod = _pod(container, wishes, layout.worker)
    pod["terminationGracePeriodSeconds"] = GRACE_SECONDS
    if selector := _nodes(layout, wishes, layout.spot):
        pod["nodeSelector"] = selector
    if layout.spot:
        pod["tolerations"] += [
            {"key": key, "operator": "Equal", "value": value, "effect": "NoSchedule"} for key, value in _spot_labels()
        ]
    return {
        "groupName": "workers",
        "replicas": layout.min_pods,
        "minReplicas": layout.min_pods,
        "maxReplicas": layout.num_pods,
        "rayStartParams": {},
        "template": {"metadata": {"labels": {"tunesmith-run": name}}, "spec": pod},
    }


def autoscaler() -> dict[str, Any]:
    """Ray's own, which makes pods when an elastic run asks for more workers. Its second version minds labels."""
    return {
        "version": "v2",
        "idleTimeoutSeconds": 300,
        "resources": _resources(Pod(0, 1, GIB)),
        "securityContext": _confined(),
    }


def submitter(wishes: Wishes, name: str) -> dict[str, Any]:
    """The pod that hands the job to the head and follows it."""
    container = {
        "name": "submitter",
        "image": wishes.image,
        "securityContext": _confined(),
        "resources": _resources(Pod(0, 1, GIB)),
    }
    spec = {**_any_pod(), "containers": [container], "restartPolicy": "Never"}
    return {"metadata": {"labels": {"tunesmith-run": name, "tunesmith-role": "submitter"}}, "spec": spec}


def never_on_spot() -> dict[str, Any]:
    """Node affinity that keeps a pod from nodes that may vanish; nodes without such labels are fine."""
    terms = [{"key": key, "operator": "NotIn", "values": [value]} for key, value in _spot_labels()]
    return {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": terms}]}}


def _spot_labels() -> list[tuple[str, str]]:
    return [pair for labels in SPOT_NODES.values() for pair in labels.items()] + [KARPENTER]


def _nodes(layout: Layout, wishes: Wishes, spot: bool) -> dict[str, str]:
    """Labels of the nodes: those the user named, else the machine's type, which every cloud writes on its nodes."""
    if wishes.node_selector:
        return dict(wishes.node_selector)
    if layout.machine is None or layout.machine.provider not in SPOT_NODES:
        return {}
    kind = layout.machine.name.partition("+")[0]  # n1-standard-8+t4: a machine with a GPU attached
    return {"node.kubernetes.io/instance-type": kind, **(SPOT_NODES[layout.machine.provider] if spot else {})}


def _pod(container: dict[str, Any], wishes: Wishes, size: Pod) -> dict[str, Any]:
    pod = {
        **_any_pod(),
        "containers": [container],
        "volumes": [{"name": "home", "persistentVolumeClaim": {"claimName": wishes.claim}}],
        "tolerations": [],
    }
    if size.gpus:
        pod["tolerations"] = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    return pod


def _any_pod() -> dict[str, Any]:
    return {
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "fsGroup": 1000,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }


def _container(name: str, size: Pod, wishes: Wishes) -> dict[str, Any]:
    values = {
        "TUNESMITH_HOME": VOLUME,
        "HF_HOME": f"{VOLUME}/hub",
        "RAY_grpc_client_keepalive_time_ms": "5000",
        "RAY_grpc_client_keepalive_timeout_ms": "5000",
    }
    if wishes.storage:
        values["TUNESMITH_ARTIFACTS"] = f"{wishes.storage}/artifacts"
    container: dict[str, Any] = {
        "name": name,
        "image": wishes.image,
        "env": [{"name": key, "value": value} for key, value in values.items()],
        "resources": _resources(size),
        "securityContext": _confined(),
        "volumeMounts": [{"name": "home", "mountPath": VOLUME}],
    }
    if wishes.secret:
        container["envFrom"] = [{"secretRef": {"name": wishes.secret}}]
    return container


def _resources(size: Pod) -> dict[str, Any]:
    amounts = {"cpu": str(size.cpus), "memory": f"{size.memory_bytes // GIB}Gi"}
    if size.gpus:
        amounts["nvidia.com/gpu"] = str(size.gpus)
    return {"requests": dict(amounts), "limits": dict(amounts)}


def _confined() -> dict[str, Any]:
    return {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
