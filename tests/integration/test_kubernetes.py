"""The manifests of k8s/, built by a real kubectl and checked strictly."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kubernetes import ROOT, UNCHECKED, Document, built, kubectl, mistakes
from tunesmith.recipe.load import load_recipe

FOLDERS = sorted(path.parent for path in (ROOT / "k8s").rglob("kustomization.yaml") if path.parent.name != "kueue")
OVERLAYS = sorted(path for path in (ROOT / "k8s" / "overlays").iterdir())
JOBS = sorted((ROOT / "k8s" / "overlays").glob("*/jobs/*.yaml"))


@pytest.fixture(scope="module")
def binary(test_models: Path) -> Path:
    return kubectl(test_models.parent / "kubectl")


def named(documents: list[Document], kind: str) -> list[Document]:
    return [one for one in documents if one["kind"] == kind]


def clusters(documents: list[Document]) -> Iterator[dict[str, Any]]:
    """The spec of every Ray cluster, whatever holds it."""
    for one in documents:
        spec = one.get("spec", {})
        spec = spec.get("jobTemplate", spec)
        if one["apiVersion"].startswith("ray.io/"):
            yield spec.get("rayClusterSpec") or spec.get("rayClusterConfig") or spec


def groups(documents: list[Document]) -> Iterator[tuple[str, dict[str, Any]]]:
    for cluster in clusters(documents):
        yield "head", cluster["headGroupSpec"]
        yield from (("worker", one) for one in cluster["workerGroupSpecs"])


def test_there_are_overlays() -> None:
    assert [path.name for path in OVERLAYS] == ["cpu-dev", "gpu", "gpu-spot", "multi-node-70b"]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: str(path.relative_to(ROOT / "k8s")))
def test_every_folder_is_built_and_valid(binary: Path, folder: Path) -> None:
    documents = built(binary, folder)
    assert documents
    for one in documents:
        assert mistakes(one) == [], f"{one['kind']} {one['metadata']['name']}"
        assert one["kind"] in ("Namespace", *UNCHECKED) or one["metadata"]["namespace"] == "tunesmith"
        assert one["kind"] != "Secret"


@pytest.mark.parametrize("folder", OVERLAYS, ids=lambda path: path.name)
def test_every_pod_of_an_overlay_is_confined_and_bounded(binary: Path, folder: Path) -> None:
    documents = built(binary, folder)
    found = list(groups(documents))
    assert len(found) >= 2
    image = "cpu" if folder.name == "cpu-dev" else "gpu"
    for kind, group in found:
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        assert container["image"] == f"registry.example.com/tunesmith:{image}"
        assert pod["securityContext"]["runAsNonRoot"] and not container["securityContext"]["allowPrivilegeEscalation"]
        assert container["resources"]["limits"] == container["resources"]["requests"]
        assert container["envFrom"] == [{"secretRef": {"name": "tunesmith"}}]
        assert ("nvidia.com/gpu" in container["resources"]["limits"]) == (kind == "worker" and image == "gpu")
        if kind == "head":
            assert group["rayStartParams"]["num-cpus"] == "0"
            assert "gke-spot" in json.dumps(pod["affinity"])
    for cluster in clusters(documents):
        assert cluster["authOptions"] == {"mode": "token"}


def test_pods_that_end_give_notice_and_have_the_time(binary: Path) -> None:
    """KubeRay's own last words would be `ray stop`, which ends everything at once."""
    documents = [one for folder in OVERLAYS for one in built(binary, folder)]
    documents += [one for file in JOBS for one in yaml.safe_load_all(file.read_text())]
    workers = [group["template"]["spec"] for kind, group in groups(documents) if kind == "worker"]
    assert len(workers) >= 10
    for pod in workers:
        said = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][-1]
        (notice, wait) = re.findall(r"(?:--deadline-remaining-seconds|sleep) (\d+)", said)
        assert said.startswith("ray drain-node --reason DRAIN_NODE_REASON_PREEMPTION ")
        assert int(notice) == int(wait) < pod["terminationGracePeriodSeconds"]


def test_selectors_choose_what_is_there(binary: Path) -> None:
    """Disruption budgets, network policies and monitors name labels and ports: a typo would choose nothing."""
    documents = built(binary, ROOT / "k8s" / "overlays" / "gpu") + built(binary, ROOT / "k8s" / "monitoring")
    pods = []
    for kind, group in groups(documents):
        own = group["template"]["metadata"]["labels"]
        ports = {port["name"] for port in group["template"]["spec"]["containers"][0]["ports"]}
        # What KubeRay adds to every pod of Ray.
        pods.append(({**own, "ray.io/is-ray-node": "yes", "ray.io/node-type": kind}, ports))
    choosers = [
        one for kind in ("PodDisruptionBudget", "NetworkPolicy", "PodMonitor") for one in named(documents, kind)
    ]
    assert len(choosers) >= 6
    for one in choosers:
        selector = (one["spec"].get("selector") or one["spec"]["podSelector"])["matchLabels"]
        chosen = [ports for labels, ports in pods if selector.items() <= labels.items()]
        assert chosen, one["metadata"]["name"]
        for endpoint in one["spec"].get("podMetricsEndpoints", ()):
            assert any(endpoint["port"] in ports for ports in chosen)


@pytest.mark.parametrize("name", ["cpu-dev", "gpu", "multi-node-70b"])
def test_the_endpoint_serves_a_recipe_that_lies_beside_it(binary: Path, name: str, tmp_path: Path) -> None:
    from ray.serve.schema import ServeDeploySchema

    documents = built(binary, ROOT / "k8s" / "overlays" / name)
    (service,) = named(documents, "RayService")
    strategy = service["spec"]["upgradeStrategy"]["type"]
    assert strategy == ("NewCluster" if name == "cpu-dev" else "NewClusterWithIncrementalUpgrade")
    config = ServeDeploySchema.model_validate(yaml.safe_load(service["spec"]["serveConfigV2"]))
    engine, gateway = config.applications
    assert (engine.route_prefix, gateway.route_prefix) == ("/engines/base", "/")
    for one in config.applications:
        module, function = one.import_path.split(":")
        assert callable(getattr(__import__(module, fromlist=[function]), function))
        assert one.args == {"recipe": "/srv/tunesmith/recipe/recipe.yaml"}
    (text,) = [one["data"]["recipe.yaml"] for one in named(documents, "ConfigMap")]
    (tmp_path / "recipe.yaml").write_text(text)
    serve = load_recipe(tmp_path / "recipe.yaml").recipe.serve
    assert serve is not None and (serve.host, serve.keys, serve.gateways, serve.port) == (
        "0.0.0.0",
        "required",
        1,
        8000,
    )
    gpus = [group["template"]["spec"]["containers"][0]["resources"]["limits"].get("nvidia.com/gpu", "0")
            for kind, group in groups([service]) if kind == "worker"]  # fmt: skip
    assert [str(serve.engine.tensor_parallel * (serve.engine.device == "gpu"))] == gpus
    for _, group in groups([service]):
        container = group["template"]["spec"]["containers"][0]
        assert {"name": "RAY_SERVE_ENABLE_HA_PROXY", "value": "1"} in container["env"]
        assert {"name": "recipe", "mountPath": "/srv/tunesmith/recipe", "readOnly": True} in container["volumeMounts"]


def test_spot_workers_are_marked_for_ray_as_for_kubernetes(binary: Path) -> None:
    documents = built(binary, ROOT / "k8s" / "overlays" / "gpu-spot")
    ((_, group),) = [one for one in groups(documents) if one[0] == "worker"]
    assert group["labels"] == {"ray.io/market-type": "spot"}
    assert group["template"]["spec"]["nodeSelector"]["eks.amazonaws.com/capacityType"] == "SPOT"
    assert group["template"]["spec"]["terminationGracePeriodSeconds"] > 100
    assert "drain-node" in json.dumps(group["template"]["spec"]["containers"][0]["lifecycle"])


def test_large_clusters_wait_in_a_queue(binary: Path) -> None:
    (cluster,) = named(built(binary, ROOT / "k8s" / "overlays" / "multi-node-70b"), "RayCluster")
    assert cluster["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "tunesmith"
    # Without this Kueue refuses a cluster that grows by itself.
    assert cluster["spec"]["enableInTreeAutoscaling"]
    assert cluster["metadata"]["annotations"]["kueue.x-k8s.io/elastic-job"] == "true"


def test_the_dashboard_and_the_alerts_ask_for_metrics_that_exist(tmp_path: Path) -> None:
    """Ours are those the gateway writes; Ray's and vLLM's names must stand in the sources that are installed."""
    from datetime import UTC, datetime

    from tunesmith.monitor.traffic.log import TrafficLog
    from tunesmith.monitor.traffic.rows import TrafficRow
    from tunesmith.recipe.monitor import TrafficSection
    from tunesmith.serve.forward import Outcome
    from tunesmith.serve.metrics import Metrics
    from tunesmith.store.home import Home

    dashboard = json.loads((ROOT / "k8s" / "monitoring" / "dashboard.json").read_text())
    (rules,) = yaml.safe_load((ROOT / "k8s" / "monitoring" / "rules.yaml").read_text())["spec"]["groups"]
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    expressions += [rule["expr"] for rule in rules["rules"]]
    asked = {name for one in expressions for name in re.findall(r"\b(?:ray|tunesmith)_[a-z0-9_]+(?=[{\[)])", one)}
    metrics = Metrics(TrafficLog(Home(tmp_path, "", str(tmp_path)), TrafficSection()))
    metrics.note_answer(
        TrafficRow("1", datetime.now(UTC), "x", "x", "x@1", "[]", answer="", empty=True, answer_tokens=1)
    )
    metrics.note(
        "x@1", "/v1/chat/completions", Outcome(status=200, seconds=1, first_byte_seconds=1, pieces=2, broken=True)
    )
    ours = set(re.findall(r"^(\w+)[{ ]", metrics.text().decode(), re.MULTILINE))
    assert {name for name in asked if name.startswith("tunesmith_")} <= ours
    assert len({one["id"] for one in dashboard["panels"]}) == len(dashboard["panels"])
    assert all(one.count("(") == one.count(")") for one in expressions)
    theirs = {name for name in asked if name.startswith("ray_")}
    assert len(asked) - len(theirs) >= 5 and len(theirs) >= 8
    known = _names_in("ray", "dashboard/modules/metrics/dashboards", "*.py")
    assert theirs <= known, theirs - known


def _names_in(package: str, folder: str, pattern: str) -> set[str]:
    spec = find_spec(package)
    assert spec is not None and spec.origin is not None
    files = (Path(spec.origin).parent / folder).glob(pattern)
    return {name for file in files for name in re.findall(r"\bray_[a-z0-9_]+", file.read_text())}


def test_there_are_jobs_for_every_overlay() -> None:
    assert {path.parents[1].name for path in JOBS} == {path.name for path in OVERLAYS}
    assert {path.stem for path in JOBS} == {"train", "run", "sweep", "evaluate", "nightly", "retrain"}


@pytest.mark.parametrize("file", JOBS, ids=lambda path: f"{path.parents[1].name}-{path.stem}")
def test_jobs_are_what_their_command_renders(file: Path, tmp_path: Path) -> None:
    text = file.read_text()
    for one in yaml.safe_load_all(text):
        assert mistakes(one) == []
    first, _, rest = text.partition("\n")
    assert first.startswith("# tunesmith k8s render jobs/")
    command = [sys.executable, "-m", "tunesmith", *shlex.split(first[1:])[1:]]
    # Neither data prepared here nor prices of one's own.
    empty = {**os.environ, "TUNESMITH_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, cwd=ROOT, env=empty, capture_output=True, text=True)
    assert done.stdout == rest, f"{done.stderr}\nnot up to date: {first[2:]}"


PAGES = (ROOT / "docs" / "kubernetes.md", ROOT / "k8s" / "README.md")


def test_the_commands_of_the_pages_work(binary: Path, tmp_path: Path) -> None:
    """What needs an API server is tried as far as it goes without one."""
    commands = [
        line.removeprefix("$ ")
        for page in PAGES
        for line in page.read_text().splitlines()
        if line.startswith(("$ ", "kubectl "))
    ]
    done = {"render": 0, "apply": 0, "create": 0}
    (tmp_path / "secrets.env").write_text("HF_TOKEN=x\n")
    for command in commands:
        words = shlex.split(command.partition(" | ")[0])
        if words[:3] == ["tunesmith", "k8s", "render"]:
            run = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True)
            assert run.returncode == 0 and not any(map(mistakes, yaml.safe_load_all(run.stdout))), run.stderr
            done["render"] += 1
        elif words[:3] == ["kubectl", "apply", "-k"]:
            assert built(binary, ROOT / words[3])
            done["apply"] += 1
        elif words[:3] == ["kubectl", "apply", "-f"]:
            assert ROOT / words[3] in JOBS
            done["apply"] += 1
        elif words[:2] == ["kubectl", "create"]:
            tried = [binary, *words[1:], "--dry-run=client", "--output=name"]
            run = subprocess.run(tried, cwd=tmp_path, capture_output=True, text=True)
            assert run.returncode == 0, run.stderr
            done["create"] += 1
        else:
            assert words[1] in ("get", "logs", "port-forward", "submit")
    assert done == {"render": 4, "apply": 3, "create": 4}
