"""What a signal asks of a run, and what two of them do."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tunesmith.train import interrupts as module
from tunesmith.train.interrupts import interrupts
from tunesmith.train.job import STOP, TrainJob


@pytest.fixture
def job(tmp_path: Path) -> TrainJob:
    return TrainJob({}, str(tmp_path), "", "", "", {}, threads=1)


def test_a_stop_that_is_heard_twice_is_one_wish(job: TrainJob) -> None:
    (job.folder / STOP).touch()  # of an earlier run
    with interrupts(job):
        assert not (job.folder / STOP).exists()
        os.kill(os.getpid(), signal.SIGTERM)  # as Ray stops a job: itself, and through its parent
        os.kill(os.getpid(), signal.SIGINT)
        assert (job.folder / STOP).exists()


def test_a_second_wish_leaves_at_once(job: TrainJob, monkeypatch: pytest.MonkeyPatch) -> None:
    before, now = signal.getsignal(signal.SIGINT), [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    with pytest.raises(KeyboardInterrupt), interrupts(job):
        os.kill(os.getpid(), signal.SIGINT)
        now[0] += module.ECHO_SECONDS + 0.1
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
