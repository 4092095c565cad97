"""`tunesmith cluster` on a double of AWS (moto, over HTTP): what is rented, with which tags, and that nothing is left.

There is nothing behind the double's machines, so `ssh` is a stand-in that fails at once: Ray's launcher rents the head
and then gives up. What follows on a real machine, logging in and starting Ray, is not shown here.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from tunesmith.cli.cluster import command

ROOT = Path(__file__).parents[2]

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def ec2(s3_server: str) -> Any:
    import boto3

    return boto3.client("ec2", region_name="us-east-1")


@pytest.fixture
def account(ec2: Any) -> dict[str, str]:
    """The account template, deployed: its outputs."""
    import boto3

    network = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    given = {"Network": network, "Bucket": "tunesmith-checkpoints", "UserAddress": "203.0.113.7/32"}
    cloudformation = boto3.client("cloudformation", region_name="us-east-1")
    cloudformation.create_stack(
        StackName="tunesmith",
        TemplateBody=(ROOT / "cluster" / "aws-account.yaml").read_text(),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    [stack] = cloudformation.describe_stacks(StackName="tunesmith")["Stacks"]
    return {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}


@pytest.fixture
def file(account: dict[str, str], tmp_path: Path) -> Path:
    """cluster/aws.yaml as a user fills it in."""
    values = {
        "CPU_IMAGE": "registry.example.com/tunesmith:0.1.0-cpu",
        "GPU_IMAGE": "registry.example.com/tunesmith:0.1.0-gpu",
        "AMI_ID": "ami-12345678",
        "SECURITY_GROUP": account["SecurityGroup"],
        "CLUSTER_OWNER": "research",
    }
    text = (ROOT / "cluster" / "aws.yaml").read_text()
    path = tmp_path / "aws.yaml"
    path.write_text(re.sub(r"<([A-Z_]+)>", lambda match: values[match[1]], text))
    return path


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """The command line in a home of its own, with an `ssh` that fails at once."""
    home, tools = tmp_path / "home", tmp_path / "tools"
    (home / ".ray").mkdir(parents=True)
    (home / ".ray" / "auth_token").write_text("0123456789abcdef0123456789abcdef")
    tools.mkdir()
    (tools / "ssh").write_text("#!/bin/sh\nexit 255\n")
    (tools / "ssh").chmod(0o755)
    environment = {
        **os.environ,
        "HOME": str(home),
        "PATH": f"{tools}:{os.environ['PATH']}",
        "AUTOSCALER_NODE_START_WAIT_S": "1",
        "PYTHONWARNINGS": "ignore",
    }

    def call(*words: str | Path) -> subprocess.CompletedProcess[str]:
        whole = [sys.executable, "-m", "tunesmith", "cluster", *map(str, words)]
        return subprocess.run(whole, env=environment, capture_output=True, text=True, timeout=120)

    return call


def answer_of(verb: str, file: Path) -> Any:
    """A command that changes nothing, in this process."""
    done = CliRunner().invoke(command, [verb, str(file), "--json"], catch_exceptions=False)
    return json.loads(done.stdout)


def plain(document: Any) -> Any:
    """The double gives policies of a stack as Python would print them, which YAML reads, too."""
    return yaml.safe_load(document) if isinstance(document, str) else document


def tags(one: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in one.get("Tags", ())}


def instances(ec2: Any) -> list[dict[str, Any]]:
    return [one for found in ec2.describe_instances()["Reservations"] for one in found["Instances"]]


def add_workers(file: Path, group: str, count: int) -> None:
    """What the head's autoscaler does when there is work: Ray's node provider, our file."""
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
    from ray.autoscaler._private.util import prepare_config, validate_config
    from ray.autoscaler.tags import NODE_KIND_WORKER, TAG_RAY_NODE_KIND, TAG_RAY_USER_NODE_TYPE

    config = prepare_config(yaml.safe_load(file.read_text()))
    validate_config(config)
    # Anything will do as a key: nobody logs in.
    config["auth"]["ssh_private_key"] = str(file)
    for one in config["available_node_types"].values():
        one["node_config"]["KeyName"] = "ray-autoscaler_us-east-1"
    config = AWSNodeProvider.bootstrap_config(config)
    provider = AWSNodeProvider(config["provider"], config["cluster_name"])
    wanted = {TAG_RAY_NODE_KIND: NODE_KIND_WORKER, TAG_RAY_USER_NODE_TYPE: group}
    for _ in range(count):  # one by one: of "1 to count" the double rents one
        provider.create_node(config["available_node_types"][group]["node_config"], wanted, 1)


@pytest.mark.slow
def test_up_rents_what_the_file_says_and_down_leaves_nothing(
    file: Path, run: Run, ec2: Any, account: dict[str, str]
) -> None:
    up = run("up", file, "--yes")
    assert up.returncode == 2, up.stderr
    assert "Ray's launcher ended with 1; machines may run already" in up.stderr
    [head] = instances(ec2)
    assert (head["InstanceType"], head.get("InstanceLifecycle")) == ("m6i.xlarge", None)
    assert head["IamInstanceProfile"]["Arn"].endswith("/tunesmith-head")
    add_workers(file, "gpu-spot", 2)
    add_workers(file, "gpu-on-demand", 1)

    found = instances(ec2)
    workers = [one for one in found if one["InstanceId"] != head["InstanceId"]]
    assert sorted((one["InstanceType"], one.get("InstanceLifecycle", "-")) for one in workers) == [
        ("g5.2xlarge", "-"), ("g5.2xlarge", "spot"), ("g5.2xlarge", "spot"),
    ]  # fmt: skip
    for one in found:
        assert tags(one)["ray-cluster-name"] == "tunesmith"
        assert tags(one)["owner"] == "research"
        assert [group["GroupId"] for group in one["SecurityGroups"]] == [account["SecurityGroup"]]
    assert {one["IamInstanceProfile"]["Arn"].rpartition("/")[2] for one in workers} == {"tunesmith-worker"}
    disks = ec2.describe_volumes()["Volumes"]
    assert len(disks) == 4
    assert {(tags(one)["ray-cluster-name"], tags(one)["owner"], one["Encrypted"]) for one in disks} == {
        ("tunesmith", "research", True)
    }

    status = answer_of("status", file)
    listed = sorted((one["group"], one["market"], one["price"]["usd_per_hour"]) for one in status["machines"])
    assert listed == [
        ("gpu-on-demand", "on-demand", "1.212"), ("gpu-spot", "spot", "0.54"), ("gpu-spot", "spot", "0.54"),
        ("head", "on-demand", "0.192"),
    ]  # fmt: skip
    cost = answer_of("cost", file)
    assert 0 < float(cost["usd"]) < 0.1
    assert "estimate" in cost["note"]
    for verb, said in (("status", "4 machines of tunesmith run, $2.48 an hour"), ("cost", "tunesmith: $")):
        shown = CliRunner().invoke(command, [verb, str(file)], catch_exceptions=False)
        assert said in shown.output
        assert all(one["InstanceId"] in shown.stdout for one in found)

    # Things that Ray does not know of: a disk with the cluster's tag, an address at one of its machines.
    disk = ec2.create_volume(
        AvailabilityZone="us-east-1a",
        Size=10,
        TagSpecifications=[{"ResourceType": "volume", "Tags": [{"Key": "ray-cluster-name", "Value": "tunesmith"}]}],
    )["VolumeId"]
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    ec2.associate_address(AllocationId=address, InstanceId=head["InstanceId"])
    other = ec2.run_instances(ImageId="ami-12345678", MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    down = run("down", file, "--yes", "--wait", "1", "--json")
    assert down.returncode == 1, down.stderr
    answer = json.loads(down.stdout)
    assert answer["verified"] is True
    left = {(one["kind"], one["id"]) for one in answer["left"]}
    assert left == {("disk", disk), ("address", address)}, down.stderr
    assert f"LEFT, and may cost money: disk {disk} (available), address {address}" in down.stderr

    ec2.delete_volume(VolumeId=disk)
    ec2.release_address(AllocationId=address)
    again = run("down", file, "--yes", "--wait", "30")
    assert again.returncode == 0, again.stderr
    assert "the cloud has no machine, disk or address of it any more" in again.stdout
    assert {one["InstanceId"] for one in instances(ec2) if one["State"]["Name"] != "terminated"} == {other}
    assert [one["VolumeId"] for one in ec2.describe_volumes()["Volumes"] if tags(one)] == []


def test_the_group_lets_in_one_address_and_its_own_machines(ec2: Any, account: dict[str, str]) -> None:
    [group] = ec2.describe_security_groups(GroupIds=[account["SecurityGroup"]])["SecurityGroups"]
    outside = [(rule.get("FromPort"), found["CidrIp"]) for rule in group["IpPermissions"] for found in rule["IpRanges"]]
    assert outside == [(22, "203.0.113.7/32")]
    inside = [pair["GroupId"] for rule in group["IpPermissions"] for pair in rule["UserIdGroupPairs"]]
    assert inside == [account["SecurityGroup"]]


def test_the_identities_may_do_no_more_than_they_need(account: dict[str, str]) -> None:
    import boto3

    iam = boto3.client("iam", region_name="us-east-1")
    allowed: dict[str, list[tuple[str, Any, Any]]] = {}
    for role in ("tunesmith-head", "tunesmith-worker"):
        documents = [
            iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
            for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
        ]
        for attached in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
            policy = iam.get_policy(PolicyArn=attached["PolicyArn"])["Policy"]
            version = iam.get_policy_version(PolicyArn=policy["Arn"], VersionId=policy["DefaultVersionId"])
            documents.append(version["PolicyVersion"]["Document"])
        allowed[role] = [
            (action, rule["Resource"], rule.get("Condition"))
            for document in map(plain, documents)
            for rule in document["Statement"]
            for action in ([rule["Action"]] if isinstance(rule["Action"], str) else rule["Action"])
        ]
    assert not [action for rules in allowed.values() for action, _, _ in rules if "*" in action]
    assert {action.partition(":")[0] for action, _, _ in allowed["tunesmith-worker"]} == {"s3"}
    for action, resource, condition in allowed["tunesmith-head"]:
        if action.startswith("s3:"):
            assert resource in ("arn:aws:s3:::tunesmith-checkpoints", "arn:aws:s3:::tunesmith-checkpoints/*")
        elif resource == "*":
            assert action.startswith("ec2:Describe")
        elif action in ("ec2:TerminateInstances", "ec2:CreateTags"):
            assert condition
        elif action == "iam:PassRole":
            assert resource.endswith(":role/tunesmith-worker")
    assert not any(action in ("iam:CreateRole", "iam:AttachRolePolicy") for action, _, _ in allowed["tunesmith-head"])
