"""What a plan takes of the training loop is what the loop does."""

from __future__ import annotations

from tunesmith.plan.search import spot
from tunesmith.train import interval


def test_a_run_without_an_interval_has_as_many_checkpoints_as_are_planned() -> None:
    assert spot.PARTS == interval.PARTS
