"""The manifest of a run: a RayJob for KubeRay 1.7, the ConfigMap with its recipe, and what keeps its driver up."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Literal

import yaml

from tunesmith.cluster.kubernetes.files import FOLDER, RECIPE, config_map, pack
from tunesmith.cluster.kubernetes.layout import Layout
from tunesmith.cluster.kubernetes.names import (
    FOR_CRON,
    LONGEST,
    checked_image,
    checked_labels,
    checked_namespace,
    checked_object,
    checked_schedule,
    checked_storage,
    digest_of,
    job_name,
)
from tunesmith.cluster.kubernetes.pods import Wishes, autoscaler, head_group, submitter, worker_group
from tunesmith.errors import TunesmithError
from tunesmith.plan.money import usd
from tunesmith.recipe.dump import dump_recipe
from tunesmith.recipe.load import LoadedRecipe
from tunesmith.recipe.schema import Recipe

RAY_VERSION = "2.60.0"
MARKET = "ray.io/market-type"

Verb = Literal["train", "run", "sweep", "evaluate", "retrain"]
VERBS: dict[str, tuple[list[str], int]] = {
    "train": (["--yes"], 2),
    "run": (["--yes"], 1),
    "sweep": ([], 2),
    "evaluate": ([], 0),
    "retrain": ([], 1),
}
"""Verb -> arguments that nobody is there to give, and how often a failed job is tried again on another cluster: what
trains goes on from its last checkpoint. A gate that says no is a failed job too."""


@dataclass(frozen=True)
class Manifest:
    """Documents of one run, by the name they share."""

    name: str
    documents: tuple[dict[str, Any], ...]
    comment: str

    def to_yaml(self) -> str:
        """The documents as `kubectl apply -f -` reads them, below a comment."""
        head = "".join(f"# {line}\n" for line in self.comment.splitlines())
        texts = [yaml.dump(one, Dumper=_Dumper, sort_keys=False, allow_unicode=True) for one in self.documents]
        return head + "---\n".join(texts)


def render(
    loaded: LoadedRecipe, layout: Layout, verb: Verb, wishes: Wishes, namespace: str | None = None,
    queue: str | None = None, schedule: str | None = None,
) -> Manifest:  # fmt: skip
    """The manifest of a recipe and its layout; with a `schedule`, of a job that is started by the clock.

    Raises TunesmithError for names that Kubernetes does not take, and for files that cannot travel.
    """
    _check(wishes, namespace, queue)
    if verb == "sweep" and loaded.recipe.sweep is None:
        raise TunesmithError("the recipe has no `sweep` section", where=str(loaded.path), fix="add one: docs/sweep.md")
    recipe = settled(loaded.recipe, layout, wishes)
    text = dump_recipe(recipe)
    packed = pack(loaded, text)
    digest = digest_of(text, *packed.data.values(), *packed.binary.values())
    name = job_name(recipe.name, verb, digest, LONGEST - FOR_CRON if schedule else LONGEST)
    labels = {"tunesmith-run": name, **({"kueue.x-k8s.io/queue-name": queue} if queue else {})}
    spec = _job(recipe, layout, verb, wishes, name, packed.items())
    job: dict[str, Any] = {
        "apiVersion": "ray.io/v1",
        "kind": "RayCronJob" if schedule else "RayJob",
        "metadata": {"name": name, "labels": labels},
        "spec": {"schedule": checked_schedule(schedule), "jobTemplate": spec} if schedule else spec,
    }
    if queue and layout.num_pods > layout.min_pods:
        job["metadata"]["annotations"] = {"kueue.x-k8s.io/elastic-job": "true"}  # Kueue refuses an autoscaler without
    documents = (config_map(name, {"tunesmith-run": name}, packed), _kept_up(name), job)
    if namespace:
        for one in documents:
            one["metadata"]["namespace"] = namespace
    return Manifest(name, documents, _comment(loaded.recipe, layout, verb))


def settled(recipe: Recipe, layout: Layout, wishes: Wishes) -> Recipe:
    """The recipe with all that it leaves to the machine it runs on, as the layout has it."""
    resources = recipe.resources
    labels = dict(checked_labels(resources.labels or {}, "resources.labels"))
    if layout.spot:
        labels.setdefault(MARKET, "spot")
    changed: dict[str, Any] = {
        "cpus_per_worker": layout.cpus_per_worker,
        "gpus_per_worker": layout.gpus_per_worker,
        "labels": labels or None,
    }
    if wishes.storage and resources.checkpoints is None:
        changed["checkpoints"] = f"{wishes.storage}/checkpoints"
    if "wait_minutes" not in resources.model_fields_set:
        changed["wait_minutes"] = 30.0  # nodes are started on demand
    return recipe.model_copy(update={"resources": resources.model_copy(update=changed)})


def _check(wishes: Wishes, namespace: str | None, queue: str | None) -> None:
    checked_image(wishes.image)
    checked_object(wishes.claim)
    checked_labels(wishes.node_selector, "--node-selector")
    for name in (namespace, queue):
        if name is not None:
            checked_namespace(name)
    if wishes.secret is not None:
        checked_object(wishes.secret)
    if wishes.storage is not None and checked_storage(wishes.storage) != wishes.storage:
        raise TunesmithError("the storage ends with a slash", where=wishes.storage, fix="leave it out")


def _job(
    recipe: Recipe, layout: Layout, verb: Verb, wishes: Wishes, name: str, items: list[dict[str, str]]
) -> dict[str, Any]:
    arguments, retries = VERBS[verb]
    labels = recipe.resources.labels or {}
    head, groups = head_group(layout, wishes, name, items), []
    if layout.num_pods:
        groups = [{**worker_group(layout, wishes, name), **({"labels": labels} if labels else {})}]
    if layout.head_trains and labels:
        head["labels"] = labels
    spec: dict[str, Any] = {
        # No character of it means anything to a shell: KubeRay hands it through two.
        "entrypoint": " ".join(["tunesmith", verb, f"{FOLDER}/{RECIPE}", *arguments]),
        "submissionMode": "K8sJobMode",
        "backoffLimit": retries,
        "shutdownAfterJobFinishes": True,
        "ttlSecondsAfterFinished": 120,
        "preRunningDeadlineSeconds": 3600,
    }
    if recipe.budget.max_hours is not None:
        spec["activeDeadlineSeconds"] = math.ceil(recipe.budget.max_hours * 3600) + 3600
    cluster: dict[str, Any] = {
        "rayVersion": RAY_VERSION,
        "authOptions": {"mode": "token"},
        "headGroupSpec": head,
        "workerGroupSpecs": groups,
    }
    if layout.num_pods > layout.min_pods:
        cluster |= {"enableInTreeAutoscaling": True, "autoscalerOptions": autoscaler()}
    return {**spec, "rayClusterSpec": cluster, "submitterPodTemplate": submitter(wishes, name)}


def _kept_up(name: str) -> dict[str, Any]:
    """Nodes are not drained under the driver; its workers may go, and come again."""
    selector = {"matchLabels": {"tunesmith-run": name, "ray.io/node-type": "head"}}
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "labels": {"tunesmith-run": name}},
        "spec": {"minAvailable": 1, "selector": selector},
    }


def _comment(recipe: Recipe, layout: Layout, verb: str) -> str:
    lines = [f"`tunesmith {verb}` of the recipe {recipe.name}, written by `tunesmith k8s render`."]
    places = layout.num_pods + layout.head_trains
    if places:
        lines.append(f"{layout.workers} worker(s) on {places} pod(s)" + ", the head's among them" * layout.head_trains)
    if layout.spot and layout.head.gpus:
        lines.append("the head holds a GPU of its own, not on a spot node, to evaluate; `--verb train` does without")
    if (option := layout.option) is not None and verb != "evaluate":
        hours = option.total_seconds / 3600
        lines.append(
            f"planned: {option.device_bytes / 2**30:.1f} GiB of {option.device_limit / 2**30:.1f} GiB a GPU, "
            f"{hours:.1f} hours, {usd(option.usd)} on {option.count} x {option.machine} ({option.market})"
        )
    return "\n".join(lines)


LIKE_A_NUMBER = re.compile(r"[-+]?[0-9]+e[-+]?[0-9]+|0o[0-7]+|[yn]", re.IGNORECASE)
"""What PyYAML writes as it is, and other readers take for a number or a truth."""


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, and nothing as a reference to what stands elsewhere."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # YAML 1.1 takes U+0085 for the end of a line, Kubernetes `1e3` for a number and `n` for a no.
    style = '"' if "\x85" in text or LIKE_A_NUMBER.fullmatch(text) else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _block)
