"""Two clusters never share a job's checkpoints."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from tunesmith.cluster import job, lease
from tunesmith.cluster.lease import Lease, held, read_lease
from tunesmith.cluster.storage import JOBS, Storage
from tunesmith.cluster.targets import TargetError


def test_a_note_is_there_while_the_job_runs_and_goes_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "SECONDS", 0.02)
    storage = Storage(str(tmp_path))
    with held(storage, "tiny-1", "head-a"):
        first = read_lease(storage, "tiny-1")
        assert first is not None and (first.holder, first.is_fresh(time.time())) == ("head-a", True)
        deadline = time.monotonic() + 10
        while (now := read_lease(storage, "tiny-1")) is None or now.time == first.time:
            assert time.monotonic() < deadline, "it is not written anew"
            time.sleep(0.02)
    assert read_lease(storage, "tiny-1") is None


def test_a_cluster_that_was_taken_over_ends_and_leaves_the_others_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "SECONDS", 0.02)
    storage, lost = Storage(str(tmp_path)), threading.Event()
    with held(storage, "tiny-1", "head-a", lost.set):
        other = {"holder": "head-b", "time": time.time()}
        while not lost.wait(0.02):
            storage.write(f"{JOBS}/tiny-1/{lease.NAME}", json.dumps(other).encode())
    assert read_lease(storage, "tiny-1") == Lease(**other)  # type: ignore[arg-type]


def test_an_old_note_is_that_of_a_lost_cluster() -> None:
    assert Lease("head-a", 1000.0).is_fresh(1119.0)
    assert not Lease("head-a", 1000.0).is_fresh(1121.0)


def test_the_head_refuses_a_job_that_another_is_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Storage(str(tmp_path))
    monkeypatch.setattr(job, "_run", lambda *_: 0)
    refusal = pytest.raises(TargetError, match="another cluster is at tiny-1: head-b")
    with held(storage, "tiny-1", "head-b"), refusal:
        job.run("tiny-1", storage, [])
    storage.write(f"{JOBS}/tiny-1/{lease.NAME}", json.dumps({"holder": "head-b", "time": 0.0}).encode())
    assert job.run("tiny-1", storage, []) == 0  # that one is lost
    with held(storage, "tiny-1", job._me()):
        assert job.run("tiny-1", storage, []) == 0  # this one's own, of a supervisor that was killed
