"""When checkpoints are due."""

from __future__ import annotations

import math

import pytest

from tunesmith.recipe.train import seconds_of
from tunesmith.train import interval
from tunesmith.train.interval import Interval


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(interval.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_steps_are_counted_from_the_start_of_the_run(clock: Clock) -> None:
    every = Interval(10, 100, 1, 0, 0.0)
    assert [step for step in range(1, 31) if every.due(step) and (every.saved(step) or True)] == [10, 20, 30]
    resumed = Interval(10, 100, 1, 0, 0.0)
    resumed.saved(13)  # a drained node left it there
    assert [step for step in range(14, 31) if resumed.due(step) and (resumed.saved(step) or True)] == [20, 30]


def test_a_checkpoint_that_had_to_wait_is_made_up_for(clock: Clock) -> None:
    every = Interval(10, 100, 1, 0, 0.0)
    assert every.due(10)  # not begun: the one before was still being written
    assert every.due(11)
    every.saved(11)
    assert not every.due(12)
    assert every.due(20)


def test_a_time_is_a_time(clock: Clock) -> None:
    every = Interval("90s", 100, 1, 0, 0.0)
    clock.now += 89
    assert not every.due(5)
    clock.now += 1
    assert every.due(6)
    every.saved(6)
    assert not every.due(7)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15m", 900), ("1.5h", 5400)])
def test_times_in_words(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


def test_auto_is_youngs_interval(clock: Clock) -> None:
    """sqrt(2 C M): 2 s a checkpoint and a failure in 24 h give 588 s, four workers half, 15 failures a quarter."""
    for workers, failures, expected in ((1, 0, 587.88), (4, 0, 293.94), (1, 15, 146.97)):
        every = Interval("auto", 10**6, workers, failures, 0.0)
        every.cost(2.0, 0.0)
        assert every.wanted_seconds() == pytest.approx(expected, abs=0.01)
    every.cost(0.0001, 60.0)
    assert every.wanted_seconds() == max(120.0, math.sqrt(2 * 6.0001 * 86400 / 16))


def test_auto_saves_ten_times_over_a_run_at_least(clock: Clock) -> None:
    every = Interval("auto", 50, 1, 0, 0.0)
    assert [step for step in range(1, 21) if every.due(step) and (every.saved(step) or True)] == [5, 10, 15, 20]
