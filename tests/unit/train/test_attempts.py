"""Restarts are counted from the same checkpoint, and end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunesmith.errors import TrainError
from tunesmith.recipe.resources import ResourcesSection
from tunesmith.recipe.train import TrainSection
from tunesmith.train import attempts
from tunesmith.train.attempts import Attempts

RESOURCES, SECTION = ResourcesSection(max_failures=3), TrainSection(micro_batch_tokens=512)


def begin(folder: Path, step: int) -> Attempts:
    return attempts.begin(folder, step, RESOURCES, SECTION)


def test_workers_that_get_nowhere_are_not_started_for_ever(tmp_path: Path) -> None:
    for _ in range(4):
        begin(tmp_path, 10)
    attempts.note_failure(tmp_path, 1, RuntimeError("no kernel image\nfor this GPU"))
    attempts.note_failure(tmp_path, 0, RuntimeError("Connection closed by peer"))
    with pytest.raises(TrainError) as caught:
        begin(tmp_path, 10)
    assert caught.value.what == (
        "the workers were lost 4 times in a row after the checkpoint of step 10 "
        "(worker 1: RuntimeError: no kernel image)"
    )


def test_every_new_checkpoint_starts_the_count_over(tmp_path: Path) -> None:
    for step in range(0, 100, 5):
        begin(tmp_path, step)
    assert Attempts.read(tmp_path).failures == 19
    assert Attempts.read(tmp_path).count == 0


def test_an_end_that_was_asked_for_is_no_failure(tmp_path: Path) -> None:
    for _ in range(20):
        begin(tmp_path, 10)
        attempts.ends_as_asked(tmp_path)
    assert Attempts.read(tmp_path).failures == 0


def test_the_same_command_tries_again(tmp_path: Path) -> None:
    for _ in range(3):
        for _ in range(4):
            begin(tmp_path, 10)
        attempts.forget_count(tmp_path)
    assert Attempts.read(tmp_path).failures == 11


def test_workers_lost_twice_at_one_place_get_smaller_micro_batches(tmp_path: Path) -> None:
    found = [begin(tmp_path, 10).micro_batch_tokens for _ in range(4)]
    assert found == [None, None, 256, 128]
    attempts.ends_as_asked(tmp_path, micro_batch_tokens=64)
    assert begin(tmp_path, 20).micro_batch_tokens == 64


def test_every_attempt_has_a_token_of_its_own(tmp_path: Path) -> None:
    assert begin(tmp_path, 1).token != begin(tmp_path, 2).token


def test_a_damaged_record_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / attempts.NAME).write_text('{"token": ')
    assert begin(tmp_path, 0).count == 0
