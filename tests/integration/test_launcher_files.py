"""Launcher files: Ray's own schema, the clouds' own API models, and what each of them must promise."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.cluster.node_configs import CHECKS

ROOT = Path(__file__).parents[2]
FILES = ("aws", "gcp", "azure", "on-premises")
CLOUDS = ("aws", "gcp", "azure")


def launcher(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "cluster" / f"{name}.yaml").read_text())
    return loaded


def groups(name: str) -> dict[str, Any]:
    found: dict[str, Any] = launcher(name)["available_node_types"]
    return found


@pytest.mark.parametrize("name", FILES)
def test_ray_accepts_it(name: str) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(launcher(name)))


@pytest.mark.parametrize("name", CLOUDS)
def test_the_cloud_knows_every_field(name: str) -> None:
    for group in groups(name).values():
        assert CHECKS[name](group["node_config"]) == []


@pytest.mark.parametrize(
    ("name", "path", "value", "mistake"),
    [
        ("aws", ("InstanceTyp",), "g5.xlarge", 'Unknown parameter in input: "InstanceTyp"'),
        ("aws", ("InstanceType",), "g5.3xlarge", "RunInstances.InstanceType: 'g5.3xlarge' is not one of"),
        ("aws", ("InstanceMarketOptions", "MarketType"), "sport", "MarketType: 'sport' is not one of"),
        ("gcp", ("machineTyp",), "g2-standard-8", "Instance: no field machineTyp"),
        ("gcp", ("scheduling", "provisioningModel"), "SPOTT", "provisioningModel: 'SPOTT' is not one of"),
        ("gcp", ("scheduling", "automaticRestart"), "no", "automaticRestart: not boolean"),
        ("azure", ("azure_arm_parameters", "vmsize"), "x", "no parameter vmsize"),
        ("azure", ("azure_arm_parameters", "osDiskSize"), "200", "osDiskSize: not int"),
    ],
)
def test_the_checks_find_mistakes(name: str, path: tuple[str, ...], value: str, mistake: str) -> None:
    config = copy.deepcopy(groups(name)["gpu-spot"]["node_config"])
    inner = config
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    assert any(mistake in said for said in CHECKS[name](config)), CHECKS[name](config)


def is_spot(name: str, config: dict[str, Any]) -> bool:
    """Whether the cloud is asked for a spot machine."""
    if name == "aws":
        return bool(config.get("InstanceMarketOptions", {}).get("MarketType") == "spot")
    if name == "gcp":
        return bool(config.get("scheduling", {}).get("provisioningModel") == "SPOT")
    return bool(config["azure_arm_parameters"].get("priority") == "Spot")


@pytest.mark.parametrize("name", CLOUDS)
def test_spot_where_the_label_says_so_and_nothing_runs_idle(name: str) -> None:
    found = groups(name)
    for group, one in found.items():
        labelled = one["labels"]["ray.io/market-type"]
        assert labelled == ("spot" if is_spot(name, one["node_config"]) else "on-demand"), group
        assert one.get("min_workers", 0) == 0
    head = launcher(name)["head_node_type"]
    assert not is_spot(name, found[head]["node_config"])
    assert found[head]["resources"] == {"CPU": 0, "GPU": 0}
    assert {group.removesuffix("-spot") for group in found if group.endswith("-spot")} == {"gpu", "cpu"}
    assert launcher(name)["idle_timeout_minutes"] <= 10
    assert launcher(name)["provider"]["cache_stopped_nodes"] is False


@pytest.mark.parametrize("name", FILES)
def test_every_node_has_token_keepalive_and_no_nightly_build(name: str) -> None:
    config = launcher(name)
    for key in ("initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands"):
        assert config[key] == []
    for commands in (config["head_start_ray_commands"], config["worker_start_ray_commands"]):
        [start] = [command for command in commands if "ray start" in command]
        for setting in (
            "RAY_AUTH_MODE=token",
            "RAY_grpc_client_keepalive_time_ms=5000",
            "RAY_grpc_client_keepalive_timeout_ms=5000",
        ):
            assert setting in start
    assert "--dashboard-host=127.0.0.1" in " ".join(config["head_start_ray_commands"])
    assert config["file_mounts"] == {"~/.ray/auth_token": "~/.ray/auth_token"}


@pytest.mark.parametrize("name", CLOUDS)
def test_the_watcher_that_is_started_exists_and_is_started_by_the_shell(name: str, tmp_path: Path) -> None:
    """The command of the file, run by a shell with a stand-in for python: it gets the words it should."""
    [command] = [one for one in launcher(name)["worker_start_ray_commands"] if "tunesmith.cluster.spot" in one]
    (tmp_path / "python").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" "$RAY_AUTH_MODE" > {tmp_path}/words\n')
    (tmp_path / "python").chmod(0o755)
    here = command.replace("/tmp/tunesmith-spot.log", str(tmp_path / "log"))
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "RAY_HEAD_IP": "10.0.0.5"}
    subprocess.run(["bash", "-c", f"{here} wait"], env=environment, check=True, timeout=20)
    words = (tmp_path / "words").read_text().split()
    assert words == ["-m", "tunesmith.cluster.spot", name, "--address", "10.0.0.5:6379", "token"]
    shown = subprocess.run([sys.executable, *words[:3], "--help"], capture_output=True, text=True, check=True)
    assert "Drain this node" in shown.stdout


def test_every_machine_and_disk_on_aws_names_cluster_and_owner() -> None:
    for one in groups("aws").values():
        tags = {
            spec["ResourceType"]: {tag["Key"]: tag["Value"] for tag in spec["Tags"]}
            for spec in one["node_config"]["TagSpecifications"]
        }
        # Ray itself puts the cluster's name on machines.
        assert tags["instance"] == {"owner": "<CLUSTER_OWNER>"}
        assert tags["volume"] == {"owner": "<CLUSTER_OWNER>", "ray-cluster-name": launcher("aws")["cluster_name"]}
        assert one["node_config"]["MetadataOptions"]["HttpTokens"] == "required"
        assert all(disk["Ebs"]["DeleteOnTermination"] for disk in one["node_config"]["BlockDeviceMappings"])


@pytest.mark.parametrize("name", ("gcp", "azure"))
def test_every_machine_elsewhere_names_its_owner(name: str) -> None:
    key = "labels" if name == "gcp" else "tags"
    assert all(one["node_config"][key] == {"owner": "<CLUSTER_OWNER>"} for one in groups(name).values())


@pytest.mark.parametrize("name", FILES)
def test_every_placeholder_is_explained_at_the_top(name: str) -> None:
    text = (ROOT / "cluster" / f"{name}.yaml").read_text()
    comment = "\n".join(line for line in text.splitlines()[:25] if line.startswith("#"))
    used = set(re.findall(r"<([A-Z_]+)>", text))
    assert used
    assert [word for word in sorted(used) if word not in comment] == []


def test_the_account_template_is_one_that_cloudformation_reads() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "cfn-lint"), "--format", "json", str(ROOT / "cluster" / "aws-account.yaml")],
        capture_output=True,
        text=True,
    )
    assert json.loads(done.stdout or "[]") == []
