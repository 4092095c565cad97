"""A rendered RayJob, as far as it goes without a cluster: its entrypoint is run, and so are its pods' last words."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests import tiny_models
from tests.integration.hosts import address, wait_until, why_not
from tests.integration.ray_hosts import PORT, RayHosts, environment
from tests.kubernetes import mistakes
from tests.services import missing
from tunesmith.cluster.kubernetes.pods import LEAVE

RECIPE = """\
name: tiny
model: {source: /srv/tunesmith/home/model, dtype: float32}
data:
  train: rows/*.jsonl
  audit: {fail_on: [malformed]}
  split: {validation: 6, test: 12}
method: {rank: 8, alpha: 16}
train:
  sequence_length: 64
  packing: false
  batch_size: 4
  max_steps: 60
  epochs: 20
  learning_rate: 2.0e-2
evaluate:
  metrics: [exact_match, perplexity]
  prompts: {few_shot: [1]}
  decoding: {max_new_tokens: 12}
  gate: {metric: exact_match}
  resamples: 500
resources: {cpus_per_worker: 1}
"""

POD = """\
set -e
mount -t tmpfs tmpfs /srv
mkdir -p /srv/tunesmith/recipe /srv/tunesmith/home
mount --bind {home} /srv/tunesmith/home
mount --bind {files} /srv/tunesmith/recipe
cd /
{command}
"""


def in_pod(folder: Path, home: Path, files: Path, command: str, environment: dict[str, str]) -> str:
    """Run a command line where the volumes of a pod are mounted: a mount namespace of its own."""
    own = [] if os.geteuid() == 0 else ["--map-root-user"]
    script = POD.format(home=shlex.quote(str(home)), files=shlex.quote(str(files)), command=command)
    done = subprocess.run(
        ["unshare", "--mount", *own, "/bin/sh", "-c", script],
        cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    if "unshare" in done.stderr and "not permitted" in done.stderr:
        missing("mount namespaces are not allowed here (root, or unprivileged user namespaces)")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.cluster
@pytest.mark.slow
def test_the_entrypoint_of_a_rendered_job_runs_unchanged(tmp_path: Path) -> None:
    """Its files where the ConfigMap is mounted, its environment that of the head's container."""
    home, files, project = tmp_path / "home", tmp_path / "files", tmp_path / "project"
    tiny_models.save(home / "model")
    (project / "rows").mkdir(parents=True)
    for part in (0, 1):
        lines = [
            {"messages": [{"role": "user", "content": f"say {n}"}, {"role": "assistant", "content": "yes"}]}
            for n in range(part * 30, part * 30 + 30)
        ]
        (project / "rows" / f"{part}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (project / "recipe.yaml").write_text(RECIPE)
    files.mkdir()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    render = f"cd {shlex.quote(str(project))}; tunesmith k8s render recipe.yaml --image x/tunesmith:cpu"
    documents = list(yaml.safe_load_all(in_pod(tmp_path, home, files, render, {"PATH": path})))
    config, _, job = documents
    assert [mistakes(one) for one in documents] == [[], [], []]

    head = job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    (volume,) = [one["configMap"] for one in head["volumes"] if one["name"] == "recipe"]
    assert volume["name"] == config["metadata"]["name"]
    for item in volume["items"]:
        place = files / item["path"]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(config["data"][item["key"]])
    variables = {one["name"]: one["value"] for one in head["containers"][0]["env"]} | {"HF_HUB_OFFLINE": "1"}
    in_pod(tmp_path, home, files, job["spec"]["entrypoint"], {**variables, "PATH": path})

    listed = in_pod(tmp_path, home, files, "tunesmith registry ls --json", {**variables, "PATH": path})
    assert "tiny@1" in listed and '"passed"' in listed
    (adapter,) = home.glob("runs/*/adapter/adapter_model.safetensors")
    assert adapter.stat().st_size > 1000
    assert not Path("/srv/tunesmith").exists()  # of the machine itself: all that was in a namespace


NODES = """
import json, ray
ray.init(address="auto", log_to_driver=False)
print(json.dumps({one["NodeManagerAddress"]: one["DeathReasonMessage"] for one in ray.nodes() if not one["Alive"]}))
"""


@pytest.mark.cluster
@pytest.mark.slow
def test_a_pod_that_is_told_to_end_drains_its_own_node_and_no_other(tmp_path: Path) -> None:
    """What its `preStop` says, on a host of its own. The node has nothing to do, so it is gone at once."""
    if (reason := why_not()) is not None:
        missing(reason)
    notice, _, wait = LEAVE.partition(" && ")
    assert wait.startswith("sleep ")
    where = {"RAY_ADDRESS": f"{address(1)}:{PORT}", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    with RayHosts(tmp_path, 2, (0, 1)) as hosts:
        assert isinstance(hosts, RayHosts)
        hosts.join([1, 2])
        hosts.run(2, ["/bin/sh", "-c", notice], env=environment(**where))

        def gone() -> dict[str, str]:
            said = hosts.run(1, [sys.executable, "-c", NODES], env=environment(**where))
            found: dict[str, str] = json.loads(said.strip().splitlines()[-1])
            return found

        ended = wait_until(gone, 60, "the drained node is gone")
    assert list(ended) == [address(2)] and "the pod is ending" in ended[address(2)]
