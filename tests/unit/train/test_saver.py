"""Checkpoints written beside training: disks that fill up, parts that fail, workers that are no longer ours."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tunesmith.errors import TrainError
from tunesmith.train import checkpoint
from tunesmith.train.pieces import share_of
from tunesmith.train.places import Folder
from tunesmith.train.progress import Progress
from tunesmith.train.saver import Saver

VALUES = torch.arange(1000.0)


class SmallDisk(Folder):
    """A folder with room for so many checkpoints."""

    def __init__(self, folder: Path, room: int) -> None:
        super().__init__(folder)
        self.room = room

    def write_part(self, step: int, attempt: str, rank: int, write: Callable[[Path], None]) -> None:
        if len(self.steps()) >= self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().write_part(step, attempt, rank, write)


def saver(place: Folder, rank: int = 0, world_size: int = 1, mine: bool = True) -> Saver:
    return Saver(place, rank, world_size, "0123", 5, lambda: mine)


def save(one: Saver, step: int, best: int | None = None) -> None:
    pieces = [share_of("parameter/a", VALUES, one.rank, one.world_size)]
    one.save(Progress(step=step, best_step=best), pieces)


def test_values_are_those_of_the_moment_of_saving(tmp_path: Path) -> None:
    class Slow(Folder):
        def write_part(self, *arguments: Any) -> None:
            time.sleep(0.3)
            super().write_part(*arguments)

    one, changing, progress = saver(Slow(tmp_path)), VALUES.clone(), Progress(step=3, recent_losses=[1.0])
    one.save(progress, [share_of("parameter/a", changing, 0, 1)])
    assert one.busy
    changing.zero_()
    progress.recent_losses.append(2.0)
    progress.step = 4
    one.wait()
    found, pieces = checkpoint.read(Folder(tmp_path), 3)
    assert torch.equal(pieces.whole("parameter/a"), VALUES)
    assert (found.step, found.recent_losses) == (3, [1.0])
    [report] = one.reports()
    assert report.seconds > 0.3 > report.stalled
    assert report.bytes == 4000


def test_a_full_disk_loses_old_checkpoints_first(tmp_path: Path) -> None:
    place = SmallDisk(tmp_path, 4)
    one = saver(place)
    for step in range(1, 7):
        save(one, step, best=2)
    one.wait()
    assert place.steps() == [2, 4, 5, 6]
    problems = [report.problem for report in one.reports()]
    assert problems[4] == "the disk was full: 2 old checkpoints were removed"
    assert [problem for problem in problems if problem] == [problems[4]]


def test_a_disk_that_stays_full_ends_the_run_and_keeps_what_there_is(tmp_path: Path) -> None:
    place = SmallDisk(tmp_path, 1)
    one = saver(place)
    for step in (1, 2):
        save(one, step)
    one.wait()
    with pytest.raises(TrainError) as caught:
        save(one, 3)
    assert caught.value.what == "the disk is full (No space left on device), also without old checkpoints"
    assert place.steps() == [1]
    assert not list(tmp_path.rglob("rank*")) or place.steps() == [1]


def test_a_place_that_is_away_for_a_moment_costs_a_checkpoint_and_not_the_run(tmp_path: Path) -> None:
    class Away(Folder):
        def write_part(self, step: int, *arguments: Any) -> None:
            if step in (2, 3):
                raise ConnectionError("the store does not answer")
            super().write_part(step, *arguments)

    one = saver(Away(tmp_path))
    for step in range(1, 5):
        save(one, step)
    one.wait()
    assert one.place.steps() == [1, 4]
    problems = [report.problem for report in one.reports() if report.failed]
    assert problems == ["it failed (the store does not answer); the one before it is in force"] * 2


def test_three_failures_in_a_row_end_the_run(tmp_path: Path) -> None:
    class Gone(Folder):
        def write_part(self, *arguments: Any) -> None:
            raise ConnectionError("the store does not answer")

    one = saver(Gone(tmp_path))
    with pytest.raises(TrainError) as caught:
        for step in range(1, 6):
            save(one, step)
    assert caught.value.what == "3 checkpoints in a row could not be written (the store does not answer)"


def test_the_first_worker_does_not_wait_for_a_part_that_failed(tmp_path: Path) -> None:
    one = saver(Folder(tmp_path), 0, 2)
    save(one, 1)
    time.sleep(0.2)
    assert one.busy
    one.give_up()
    one.wait()
    [report] = one.reports()
    assert report.failed
    assert Folder(tmp_path).steps() == []
    other = saver(Folder(tmp_path), 1, 2)
    for worker in (other, one):
        save(worker, 2)
    one.wait()
    assert Folder(tmp_path).steps() == [2]


def test_a_lost_worker_that_wakes_up_publishes_nothing(tmp_path: Path) -> None:
    one = saver(Folder(tmp_path), mine=False)
    save(one, 1)
    one.wait()
    assert Folder(tmp_path).steps() == []
