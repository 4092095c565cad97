"""`tunesmith k8s render`: manifests that an API server would take, of hostile recipes too."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kubernetes import ROOT, mistakes
from tunesmith.cluster.kubernetes.names import job_name
from tunesmith.cluster.kubernetes.render import RAY_VERSION, Manifest
from tunesmith.recipe.load import load_recipe

RECIPE = """\
name: support
model: {source: llama-3.1-8b-instruct}
data: {train: s3://bucket/rows.jsonl}
train: {sequence_length: 1024, gradient_checkpointing: true}
resources: {machine: "aws:g5.2xlarge", gpus_per_worker: 1}
"""

Run = Callable[..., subprocess.CompletedProcess[str]]
Render = Callable[..., list[dict[str, Any]]]
Fails = Callable[..., str]

IMAGE = ("--image", "registry.example.com/tunesmith:gpu")


@pytest.fixture
def render(tunesmith: Run, tmp_path: Path) -> Render:
    """Render a recipe's text; every document is checked against its schema."""

    def made(*arguments: str, text: str = RECIPE) -> list[dict[str, Any]]:
        (tmp_path / "recipe.yaml").write_text(text)
        documents = list(yaml.safe_load_all(tunesmith("k8s", "render", "recipe.yaml", *IMAGE, *arguments).stdout))
        assert [one["kind"] for one in documents][:2] == ["ConfigMap", "PodDisruptionBudget"]
        for one in documents:
            assert mistakes(one) == []
        return documents

    return made


@pytest.fixture
def fails(tunesmith: Run, tmp_path: Path) -> Fails:
    """Render what is a mistake: exit 2, a sentence, nothing on standard output."""

    def said(*arguments: str, text: str = RECIPE) -> str:
        (tmp_path / "recipe.yaml").write_text(text)
        done = tunesmith("k8s", "render", "recipe.yaml", *IMAGE, *arguments, exit_code=2)
        assert done.stdout == "" and "Traceback" not in done.stderr
        return done.stderr

    return said


def pods(job: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The head's group and the others."""
    cluster = job["spec"]["rayClusterSpec"]
    return cluster["headGroupSpec"], cluster["workerGroupSpecs"]


def spec(group: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = group["template"]["spec"]
    return found


def amounts(group: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = spec(group)["containers"][0]["resources"]["limits"]
    return found


def test_a_planted_field_and_a_wrong_type_are_found(render: Render) -> None:
    """The checks themselves: were they blind, nothing below would mean anything."""
    config, budget, job = render()
    spec(pods(job)[0])["containers"][0]["imagee"] = "x"
    assert any("imagee" in one for one in mistakes(job))
    _, _, job = render()
    job["spec"]["rayClusterSpec"]["enableInTreeAutoscalng"] = True
    assert any("enableInTreeAutoscalng" in one for one in mistakes(job))
    _, _, job = render()
    job["spec"]["backoffLimit"] = "two"
    assert any("backoffLimit" in one for one in mistakes(job))
    _, _, job = render()
    job["metadata"]["name"] = "Support.Train"
    assert mistakes(job)
    budget["spec"]["minAvalable"] = 1
    assert mistakes(budget)
    config["data"]["recipe.yaml"] = 1
    assert mistakes(config)


def test_one_gpu_is_one_pod_that_drives_and_trains(render: Render) -> None:
    _, _, job = render()
    head, groups = pods(job)
    assert groups == [] and amounts(head)["nvidia.com/gpu"] == "1"
    assert head["rayStartParams"] == {"dashboard-host": "0.0.0.0"}
    assert spec(head)["nodeSelector"] == {"node.kubernetes.io/instance-type": "g5.2xlarge"}
    assert int(amounts(head)["memory"].removesuffix("Gi")) <= 0.85 * 32


def test_trained_only_the_head_needs_no_gpu(render: Render) -> None:
    _, _, job = render("--verb", "train")
    head, (workers,) = pods(job)
    assert "nvidia.com/gpu" not in amounts(head) and head["rayStartParams"]["num-cpus"] == "0"
    assert (workers["replicas"], amounts(workers)["nvidia.com/gpu"]) == (1, "1")


def test_two_machines_are_two_pods_with_all_their_gpus(render: Render) -> None:
    text = RECIPE.replace("gpus_per_worker: 1", "gpus_per_worker: 1, workers: 16, strategy: zero3").replace(
        "aws:g5.2xlarge", "aws:p4de.24xlarge"
    )
    _, _, job = render(text=text)
    head, (workers,) = pods(job)
    assert amounts(head)["nvidia.com/gpu"] == amounts(workers)["nvidia.com/gpu"] == "8"
    assert workers["replicas"] == workers["minReplicas"] == workers["maxReplicas"] == 1
    # With the driver elsewhere, both are beside the head.
    _, (workers,) = pods(render("--verb", "train", text=text)[2])
    assert workers["replicas"] == 2


def test_workers_that_come_and_go_have_pods_that_do(render: Render) -> None:
    elastic = ("--set", "resources.workers={min: 2, max: 6}", "--verb", "train")
    _, _, job = render(*elastic)
    cluster = job["spec"]["rayClusterSpec"]
    head, (workers,) = pods(job)
    assert (workers["replicas"], workers["minReplicas"], workers["maxReplicas"]) == (2, 2, 6)
    assert cluster["enableInTreeAutoscaling"] and cluster["autoscalerOptions"]["version"] == "v2"
    assert "automountServiceAccountToken" not in spec(head)
    _, _, job = render(*elastic[:2])  # with the head's own worker
    assert pods(job)[1][0]["replicas"] == 1 and pods(job)[1][0]["maxReplicas"] == 5
    assert "annotations" not in job["metadata"]
    _, _, job = render(*elastic, "--queue", "gpus")
    assert job["metadata"]["annotations"] == {"kueue.x-k8s.io/elastic-job": "true"}
    _, _, job = render()
    assert "enableInTreeAutoscaling" not in job["spec"]["rayClusterSpec"]


def test_the_driver_is_never_on_a_spot_node(render: Render) -> None:
    config, _, job = render("--set", "resources.market=spot")
    head, (workers,) = pods(job)
    kept = spec(head)["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    (expressions,) = [one["matchExpressions"] for one in kept["nodeSelectorTerms"]]
    assert {"key": "eks.amazonaws.com/capacityType", "operator": "NotIn", "values": ["SPOT"]} in expressions
    assert all(one["operator"] == "NotIn" for one in expressions)
    assert head["rayStartParams"]["num-gpus"] == "0" and "SPOT" not in str(spec(head).get("nodeSelector"))
    assert spec(workers)["nodeSelector"]["eks.amazonaws.com/capacityType"] == "SPOT"
    tolerated = {(one["key"], one.get("value")) for one in spec(workers)["tolerations"]}
    assert tolerated >= {(one["key"], one["values"][0]) for one in expressions}
    # What the recipe asks Ray for is what KubeRay tells Ray of the node.
    assert workers["labels"] == {"ray.io/market-type": "spot"}
    assert yaml.safe_load(config["data"]["recipe.yaml"])["resources"]["labels"] == workers["labels"]
    assert spec(workers)["terminationGracePeriodSeconds"] > 100
    assert "drain-node" in spec(workers)["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][-1]


def test_labels_of_the_recipe_are_given_to_the_pods(render: Render) -> None:
    _, _, job = render("--set", "resources.labels={pool: a100, ray.io/region: eu}", "--verb", "train")
    assert pods(job)[1][0]["labels"] == {"pool": "a100", "ray.io/region": "eu"}
    _, _, job = render("--set", "resources.labels={pool: a100}")
    assert pods(job)[0]["labels"] == {"pool": "a100"}


def test_every_pod_is_confined(render: Render) -> None:
    _, _, job = render("--set", "resources.market=spot", "--secret", "tunesmith", "--storage", "s3://bucket/here/")
    head, groups = pods(job)
    templates = [head["template"], *(one["template"] for one in groups), job["spec"]["submitterPodTemplate"]]
    assert len(templates) == 3
    for template in templates:
        pod, (container,) = template["spec"], template["spec"]["containers"]
        assert pod["securityContext"]["runAsNonRoot"] is True and pod["automountServiceAccountToken"] is False
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        assert set(container["resources"]["limits"]) >= {"cpu", "memory"}
    for template in templates[:2]:
        (container,) = template["spec"]["containers"]
        assert container["envFrom"] == [{"secretRef": {"name": "tunesmith"}}]
        assert {"name": "TUNESMITH_ARTIFACTS", "value": "s3://bucket/here/artifacts"} in container["env"]
    assert job["spec"]["rayClusterSpec"]["authOptions"] == {"mode": "token"}


def test_options_are_where_they_belong(render: Render) -> None:
    documents = render(
        "--namespace", "ml", "--queue", "gpus", "--storage", "s3://bucket/here", "--node-selector", "pool=a100"
    )
    assert {one["metadata"]["namespace"] for one in documents} == {"ml"}
    config, budget, job = documents
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpus"
    assert spec(pods(job)[0])["nodeSelector"] == {"pool": "a100"}
    resources = yaml.safe_load(config["data"]["recipe.yaml"])["resources"]
    assert resources["checkpoints"] == "s3://bucket/here/checkpoints"
    chosen = budget["spec"]["selector"]["matchLabels"]
    assert chosen == {"tunesmith-run": job["metadata"]["name"], "ray.io/node-type": "head"}
    assert pods(job)[0]["template"]["metadata"]["labels"]["tunesmith-run"] == job["metadata"]["name"]


def test_by_the_clock(render: Render) -> None:
    _, _, job = render("--schedule", "0 3 * * *")
    assert (job["kind"], job["spec"]["schedule"]) == ("RayCronJob", "0 3 * * *")
    assert job["spec"]["jobTemplate"]["entrypoint"].startswith("tunesmith run ")
    assert len(job["metadata"]["name"]) <= 35


def test_the_same_recipe_is_the_same_job_and_a_changed_one_another(render: Render) -> None:
    first, again = render()[2]["metadata"]["name"], render()[2]["metadata"]["name"]
    other = render("--set", "train.epochs=2")[2]["metadata"]["name"]
    assert first == again != other
    assert first.startswith("support-run-")


@pytest.mark.parametrize("name", ["a", "9lives", "a.b_c-d", "a" * 63, "0", "a--b", "a-" * 31 + "a", "1.2"])
def test_hostile_names_become_names_that_kubernetes_takes(name: str) -> None:
    made = {job_name(name, verb, "deadbeef" * 8) for verb in ("run", "evaluate", "retrain")}
    assert len(made) == 3
    for one in made:
        assert re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", one) and len(one) <= 47 and one.endswith("-deadbeef")


def test_the_entrypoint_has_nothing_that_a_shell_reads(render: Render) -> None:
    text = RECIPE.replace("name: support", "name: a.b_c").replace("rows.jsonl", "r w$(id)`x`;'\".jsonl")
    config, _, job = render(text=text)
    assert re.fullmatch(r"[a-z0-9/. -]+", job["spec"]["entrypoint"])
    assert "r w$(id)`x`;" in yaml.safe_load(config["data"]["recipe.yaml"])["data"]["train"][0]["path"]


def test_small_files_travel_under_their_own_paths(render: Render, tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "a.jsonl").write_text('{"prompt": "1", "completion": "ä\\n: {"}\n')
    (tmp_path / "rows" / "b.jsonl").write_bytes(b"\xff\xfe")
    (tmp_path / "base.yaml").write_text(RECIPE)
    config, _, job = render("--set", "data.train=rows/*.jsonl", text="extends: base.yaml\n")
    mount = next(one for one in spec(pods(job)[0])["volumes"] if one["name"] == "recipe")["configMap"]
    paths = {one["path"]: one["key"] for one in mount["items"]}
    assert set(paths) == {"recipe.yaml", "rows/a.jsonl", "rows/b.jsonl"} and mount["name"] == config["metadata"]["name"]
    assert config["data"][paths["rows/a.jsonl"]] == (tmp_path / "rows" / "a.jsonl").read_text()
    assert config["binaryData"] == {paths["rows/b.jsonl"]: "//4="}
    # What is read back is the recipe, and extends nothing any more.
    (tmp_path / "read.yaml").write_text(config["data"]["recipe.yaml"])
    assert load_recipe(tmp_path / "read.yaml").recipe.train.sequence_length == 1024


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--image", "a b"], "is no container image"),
        (["--image", "x;$(id)"], "is no container image"),
        (["--namespace", "Upper"], "is no name of a namespace"),
        (["--queue", "a/b"], "is no name of a namespace or queue"),
        (["--secret", "a_b"], "is no name of a Secret"),
        (["--claim", "../x"], "is no name of a Secret or claim"),
        (["--storage", "/data"], "is no place for artefacts"),
        (["--storage", "s3://key:password@bucket/x"], "the URL holds a password"),
        (["--storage", "s3://bucket/$(id)"], "is no place for artefacts"),
        (["--schedule", "nightly"], "is no time-table"),
        (["--node-selector", "x"], "is not KEY=VALUE"),
        (["--node-selector", "a b=x"], "is no label of a node"),
        (["--verb", "sweep"], "the recipe has no `sweep` section"),
        (["--set", "data.train=rows.jsonl"], "there is no file rows.jsonl"),
        (["--set", "data.train=/etc/hostname"], "is on this machine, and not beside the recipe"),
        (["--set", "data.train=../rows.jsonl"], "is on this machine, and not beside the recipe"),
        (["--set", "data.train=link.jsonl"], "is a link to elsewhere"),
        (["--set", "data.train=large.jsonl"], "too much for a ConfigMap"),
        (["--set", "model.chat_template=missing.jinja"], "there is no file missing.jinja"),
        (["--set", "model.source=./model"], "is on this machine alone"),
        (["--set", "resources.labels={pool: in(a)}"], "is no value that a node's label can have"),
        (["--set", "resources.machine=null"], "need a machine"),
        (["--set", "resources.machine=aws:g4dn.xlarge"], "does not fit on aws:g4dn.xlarge"),
        (["--set", "resources.machine=aws:none"], "there is no machine 'aws:none'"),
    ],
)
def test_mistakes_are_sentences(fails: Fails, tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "large.jsonl").write_text('{"prompt": "1", "completion": "2"}\n' * 10_000)
    (tmp_path / "model").mkdir()
    (tmp_path / "link.jsonl").symlink_to("/etc/hostname")
    said = fails(*arguments)
    assert message in said and "password@" not in said


def test_ray_is_the_one_that_is_installed() -> None:
    assert f"ray[default,train,tune]=={RAY_VERSION}" in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize("text", ["1e3", "12E45", "0o17", "y", "N", "x\x85y", "a\nb\x85c"])
def test_text_is_text_to_other_readers_too(text: str) -> None:
    written = Manifest("x", ({"value": text},), "").to_yaml()
    assert yaml.safe_load(written) == {"value": text}
    assert '"' in written
