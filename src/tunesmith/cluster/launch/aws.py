"""What EC2 says of a cluster: by the tag that Ray puts on machines, and our files on disks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from tunesmith.cluster.launch.file import ClusterError
from tunesmith.cluster.launch.ray_launcher import INSTALL
from tunesmith.cluster.launch.rented import Left, RentedMachine

CLUSTER, GROUP = "ray-cluster-name", "ray-user-node-type"
ENDED = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) GMT\)")


class Aws:
    """Asks EC2 in one region about one cluster. What it has seen of machines it looks for again after they are gone."""

    def __init__(self, region: str, cluster: str) -> None:
        try:
            import boto3
        except ImportError:
            raise ClusterError("asking AWS needs boto3, which is not installed", fix=INSTALL["aws"]) from None
        self.cluster, self.region = cluster, region
        self._seen_disks: set[str] = set()
        self._seen_addresses: set[str] = set()
        with self._asking():
            self._ec2 = boto3.client("ec2", region_name=region)

    def machines(self) -> list[RentedMachine]:
        """Every machine with the cluster's tag; AWS forgets those that ended after about an hour."""
        with self._asking():
            found = [_machine(one) for one in self._instances()]
        return sorted(found, key=lambda machine: (machine.launched, machine.id))

    def left(self) -> list[Left]:
        """Machines in any state but terminated, disks, addresses and requests for spot machines, by tag and by use."""
        with self._asking():
            instances = list(self._instances())
            alive = [one for one in instances if one["State"]["Name"] != "terminated"]
            ids = [one["InstanceId"] for one in alive]
            found = [Left("machine", one["InstanceId"], one["State"]["Name"]) for one in alive]
            for disk in self._tagged_or_used("describe_volumes", "Volumes", "attachment.instance-id", ids):
                self._seen_disks.add(disk["VolumeId"])
            for address in self._tagged_or_used("describe_addresses", "Addresses", "instance-id", ids):
                self._seen_addresses.add(address["AllocationId"])
            found += [
                Left("disk", one["VolumeId"], one["State"])
                for one in self._by_id("describe_volumes", "Volumes", "volume-id", self._seen_disks)
            ]
            found += [
                Left("address", one["AllocationId"], one["PublicIp"])
                for one in self._by_id("describe_addresses", "Addresses", "allocation-id", self._seen_addresses)
            ]
            requests = {one["SpotInstanceRequestId"] for one in instances if one.get("SpotInstanceRequestId")}
            for one in self._by_id(
                "describe_spot_instance_requests", "SpotInstanceRequests", "spot-instance-request-id", requests
            ):
                # A request that outlives its machine would rent the next one.
                if one["State"] in ("open", "active") and one.get("Type") == "persistent":
                    found.append(Left("spot request", one["SpotInstanceRequestId"], one["State"]))
        return found

    def _instances(self) -> Iterator[dict[str, Any]]:
        filters = [{"Name": f"tag:{CLUSTER}", "Values": [self.cluster]}]
        for page in self._ec2.get_paginator("describe_instances").paginate(Filters=filters):
            for reservation in page["Reservations"]:
                yield from reservation["Instances"]

    def _tagged_or_used(self, call: str, key: str, used_by: str, ids: list[str]) -> Iterator[dict[str, Any]]:
        ask: Callable[..., dict[str, Any]] = getattr(self._ec2, call)
        yield from ask(Filters=[{"Name": f"tag:{CLUSTER}", "Values": [self.cluster]}])[key]
        if ids:
            yield from ask(Filters=[{"Name": used_by, "Values": ids}])[key]

    def _by_id(self, call: str, key: str, name: str, ids: set[str]) -> list[dict[str, Any]]:
        """Those that still exist."""
        if not ids:
            return []
        found: list[dict[str, Any]] = getattr(self._ec2, call)(Filters=[{"Name": name, "Values": sorted(ids)}])[key]
        return found

    @contextmanager
    def _asking(self) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, ClientError) as error:
            raise ClusterError(
                f"AWS could not be asked about the cluster {self.cluster} in {self.region}: {error}",
                fix="check the credentials (`aws sts get-caller-identity`), the region and the network",
            ) from None


def _machine(one: dict[str, Any]) -> RentedMachine:
    tags = {tag["Key"]: tag["Value"] for tag in one.get("Tags", ())}
    state = one["State"]["Name"]
    said = ENDED.search(one.get("StateTransitionReason", ""))
    at = datetime.strptime(said[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC) if said else None
    return RentedMachine(
        id=one["InstanceId"],
        group=tags.get(GROUP, "?"),
        machine=f"aws:{one['InstanceType']}",
        market="spot" if one.get("InstanceLifecycle") == "spot" else "on-demand",
        state=state,
        address=one.get("PublicIpAddress") or one.get("PrivateIpAddress"),
        launched=one["LaunchTime"],
        # Without a time said, one that ended counts as nothing rather than as running on.
        ended=(at or one["LaunchTime"]) if state in ("terminated", "shutting-down", "stopped", "stopping") else None,
    )
