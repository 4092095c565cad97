"""What each worker gets on a cluster, and clusters that can never hold them."""

from __future__ import annotations

from typing import Any

import pytest

from tunesmith.cluster.place import Cluster, Node
from tunesmith.cluster.room import Share, check_room, share_of
from tunesmith.cluster.targets import TargetError
from tunesmith.recipe.resources import ResourcesSection

HEAD = Node({"CPU": 4.0})
GPUS = Node({"CPU": 16.0, "GPU": 8.0, "accelerator_type:A100": 1.0}, {"ray.io/market-type": "spot"})


def resources(**values: Any) -> ResourcesSection:
    return ResourcesSection.model_validate(values)


@pytest.mark.parametrize(
    ("asked", "nodes", "share"),
    [
        ({}, (HEAD,), Share(4, 0)),
        ({"workers": 2}, (HEAD,), Share(2, 0)),
        ({"workers": 2}, (HEAD, Node({"CPU": 8.0})), Share(4, 0)),
        ({"workers": 2}, (Node({"CPU": 2.0}), Node({"CPU": 8.0})), Share(4, 0)),
        ({"workers": 3}, (HEAD,), Share(1, 0)),
        ({"workers": 8}, (HEAD, GPUS), Share(1, 1)),
        ({"gpus_per_worker": 0}, (HEAD, GPUS), Share(16, 0)),
        ({"cpus_per_worker": 3}, (HEAD, GPUS), Share(3, 1)),
        ({"accelerator": "H100"}, (HEAD,), Share(1, 1)),
    ],
)
def test_what_is_left_open_is_filled_in(asked: dict[str, Any], nodes: tuple[Node, ...], share: Share) -> None:
    assert share_of(resources(**asked), Cluster(nodes, False)) == share


def refusal(asked: dict[str, Any], nodes: tuple[Node, ...]) -> str | None:
    wanted, cluster = resources(**asked), Cluster(nodes, False)
    try:
        return check_room(wanted, share_of(wanted, cluster), cluster)
    except TargetError as error:
        return error.what


def test_room_is_counted_node_by_node() -> None:
    assert refusal({"workers": 8}, (HEAD, GPUS)) is None
    assert refusal({"workers": 9}, (HEAD, GPUS)) == (
        "the cluster can never place the workers: 9 worker(s) of 1 CPU, 1 GPU are asked for, and there is room for 8: "
        "nodes with 4 CPU, 0 GPU; 16 CPU, 8 GPU (A100)"
    )
    assert "of 3 CPU are asked for, and there is room for 2" in str(
        refusal({"workers": 3, "cpus_per_worker": 3, "gpus_per_worker": 0}, (HEAD, HEAD))
    )
    assert "1 CPU, 1 GPU (H100) are asked" in str(refusal({"accelerator": "H100"}, (HEAD, GPUS)))
    assert refusal({"accelerator": "A100"}, (HEAD, GPUS)) is None
    assert refusal({"labels": {"ray.io/market-type": "spot"}}, (HEAD, GPUS)) is None
    assert "label ray.io/market-type=on-demand" in str(
        refusal({"labels": {"ray.io/market-type": "on-demand"}}, (GPUS,))
    )
    assert "the cluster has no nodes" in str(refusal({}, ()))


@pytest.mark.parametrize(
    ("selector", "fits"),
    [("spot", True), ("!spot", False), ("on-demand", False), ("!on-demand", True), ("in(spot, on-demand)", True),
     ("!in(spot,on-demand)", False)],
)  # fmt: skip
def test_labels_are_selectors(selector: str, fits: bool) -> None:
    assert (refusal({"labels": {"ray.io/market-type": selector}, "cpus_per_worker": 1}, (GPUS,)) is None) == fits


def test_of_an_elastic_run_the_fewest_must_fit() -> None:
    assert refusal({"workers": {"min": 2, "max": 99}}, (GPUS,)) is None


def test_where_gpus_may_come_it_must_be_said_whether_they_are_meant() -> None:
    with pytest.raises(TargetError, match="no node has a GPU now, and the cluster starts nodes on demand"):
        share_of(resources(), Cluster((HEAD,), True))
    assert share_of(resources(gpus_per_worker=0), Cluster((HEAD,), True)) == Share(4, 0)
    assert share_of(resources(accelerator="A100"), Cluster((HEAD,), True)) == Share(1, 1)
    assert share_of(resources(), Cluster((HEAD, GPUS), True)) == Share(1, 1)


def test_a_cluster_that_grows_is_only_doubted() -> None:
    wanted, cluster = resources(workers=9, gpus_per_worker=1), Cluster((HEAD,), True)
    assert "starts nodes on demand" in str(check_room(wanted, share_of(wanted, cluster), cluster))
