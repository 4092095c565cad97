"""What an experiment decides, told in sentences."""

from __future__ import annotations

import json

import pytest

from tunesmith.experiment.decision import Metric, decide
from tunesmith.experiment.sample import Sample

LIKED = Metric("liked", matters=0.02)
SLOW = Metric("seconds", better="lower", decides=False)


def rate(successes: int, users: int) -> Sample:
    mean = successes / users
    return Sample(users, mean, users * mean * (1 - mean))


@pytest.mark.parametrize(
    ("variant", "control", "verdict", "reason"),
    [
        ((3000, 5000), (2500, 5000), "promote", "liked +0.1 [+0.06"),
        ((2000, 5000), (2500, 5000), "roll back", "liked -0.1 [-0.13"),
        ((50_000, 100_000), (50_000, 100_000), "keep", "no difference that matters"),
        ((260, 500), (250, 500), "inconclusive", "1,000 users so far; about "),
        ((60, 99), (10, 5000), "inconclusive", "5,099 users so far"),
        ((0, 1), (0, 1), "inconclusive", "too few users to say how many are needed"),
    ],
)
def test_verdicts(variant: tuple[int, int], control: tuple[int, int], verdict: str, reason: str) -> None:
    found = decide([LIKED], {"liked": [(rate(*variant), rate(*control))]}, planned_users=10_000)
    assert found.verdict == verdict
    assert reason in found.reason


def test_users_still_needed_are_said() -> None:
    found = decide([LIKED], {"liked": [(rate(270, 500), rate(250, 500))]}, planned_users=10_000)
    assert found.verdict == "inconclusive"
    assert found.users_needed is not None and found.users_needed > 1000
    assert f"about {found.users_needed - 1000:,} more" in found.reason


def test_a_mismatch_blocks_the_reading() -> None:
    found = decide([LIKED], {"liked": [(rate(3000, 5000), rate(2500, 5000))]}, mismatch_p=1e-5)
    assert found.verdict == "blocked"
    assert "(p = 1e-05)" in found.reason
    assert not found.readings


def test_a_guardrail_is_above_everything() -> None:
    found = decide([LIKED], {}, mismatch_p=0.0, broken=["it fails"])
    assert (found.verdict, found.reason) == ("roll back", "it fails")


def test_a_metric_that_does_not_decide_can_still_take_a_variant_back() -> None:
    better = [(rate(3000, 5000), rate(2500, 5000))]
    slower = [(Sample(5000, 2.0, 5000.0), Sample(5000, 1.0, 5000.0))]
    as_fast = [(Sample(5000, 1.0, 5000.0), Sample(5000, 1.0, 5000.0))]
    assert decide([LIKED, SLOW], {"liked": better, "seconds": slower}).verdict == "roll back"
    assert decide([LIKED, SLOW], {"liked": better, "seconds": as_fast}).verdict == "promote"


def test_several_metrics_share_the_chance_of_an_error() -> None:
    pair = [(rate(2700, 5000), rate(2500, 5000))]
    alone = decide([LIKED], {"liked": pair}).readings[0]
    among = decide([LIKED, SLOW], {"liked": pair}).readings[0]
    assert among.high - among.low > alone.high - alone.low


def test_every_promotion_needs_every_metric_that_decides() -> None:
    other = Metric("kept")
    samples = {"liked": [(rate(3000, 5000), rate(2500, 5000))], "kept": [(rate(2510, 5000), rate(2500, 5000))]}
    assert decide([LIKED, other], samples).verdict == "inconclusive"


def test_it_is_json() -> None:
    found = decide([LIKED], {"liked": [(rate(1, 2), rate(1, 2))]})
    written = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert written["readings"][0]["low"] is None
    assert written["verdict"] == "inconclusive"
