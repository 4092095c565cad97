"""Rungs in dollars: who rests, who goes on, who is called again."""

from __future__ import annotations

from decimal import Decimal

from tunesmith.sweep.schedule.asha import DollarAsha


def ended_at(scheduler: DollarAsha, name: str, usd: float, loss: float) -> str:
    return scheduler.decide(name, Decimal(str(usd)), loss)


def test_one_in_three_goes_on_and_better_ones_are_called_again() -> None:
    asha = DollarAsha(Decimal(9), reduction_factor=3, num_rungs=2)
    assert asha.rungs == [1.0, 3.0]
    assert ended_at(asha, "a", 1, 3.0) == "stop"
    assert ended_at(asha, "b", 1, 2.0) == "stop"
    assert not asha.resumable(["a", "b"])
    assert ended_at(asha, "c", 1, 4.0) == "stop"
    assert asha.resumable(["a", "b", "c"]) == ["b"]
    assert ended_at(asha, "d", 1, 1.0) == "continue"  # the best of four
    assert ended_at(asha, "d", 2, 0.9) == "continue"  # no rung lies here
    assert ended_at(asha, "d", 3, 0.8) == "stop"  # alone on the second rung


def test_a_trial_that_had_its_end_for_less_is_compared_as_it_ended() -> None:
    asha = DollarAsha(Decimal(9), reduction_factor=2, num_rungs=1)
    for usd, loss in ((1, 2.0), (2, 1.0)):
        ended_at(asha, "cheap", usd, loss)
    asha.ended("cheap")
    assert ended_at(asha, "dear", 4.5, 1.5) == "stop"


def test_the_expected_end_decides_where_it_is_known() -> None:
    ends = {"short": 2.0, "long": 1.0, "third": 3.0}
    asha = DollarAsha(Decimal(9), reduction_factor=3, num_rungs=2, outlook=lambda name, loss: ends[name])
    for name, loss in (("short", 2.5), ("long", 4.0), ("third", 3.5)):
        ended_at(asha, name, 1, loss)
    assert asha.resumable(ends) == ["long"]


def test_a_corrected_cost_moves_the_rungs_of_all() -> None:
    asha = DollarAsha(Decimal(9), reduction_factor=3, num_rungs=2)
    ended_at(asha, "a", 1, 3.0)
    asha.rebase(Decimal(90))
    assert asha.rungs == [10.0, 30.0]
    assert ended_at(asha, "b", 1, 3.0) == "continue"


def test_no_number_is_no_loss() -> None:
    assert ended_at(DollarAsha(Decimal(9)), "a", 0.1, float("nan")) == "stop"
