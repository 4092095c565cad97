"""Signs of life, and the end of a worker that hangs."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from tests.ready import ready_processes
from tunesmith.train.heartbeat import HUNG, WAITING, Heartbeat, Sign, forget, signs, who_hung


def hang(folder: str, rank: int, doing: str) -> None:
    """A worker that does one thing for ever."""
    with Heartbeat(Path(folder), rank, 2, 2.0) as beat:
        beat.doing("loading the model", limited=False)
        time.sleep(3)
        beat.doing(doing, 7)
        time.sleep(60)


def test_a_worker_that_hangs_writes_down_its_stacks_and_ends(tmp_path: Path) -> None:
    workers = [
        ready_processes().Process(target=hang, args=(str(tmp_path), rank, doing))
        for rank, doing in enumerate((WAITING, "micro-batch 1 of 2"))
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert [worker.exitcode for worker in workers] == [HUNG, HUNG]
    stacks = (tmp_path / "workers" / "stacks-00001.txt").read_text()
    assert "test_heartbeat.py" in stacks
    assert "in hang" in stacks
    told = who_hung(signs(tmp_path))
    assert told is not None
    assert told.startswith("the workers hung: worker 1 on ")
    assert "in 'micro-batch 1 of 2' of step 7 for " in told
    assert "worker 0" not in told
    forget(tmp_path)
    assert signs(tmp_path) == []


def test_a_worker_without_a_sign_of_life_is_the_one(tmp_path: Path) -> None:
    now = 1e9
    waits = Sign(0, 2, "here", 11, 7, WAITING, now - 600, now, hung=True)
    silent = replace(waits, rank=1, host="there", pid=12, at=now - 590, hung=False)
    told = who_hung([waits, silent])
    assert told == (
        "the workers hung: worker 1 on there (process 12) in 'waiting for the others' of step 7 for 600 s, "
        "without a sign of life"
    )
    assert who_hung([replace(waits, hung=False), silent]) is None


def test_work_that_goes_on_is_left_alone(tmp_path: Path) -> None:
    with Heartbeat(tmp_path, 0, 1, 1.0) as beat:
        for step in range(12):
            beat.doing("micro-batch 1 of 1", step)
            time.sleep(0.2)
        [sign] = signs(tmp_path)
        assert sign.step >= 5
    assert signs(tmp_path) == []
