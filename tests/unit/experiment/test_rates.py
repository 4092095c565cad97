"""Rates, guardrails and shares of users: exact at small numbers, rarely wrong, and quick to see what is broken."""

from __future__ import annotations

import numpy as np
import pytest
import ville

from tunesmith.experiment.bernoulli import bounds
from tunesmith.experiment.guardrail import Count, Guardrail, judge
from tunesmith.experiment.mismatch import ALPHA, mismatch_p


def test_bounds_are_those_of_ville() -> None:
    seen = np.random.default_rng(0).binomial(1, 0.07, 400)
    theirs = ville.BernoulliCS(alpha=0.02, intersect=False).fit(seen)
    for n in (1, 10, 100, 400):
        low, high = bounds(int(seen[:n].sum()), n, 0.02)
        assert (low, high) == pytest.approx((theirs.lower_[n - 1], theirs.upper_[n - 1]), abs=1e-9)


@pytest.mark.parametrize(("happened", "of"), [(0, 0), (0, 5), (5, 5), (3, 7)])
def test_what_was_seen_is_never_ruled_out(happened: int, of: int) -> None:
    low, high = bounds(happened, of, 0.05)
    assert 0 <= low <= (happened / of if of else 0.5) <= high <= 1


def test_a_broken_variant_is_seen_after_a_handful_of_requests() -> None:
    rule = Guardrail("error_rate", limit=0.05)
    first = next(n for n in range(1, 100) if judge(rule, Count(n, n), None).broken)
    assert first <= 4


def test_a_variant_that_keeps_its_rule_is_left_alone() -> None:
    """2,000 of them, at the very limit, each looked at after every request."""
    rng = np.random.default_rng(1)
    rule = Guardrail("error_rate", limit=0.05, alpha=0.01)
    fired = 0
    for _ in range(300):
        errors = rng.binomial(1, 0.05, 1000).cumsum()
        fired += any(judge(rule, Count(int(errors[n - 1]), n), None).broken for n in range(10, 1001, 10))
    assert fired / 300 <= 0.02


def test_worse_than_the_control_is_broken_even_within_the_limit() -> None:
    rule = Guardrail("empty_rate", limit=0.5, margin=0.02)
    found = judge(rule, Count(60, 300), Count(10, 1000))
    assert found.broken
    assert found.reason.startswith("60 of 300 (20.0%) answers without text: at least ")
    assert "the control has at most" in found.reason
    assert not judge(rule, Count(4, 300), Count(10, 1000)).broken
    assert judge(rule, Count(0, 0), Count(0, 0)).reason == "0 of 0 (none yet) answers without text: within its rule"


def test_lost_users_are_seen_and_honest_shares_are_not() -> None:
    assert mismatch_p([({"control": 5300, "a": 4700}, {"control": 1, "a": 1})]) < ALPHA
    assert mismatch_p([({"control": 5030, "a": 4970}, {"control": 1, "a": 1})]) == 1.0
    assert mismatch_p([({"control": 90, "a": 10}, {"control": 9, "a": 1}), ({}, {"control": 1, "a": 1})]) == 1.0
    assert mismatch_p([({"control": 5, "a": 1}, {"control": 1, "a": 0})]) == 0.0


def test_shares_may_be_looked_at_every_day() -> None:
    rng = np.random.default_rng(2)
    wrong = 0
    for _ in range(300):
        came = rng.binomial(1, 0.1, 20_000).cumsum()
        looks = range(200, 20_001, 200)
        wrong += any(
            mismatch_p([({"a": int(came[n - 1]), "control": n - int(came[n - 1])}, {"control": 0.9, "a": 0.1})]) < 0.05
            for n in looks
        )
    assert wrong / 300 <= 0.05
