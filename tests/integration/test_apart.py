"""Hosts that share nothing with the driver's but a network and a bucket train what one process trains."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tests.integration.chaos import WORKER, Chaos
from tests.integration.chaos_project import UNDISTURBED, planned_at, undisturbed, write_project
from tests.integration.hosts import address, wait_until, why_not
from tests.integration.ray_hosts import RayHosts, environment
from tests.integration.workers import assert_equal
from tunesmith.train.sinks import read_events

STEPS, EVERY = 60, 5
CASES = {"both apart": ("lora", [0, 1, 1]), "one beside the driver": ("qlora", [1, 1])}
"""Method, and the cores of each host for workers."""

PORT, BUCKET = 5566, "checkpoints"
ENDPOINT = f"http://{address(1)}:{PORT}"
KEYS = {
    "AWS_ENDPOINT_URL": ENDPOINT, "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
}  # fmt: skip
MAKE_BUCKET = f"""\
import urllib.request
urllib.request.urlopen(urllib.request.Request("{ENDPOINT}/{BUCKET}", method="PUT"), timeout=5).read()
"""


def start_store(hosts: RayHosts, folder: Path) -> None:
    """An S3 server on the first host that all of them reach, with a bucket; it ends with the host."""
    with (folder / "s3.log").open("wb") as log:
        command = [sys.executable, "-m", "moto.server", "-H", address(1), "-p", str(PORT)]
        hosts.popen(1, command, folder, env=environment(), stdout=log, stderr=log)
        made = [sys.executable, "-c", f"{MAKE_BUCKET}print('made')"]
        wait_until(lambda: "made" in hosts.run(1, made, env=environment(), check=False), 60, "a bucket")


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.parametrize("method, cpus", CASES.values(), ids=CASES)
def test_hosts_that_share_no_files_train_the_same_though_one_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, cpus: list[int]
) -> None:
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)  # also in CI: whether namespaces may be made is the container's to say
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    project = tmp_path / "project"
    write_project(project, STEPS, EVERY, workers=2, checkpoints=f"s3://{BUCKET}/runs")
    recipe = json.loads((project / "recipe.yaml").read_text())
    recipe["method"]["type"] = method
    (project / "recipe.yaml").write_text(json.dumps(recipe))
    undisturbed(project)
    own = Path(f"/tmp/tunesmith-{os.getuid()}")
    own.mkdir(mode=0o700, exist_ok=True)
    numbers = range(1, len(cpus) + 1)
    last = len(cpus)
    with RayHosts(tmp_path / "hosts", last, cpus, hidden=[project, own]) as hosts:
        start_store(hosts, tmp_path)
        hosts.join(numbers)
        assert not hosts.run(2, ["ls", "-A", str(project)])
        chaos = Chaos(hosts, project)
        with chaos.watch as watch:
            chaos.drive()
            chaos.reach(2 * EVERY + 2)
            assert [bool(hosts.processes(number, WORKER)) for number in numbers] == [cpu > 0 for cpu in cpus]
            hosts.kill(last)
            hosts.rejoin(last)
            chaos.finish()
            kept = {path.partition("-")[0] for path in hosts.run(last, ["ls", str(own)]).split()}
    assert kept == {"dataset", "base", *(["nf4"] if method == "qlora" else [])}
    job = planned_at(project, project / "home").job
    starts = [event for event in read_events(job.folder) if event["event"] == "start"]
    assert [start["world_size"] for start in starts] == [2, 2]
    assert starts[1]["step"] >= EVERY
    assert chaos.most_lost() <= 2 * EVERY
    assert watch.furthest == STEPS
    assert not (job.folder / "checkpoints").exists()
    assert_equal(job, planned_at(project, project / UNDISTURBED).job)
