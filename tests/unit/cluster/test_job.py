"""What runs on the head: when a run is started again, and what is kept of one that cannot go on."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tunesmith.cluster import job
from tunesmith.cluster.job import read_result
from tunesmith.cluster.storage import CHECKPOINTS, JOBS, Storage

CRASH = -signal.SIGKILL
Start = Callable[[], int]


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Storage:
    monkeypatch.setenv(job.HOME, str(tmp_path / "head"))
    monkeypatch.setenv("TUNESMITH_HOME", "")  # both are set by the job: given back after the test
    monkeypatch.setenv("TUNESMITH_ARTIFACTS", "")
    monkeypatch.setattr(job, "STOPPING", [])
    monkeypatch.setattr(job.time, "sleep", lambda seconds: None)
    return Storage(str(tmp_path / "storage"))


def started(storage: Storage, monkeypatch: pytest.MonkeyPatch, *starts: Start) -> tuple[int, int]:
    """The job's exit code and how often the run was started; each start gives an exit code."""
    left = list(starts)

    def once(command: list[str]) -> tuple[int, dict[str, Any] | None, str]:
        assert command[1:5] == ["-m", "tunesmith", "run", "recipe.yaml"]
        return left.pop(0)(), None, "error: the last words"

    monkeypatch.setattr(job, "_once", once)
    return job.run("tiny-1", storage, []), len(starts) - len(left)


def crashes() -> int:
    return CRASH


def getting_to(storage: Storage, step: int, code: int) -> Start:
    def start() -> int:
        storage.write(f"{JOBS}/tiny-1/{CHECKPOINTS}/run/step-{step:08d}/state.json", b"{}")
        return code

    return start


def test_a_mistake_is_not_tried_again_and_its_sentence_is_kept(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert started(storage, monkeypatch, lambda: 2, crashes) == (2, 1)
    result = read_result(storage, "tiny-1")
    assert result is not None
    assert (result.exit_code, result.version, result.problem) == (2, None, "error: the last words")


def test_what_gets_no_further_is_given_up(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    assert started(storage, monkeypatch, *[crashes] * 9) == (128 + signal.SIGKILL, job.TRIES)
    result = read_result(storage, "tiny-1")
    assert result is not None and result.exit_code == CRASH


def test_what_gets_further_may_crash_as_often_as_it_likes(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    further = [getting_to(storage, step, CRASH) for step in range(5, 55, 5)]
    code, starts = started(storage, monkeypatch, *further, lambda: 2)
    assert (code, starts) == (2, len(further) + 1)


def test_a_stop_is_no_crash(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    assert started(storage, monkeypatch, lambda: -signal.SIGINT, crashes) == (128 + signal.SIGTERM, 1)
    assert read_result(storage, "tiny-1") is None  # it may go on


def test_a_stop_between_two_starts_starts_nothing(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job.time, "sleep", lambda seconds: job.STOPPING.append(True))
    assert started(storage, monkeypatch, crashes, crashes) == (128 + signal.SIGTERM, 1)
