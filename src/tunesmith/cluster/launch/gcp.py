"""What Compute Engine says of a cluster: by the label that Ray puts on machines, and our files on disks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from tunesmith.cluster.launch.file import ClusterError
from tunesmith.cluster.launch.groups import READERS
from tunesmith.cluster.launch.ray_launcher import INSTALL
from tunesmith.cluster.launch.rented import Left, RentedMachine

CLUSTER, GROUP = "ray-cluster-name", "ray-user-node-type"
NOTHING_THERE = "NO_RESULTS_ON_PAGE"
STOPPED = ("TERMINATED", "STOPPED", "SUSPENDED")
"""A machine in one of these costs nothing, its disk does; one that was deleted is not listed any more."""


class Gcp:
    """Asks about one cluster in one project, all zones and regions of it. `service` is for tests."""

    def __init__(self, project: str, cluster: str, service: Any = None) -> None:
        self.project, self.cluster = project, cluster
        self._seen: set[str] = set()
        if service is None:
            try:
                from googleapiclient.discovery import build
            except ImportError:
                raise ClusterError(
                    "asking Google Cloud needs google-api-python-client, which is not installed", fix=INSTALL["gcp"]
                ) from None
            with self._asking():
                service = build("compute", "v1", cache_discovery=False)
        self._compute = service

    def machines(self) -> list[RentedMachine]:
        """Every machine with the cluster's label; those that were deleted are forgotten at once."""
        with self._asking():
            found = [_machine(one) for one in self._all("instances", self._labelled())]
        return sorted(found, key=lambda machine: (machine.launched, machine.id))

    def left(self) -> list[Left]:
        """Machines in any state, disks by label or because one of them had it, addresses that one of them uses."""
        with self._asking():
            instances = list(self._all("instances", self._labelled()))
            self._seen |= {one["selfLink"] for one in instances}
            self._seen |= {disk["source"] for one in instances for disk in one.get("disks", ()) if "source" in disk}
            found = [Left("machine", one["name"], one["status"]) for one in instances]
            found += [
                Left("disk", one["name"], one["status"])
                for one in self._all("disks", None)
                if one["selfLink"] in self._seen or one.get("labels", {}).get(CLUSTER) == self.cluster
            ]
            found += [
                Left("address", one["name"], one["address"])
                for one in self._all("addresses", None)
                if self._seen & set(one.get("users", ()))
            ]
        return found

    def _labelled(self) -> str:
        return f"labels.{CLUSTER}={self.cluster}"

    def _all(self, kind: str, only: str | None) -> Iterator[dict[str, Any]]:
        collection = getattr(self._compute, kind)()
        request = collection.aggregatedList(project=self.project, **({"filter": only} if only else {}))
        while request is not None:
            answer = request.execute()
            for place, scope in answer.get("items", {}).items():
                warning = scope.get("warning", {}).get("code", NOTHING_THERE)
                if warning != NOTHING_THERE:
                    raise ClusterError(
                        f"Google Cloud did not say which {kind} there are in {place} ({warning})", fix="try again later"
                    )
                yield from scope.get(kind, ())
            request = collection.aggregatedList_next(request, answer)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        import google.auth.exceptions
        import googleapiclient.errors
        import httplib2

        try:
            yield
        except (
            google.auth.exceptions.GoogleAuthError, googleapiclient.errors.Error, httplib2.HttpLib2Error, OSError,
        ) as error:  # fmt: skip
            raise ClusterError(
                f"Google Cloud could not be asked about the cluster {self.cluster} in {self.project}: {error}",
                fix="check the credentials (`gcloud auth application-default login`), the project and the network",
            ) from None


def _machine(one: dict[str, Any]) -> RentedMachine:
    labels, launched = one.get("labels", {}), datetime.fromisoformat(one["creationTimestamp"])
    name, market = READERS["gcp"](one)
    stopped = one.get("lastStopTimestamp")
    [network, *_] = one.get("networkInterfaces") or [{}]
    outside = [config["natIP"] for config in network.get("accessConfigs", ()) if "natIP" in config]
    return RentedMachine(
        id=one["name"],
        group=labels.get(GROUP, "?"),
        machine=f"gcp:{name}",
        market=market,
        state=one["status"].lower(),
        address=next(iter(outside), network.get("networkIP")),
        launched=launched,
        ended=(datetime.fromisoformat(stopped) if stopped else launched) if one["status"] in STOPPED else None,
    )
