"""Ray's launcher for real: `tunesmith cluster up` to a head and a spot worker that joined, `down` to nothing."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from tests.integration.cloud_hosts import LAPTOP, ROOT, Aws, why_no_aws
from tests.integration.hosts import wait_until, why_not
from tests.services import missing

COMMAND = [sys.executable, "-m", "tunesmith", "cluster"]

INSTANCES = """
import boto3, json
found = [i for r in boto3.client("ec2").describe_instances()["Reservations"] for i in r["Instances"]]
tag = lambda i: {t["Key"]: t["Value"] for t in i["Tags"]}.get("ray-node-status")
print(json.dumps([[i["InstanceType"], i.get("InstanceLifecycle"), i["State"]["Name"], tag(i)] for i in found]))
"""


def for_hosts(aws: Aws, spot_log: Path) -> str:
    """Our file, for machines without Docker on a network of their own, with one spot worker from the start."""
    text = (ROOT / "cluster" / "aws.yaml").read_text()
    text = re.sub(r"^docker:\n(?: .*\n)+", "", text, flags=re.MULTILINE)
    text = re.sub(r"^    docker: .*\n", "", text, flags=re.MULTILINE)
    for old, new in (
        ("<AMI_ID>", aws.image),
        ("<SECURITY_GROUP>", aws.group),
        ("<CLUSTER_OWNER>", "ada"),
        ("ssh_user: ubuntu", "ssh_user: root"),
        ("cache_stopped_nodes: false", "use_internal_ips: true\n  cache_stopped_nodes: false"),
        ("--disable-usage-stats", "--disable-usage-stats --object-store-memory=80000000"),
        ("/tmp/tunesmith-spot.log", str(spot_log)),
        ("min_workers: 0", "min_workers: 1"),  # the first is that of gpu-spot
    ):
        assert old in text
        text = text.replace(old, new, 1 if old.startswith("min") else -1)
    return text


@pytest.mark.cluster
@pytest.mark.slow
def test_up_and_down(tmp_path: Path) -> None:
    if why := why_not() or why_no_aws():
        missing(why)
    with Aws(tmp_path) as aws:
        file, spot_log = tmp_path / "cluster.yaml", tmp_path / "spot.log"
        file.write_text(for_hosts(aws, spot_log))
        aws.laptop([sys.executable, "-m", "ray.scripts.scripts", "get-auth-token", "--generate"])
        up = aws.laptop([*COMMAND, "up", str(file), "--yes"], timeout=240)
        assert "tunesmith is up" in up

        def machines() -> list[list[str | None]]:
            found: list[list[str | None]] = json.loads(aws.laptop([sys.executable, "-c", INSTANCES]).splitlines()[-1])
            return found

        head, worker = ["m6i.xlarge", None], ["g5.2xlarge", "spot"]
        # The autoscaler on the head calls a node up to date when its last command has come back.
        running = [[*one, "running", "up-to-date"] for one in (head, worker)]
        wait_until(lambda: machines() == running, 180, "a spot worker that has joined the head")
        assert "watching aws for the node" in spot_log.read_text()
        hosts = aws.seen - {LAPTOP}
        assert len(hosts) == 2
        down = aws.laptop([*COMMAND, "down", str(file), "--yes", "--wait", "60"], timeout=240)
        assert "the cloud has no machine, disk or address of it any more" in down
        assert {state for _, _, state, _ in machines()} == {"terminated"}
        wait_until(lambda: not hosts & set(aws.holders), 30, "the hosts to go")
        assert not aws.trouble
