"""What a user hears while workers wait for room, and when it ends."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tunesmith.errors import TrainError
from tunesmith.recipe.resources import ResourcesSection
from tunesmith.train.heartbeat import Sign
from tunesmith.train.job import TrainJob
from tunesmith.train.lookout import Lookout


class Cluster:
    """Two nodes of two cores."""

    def __init__(self) -> None:
        self.cores = {"a": 2.0, "b": 2.0}
        self.unused: list[Mapping[str, float]] = [{"CPU": 2.0}]
        self.has_places = False

    def nodes(self) -> list[dict[str, Any]]:
        return [{"NodeID": name, "Alive": True, "Resources": {"CPU": cores}} for name, cores in self.cores.items()]

    def free(self) -> list[Mapping[str, float]]:
        return self.unused

    def placed(self) -> bool:
        return self.has_places


class Watched:
    """A lookout with a clock to be turned."""

    def __init__(self, folder: Path, cpus: float, **resources: Any) -> None:
        self.now, self.told, self.cluster = 0.0, [], Cluster()
        self.told: list[str] = []
        job = TrainJob({}, str(folder), "", "", "", {}, 1)
        section = ResourcesSection.model_validate(resources)
        self.lookout = Lookout(job, section, {"CPU": cpus}, self.cluster, self.told.append, lambda: self.now)
        self.folder = folder

    def go(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now += 1
            self.lookout.look()

    def live(self, seconds: int, world_size: int, step: int = 5) -> None:
        (self.folder / "workers").mkdir(exist_ok=True)
        for _ in range(seconds):
            self.now += 1
            for rank in range(world_size):
                sign = Sign(rank, world_size, "host", 1, step, "micro-batch 1 of 1", self.now, self.now)
                (self.folder / "workers" / f"{rank:05d}.json").write_text(json.dumps(asdict(sign)))
            self.lookout.look()


def test_what_can_never_be_placed_ends_in_a_minute_with_what_is_missing(tmp_path: Path) -> None:
    watched = Watched(tmp_path, 2.0, workers=3)
    with pytest.raises(TrainError) as caught:
        watched.go(100)
    assert 60 < watched.now < 65
    missing = "3 workers of 2 CPUs cannot be placed, the Ray cluster has 4 CPUs on 2 nodes: room for 2"
    assert watched.told == [f"waiting for room: {missing}"]
    assert caught.value.what == missing


def test_a_node_that_comes_in_time_is_waited_for(tmp_path: Path) -> None:
    watched = Watched(tmp_path, 2.0, workers={"min": 3, "max": 8}, wait_minutes=5)
    watched.go(200)
    watched.live(50, 3)
    watched.go(200)
    with pytest.raises(TrainError):
        watched.go(150)


def test_nodes_in_use_by_others_are_named_as_that(tmp_path: Path) -> None:
    watched = Watched(tmp_path, 2.0, workers=2)
    with pytest.raises(TrainError) as caught:
        watched.go(100)
    assert caught.value.what == "the nodes that the workers fit on are in use by others"


def test_workers_with_their_places_may_take_longer_to_start(tmp_path: Path) -> None:
    watched = Watched(tmp_path, 2.0, workers=2)
    watched.cluster.has_places = True
    watched.go(599)
    with pytest.raises(TrainError) as caught:
        watched.go(10)
    assert caught.value.what == "workers have their places and do not start"


def test_room_for_more_is_asked_for_when_it_was_there_twice(tmp_path: Path) -> None:
    watched = Watched(tmp_path, 2.0, workers={"min": 1, "max": 3})
    watched.live(30, 1)
    assert not (tmp_path / "RESIZE").exists()
    watched.live(30, 1)
    assert (tmp_path / "RESIZE").exists()
    assert watched.told == ["there is room for more than 1 worker: restarting"]


def test_room_that_ray_did_not_use_is_asked_for_less_and_less_often(tmp_path: Path) -> None:
    watched = Watched(tmp_path, 2.0, workers={"min": 1, "max": 3})
    asked = []
    for _ in range(450):
        watched.live(1, 1)
        if (tmp_path / "RESIZE").exists():
            (tmp_path / "RESIZE").unlink()
            asked.append(watched.now)
    pauses = [later - earlier for earlier, later in pairwise(asked)]
    assert len(pauses) == 2
    assert 60 <= pauses[0] <= 80
    assert 120 <= pauses[1] <= 140
    watched.cluster.cores["c"] = 2.0  # another node is another matter
    watched.live(65, 1)
    assert (tmp_path / "RESIZE").exists()


@pytest.mark.parametrize(("workers", "unused"), [({"min": 1, "max": 2}, 2.0), ({"min": 1, "max": 3}, 1.0), (2, 2.0)])
def test_nothing_is_asked_when_nothing_can_be_had(tmp_path: Path, workers: Any, unused: float) -> None:
    watched = Watched(tmp_path, 2.0, workers=workers)
    watched.cluster.unused = [{"CPU": unused}]
    watched.live(100, 2)
    assert not (tmp_path / "RESIZE").exists()


def test_a_hang_is_told_once_with_the_place_of_the_stacks(tmp_path: Path) -> None:
    watched = Watched(tmp_path, 2.0, workers=1)
    (tmp_path / "workers").mkdir()
    sign = Sign(0, 1, "host", 9, 4, "micro-batch 1 of 1", 0.0, 600.0, hung=True)
    (tmp_path / "workers" / "00000.json").write_text(json.dumps(asdict(sign)))
    watched.go(5)
    assert watched.told == [
        "the workers hung: worker 0 on host (process 9) in 'micro-batch 1 of 1' of step 4 for 600 s "
        f"(stacks: {tmp_path}/workers)"
    ]
