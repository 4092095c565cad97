"""Checkpoints in an object store: behind a slow link, cut off in the middle of an upload, gone on from elsewhere."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.integration.slow_link import SlowLink
from tests.integration.workers import assert_equal, on_gloo
from tests.ready import ready_processes, with_environment
from tests.unit.train import killable, tiny
from tunesmith.errors import TrainError
from tunesmith.train import checkpoint
from tunesmith.train.job import TrainJob
from tunesmith.train.loop import Loop
from tunesmith.train.places import open_place
from tunesmith.train.sinks import read_events

WIDE = {"method": {"rank": 128, "alpha": 8.0}}
SIZE = 4.7e6
"""Bytes of a checkpoint of it."""


def at(bucket: str, run: Path, model: Path, dataset: Path, train: dict[str, Any], **sections: Any) -> TrainJob:
    resources = {"checkpoints": f"s3://{bucket}/runs"}
    job: TrainJob = tiny.make_job(run, model, dataset, train, resources=resources, **sections)
    return job


def place_of(job: TrainJob) -> Any:
    return open_place(job.folder / "checkpoints", job.load_recipe().resources.checkpoints)


def written(job: TrainJob) -> list[dict[str, Any]]:
    return [event for event in read_events(job.folder) if event["event"] == "checkpoint"]


def test_a_run_whose_checkpoints_are_in_a_bucket_goes_on_from_them(
    s3_bucket: str, tmp_path: Path, model: Path, dataset: Path
) -> None:
    """Two workers, stopped; then one worker on another machine, which has nothing but the bucket."""
    train = {"epochs": 3, "batch_size": 4, "checkpoint_every": 2, "keep_checkpoints": 1}
    whole = tiny.make_job(tmp_path / "whole" / "run", model, dataset, train)
    here = at(s3_bucket, tmp_path / "here" / "run", model, dataset, train)
    there = at(s3_bucket, tmp_path / "there" / "run", model, dataset, train)
    Loop(whole).run()
    (here.folder / "STOP").touch()
    on_gloo(here, 2)
    assert place_of(here).steps() == [1]
    assert not list((here.folder / "checkpoints").glob("*"))
    (there.folder / "metrics.jsonl").write_text((here.folder / "metrics.jsonl").read_text())
    Loop(there).run()
    assert_equal(there, whole)
    assert place_of(there).shown(2) == f"s3://{s3_bucket}/runs/run/step-00000002"
    # The newest and the best one are left, and nothing else.
    kept = place_of(there).steps()
    assert len(kept) <= 2
    names = {
        str(path).rpartition("/")[2].partition("-0000")[0] for path in place_of(there)._files.find("tunesmith-test")
    }
    assert names <= {"rank", "state.json"}


def test_training_does_not_wait_for_a_slow_store(
    s3_bucket: str, s3_server: str, tmp_path: Path, model: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = {"epochs": 60, "batch_size": 4, "checkpoint_every": 20, "eval_every": 240}
    with SlowLink(urlsplit(s3_server).port or 0, 1.5e6) as link:
        monkeypatch.setenv("AWS_ENDPOINT_URL", link.url)
        job = at(s3_bucket, tmp_path / "run", model, dataset, train, **WIDE)
        Loop(job).run()
        assert link.sent > 3 * SIZE
    steps = [event for event in read_events(job.folder) if event["event"] == "step"]
    training = sum(event["seconds"] for event in steps)
    stalled = sum(event["stalled_seconds"] for event in steps)
    uploading = sum(event["seconds"] for event in written(job)[:-1])
    print(f"of {training:.1f} s stood still for {stalled / training:.2%}, uploaded for {uploading / training:.0%}")
    assert len(written(job)) >= 3
    assert not any(event["problem"] for event in written(job))
    assert all(event["bytes"] > SIZE for event in written(job))
    assert uploading > 0.3 * training, "the link was not slow enough to show anything"
    assert stalled < 0.02 * training, (stalled, training)


def test_an_upload_that_is_cut_off_leaves_the_checkpoint_before_in_force(
    s3_bucket: str, s3_server: str, tmp_path: Path, model: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = {"epochs": 30, "batch_size": 4, "checkpoint_every": 10, "eval_every": 120}
    whole = tiny.make_job(tmp_path / "whole" / "run", model, dataset, train, **WIDE)
    job = at(s3_bucket, tmp_path / "parts" / "run", model, dataset, train, **WIDE)
    Loop(whole).run()
    killed_in_the_middle = 0
    with SlowLink(urlsplit(s3_server).port or 0, 4e6) as link:
        monkeypatch.setenv("AWS_ENDPOINT_URL", link.url)
        for _ in range(2):
            whole_before = len(written(job))
            here, there = ready_processes().Pipe()
            child = ready_processes().Process(
                target=with_environment, args=(dict(os.environ), killable.train, job.to_json(), there)
            )
            child.start()
            assert here.recv() == "ready"
            before = link.sent
            while child.is_alive() and link.sent < before + 1.3 * SIZE:  # the second upload has begun
                time.sleep(0.01)
            child.kill()
            child.join()
            killed_in_the_middle += link.sent - before > (len(written(job)) - whole_before) * SIZE + SIZE / 10
            newest = place_of(job).steps()[-1]
            progress, _ = checkpoint.read(place_of(job), newest)
            assert progress.step == newest
    assert killed_in_the_middle >= 1
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    Loop(job).run()
    assert_equal(job, whole)
    assert place_of(job)._begun() == place_of(job).steps()


def test_damage_in_the_bucket_is_named(s3_bucket: str, tmp_path: Path, model: Path, dataset: Path) -> None:
    job = at(s3_bucket, tmp_path / "run", model, dataset, {"epochs": 1, "batch_size": 4})
    (job.folder / "STOP").touch()
    Loop(job).run()
    place = place_of(job)
    [part] = [path for path in place._files.find("tunesmith-test") if "rank-00000" in path and path.endswith("tensors")]
    with place._files.open(part, "wb") as out:
        out.write(b"something else")
    with pytest.raises(TrainError) as caught:
        checkpoint.read(place_of(job), 1)
    assert caught.value.where == f"s3://{s3_bucket}/runs/run/step-00000001"
    assert "is not what was written" in caught.value.what


def test_a_bucket_that_is_not_there_ends_the_run_with_a_sentence(
    s3_server: str, tmp_path: Path, model: Path, dataset: Path
) -> None:
    job = at("no-such-bucket", tmp_path / "run", model, dataset, {"epochs": 9, "batch_size": 4, "checkpoint_every": 1})
    with pytest.raises(TrainError) as caught:
        Loop(job).run()
    assert caught.value.where == "resources.checkpoints"
    assert "NO_SUCH_BUCKET" in caught.value.what
