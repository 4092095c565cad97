"""What is asked of Compute Engine, and how its answers are read: by hand, each held against Google's own schema."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.unit.cluster.node_configs import gcp_schema_mistakes
from tunesmith.cluster.launch.file import ClusterError
from tunesmith.cluster.launch.gcp import Gcp
from tunesmith.cluster.launch.rented import Left
from tunesmith.plan.catalog import load_catalog

ZONE = "https://www.googleapis.com/compute/v1/projects/p/zones/us-central1-a"
MACHINE = {
    "name": "ray-tunesmith-worker-1",
    "selfLink": f"{ZONE}/instances/ray-tunesmith-worker-1",
    "status": "RUNNING",
    "creationTimestamp": "2026-11-27T00:00:00.000-08:00",
    "machineType": f"{ZONE}/machineTypes/g2-standard-8",
    "scheduling": {"provisioningModel": "SPOT", "preemptible": True},
    "labels": {"ray-cluster-name": "tunesmith", "ray-user-node-type": "gpu-spot"},
    "disks": [{"source": f"{ZONE}/disks/worker-1", "boot": True}],
    "networkInterfaces": [{"networkIP": "10.42.0.3", "accessConfigs": [{"natIP": "198.51.100.7"}]}],
}
DISK = {"name": "worker-1", "selfLink": f"{ZONE}/disks/worker-1", "status": "READY"}
LOOSE = {**DISK, "name": "loose", "selfLink": f"{ZONE}/disks/loose", "labels": {"ray-cluster-name": "tunesmith"}}
THEIRS = {**DISK, "name": "their-disk", "selfLink": f"{ZONE}/disks/their-disk", "labels": {"ray-cluster-name": "other"}}
ADDRESS = {"name": "fixed", "address": "198.51.100.7", "users": [MACHINE["selfLink"]]}
OTHERS = {"name": "theirs", "address": "198.51.100.8", "users": [f"{ZONE}/instances/other"]}


class Google:
    """Answers requests as Compute Engine would, a page at a time, and keeps what was asked."""

    def __init__(self, **pages: list[list[dict[str, Any]]]) -> None:
        self.pages, self.asked, self.status = pages, [], 200
        self.warning = "NO_RESULTS_ON_PAGE"

    def request(self, uri: str, method: str = "GET", **_: Any) -> tuple[Any, bytes]:
        import httplib2

        parts = urlsplit(uri)
        kind, query = parts.path.rpartition("/")[2], parse_qs(parts.query)
        self.asked.append((kind, query.get("filter", [None])[0]))
        page = int(query.get("pageToken", ["0"])[0])
        pages = self.pages.get(kind, [[]])
        elsewhere = {"warning": {"code": self.warning}}
        answer: dict[str, Any] = {"items": {"zones/a": {kind: pages[page]}, "zones/b": elsewhere}}
        if page + 1 < len(pages):
            answer["nextPageToken"] = str(page + 1)
        schema = {"instances": "Instance", "disks": "Disk", "addresses": "Address"}[kind]
        assert gcp_schema_mistakes(answer, f"{schema}AggregatedList") == []
        body = json.dumps(answer if self.status == 200 else {"error": {"message": "no rights"}})
        return httplib2.Response({"status": str(self.status), "content-type": "application/json"}), body.encode()

    def close(self) -> None:
        return


def view(google: Google) -> Gcp:
    from googleapiclient.discovery import build

    return Gcp("p", "tunesmith", build("compute", "v1", http=google, cache_discovery=False))


def test_what_is_left_is_found_by_label_and_by_use() -> None:
    google = Google(instances=[[MACHINE]], disks=[[DISK, THEIRS], [LOOSE]], addresses=[[OTHERS, ADDRESS]])
    asked = view(google)
    assert asked.left() == [
        Left("machine", "ray-tunesmith-worker-1", "RUNNING"),
        Left("disk", "worker-1", "READY"),
        Left("disk", "loose", "READY"),
        Left("address", "fixed", "198.51.100.7"),
    ]
    only = "labels.ray-cluster-name=tunesmith"
    assert google.asked == [("instances", only), ("disks", None), ("disks", None), ("addresses", None)]
    # The machine is gone, its disk and address are not: they are still known as the cluster's.
    google.pages = {"disks": [[DISK, THEIRS]], "addresses": [[OTHERS, ADDRESS]]}
    assert asked.left() == [Left("disk", "worker-1", "READY"), Left("address", "fixed", "198.51.100.7")]
    google.pages = {}
    assert asked.left() == []


def test_a_machine_is_priced_by_type_and_market(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    stopped = {**MACHINE, "name": "z", "status": "TERMINATED", "lastStopTimestamp": "2026-11-27T01:00:00.000-08:00"}
    running, ended = view(Google(instances=[[MACHINE, stopped]])).machines()
    assert (running.group, running.machine, running.market) == ("gpu-spot", "gcp:g2-standard-8", "spot")
    assert (running.state, running.address, running.ended) == ("running", "198.51.100.7", None)
    assert ended.usd(load_catalog(), running.launched) == Decimal("0.34")


def test_a_refusal_is_a_sentence() -> None:
    google = Google()
    google.status = 403
    with pytest.raises(
        ClusterError, match="Google Cloud could not be asked about the cluster tunesmith in p"
    ) as caught:
        view(google).left()
    assert "no rights" in caught.value.what


def test_a_zone_that_does_not_answer_is_not_taken_for_an_empty_one() -> None:
    google = Google()
    google.warning = "UNREACHABLE"
    with pytest.raises(ClusterError, match="did not say which instances there are in zones/b"):
        view(google).left()
