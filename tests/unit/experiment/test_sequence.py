"""Intervals that may be looked at every day: the same as an independent library's, rarely wrong, and not much wider."""

from __future__ import annotations

from math import inf, log, sqrt

import numpy as np
import pytest
import scipy.stats
import ville

from tunesmith.experiment.decision import Metric, decide
from tunesmith.experiment.sample import Difference, Sample, difference
from tunesmith.experiment.sequence import interval, mixing_variance, p_value, radius_squared, users_needed

ALPHA = 0.05


def sample(values: np.ndarray) -> Sample:
    return Sample.of(float(value) for value in values)


def test_the_half_width_is_that_of_ville() -> None:
    """For the mean of one stream; ours is for an estimate of any variance, of which that is a case."""
    rng = np.random.default_rng(0)
    values = rng.exponential(2.0, 3000)
    theirs = ville.AsymptoticCS(alpha=ALPHA, t_opt=1000).fit(values)
    for n in (100, 500, 3000):
        of_a_user = float(values[:n].var(ddof=1))
        ours = sqrt(radius_squared(of_a_user / n, of_a_user / theirs.rho_, ALPHA))
        assert ours == pytest.approx((theirs.upper_[n - 1] - theirs.lower_[n - 1]) / 2, rel=1e-9)


def test_it_is_narrowest_where_it_is_planned_to_be() -> None:
    """The published choice of rho is within a per cent of the best one."""
    found = Difference(0.0, 4.0 / 1000, 1.0, (500, 500))
    chosen = radius_squared(found.variance, mixing_variance(found, ALPHA, 1000), ALPHA)
    best = min(radius_squared(found.variance, found.variance * ratio, ALPHA) for ratio in np.geomspace(0.1, 1000, 2000))
    assert best <= chosen < 1.01 * best


def test_interval_and_p_say_the_same() -> None:
    """At the p-value as alpha, with the same mixture, the interval ends at zero."""
    found = Difference(0.3, 0.01, 1.0, (400, 400))
    spread = mixing_variance(found, ALPHA, 800)
    p = p_value(found, spread)
    assert sqrt(radius_squared(found.variance, spread, p)) == pytest.approx(0.3, rel=1e-9)


def test_wider_than_an_interval_looked_at_once_but_not_by_much() -> None:
    found = Difference(0.0, 4.0 / 10_000, 1.0, (5000, 5000))
    seen = interval(found, ALPHA, 10_000)
    once = float(scipy.stats.norm.ppf(0.975)) * sqrt(found.variance)
    assert 1.2 < seen.high / once < 1.65


def test_nothing_is_said_of_few_users() -> None:
    few = difference([(sample(np.ones(99) + np.arange(99)), sample(np.arange(1000.0)))])
    assert interval(few, ALPHA, 1000).high == inf
    same = difference([(sample(np.ones(500)), sample(np.ones(500)))])
    assert interval(same, ALPHA, 1000).p == 1.0


def test_a_difference_is_that_of_a_t_test() -> None:
    rng = np.random.default_rng(1)
    one, two = rng.normal(1.0, 2.0, 300), rng.normal(0.5, 1.0, 700)
    found = difference([(sample(one), sample(two))])
    welch = scipy.stats.ttest_ind(one, two, equal_var=False)
    assert found.estimate / found.error == pytest.approx(welch.statistic)


def test_a_change_of_weights_makes_no_difference_of_its_own() -> None:
    """Rates rise for everybody while the variant's share does: compared as one heap it would look better."""
    rng = np.random.default_rng(2)
    early = sample(rng.binomial(1, 0.1, 200)), sample(rng.binomial(1, 0.1, 9800))
    late = sample(rng.binomial(1, 0.4, 5000)), sample(rng.binomial(1, 0.4, 5000))
    heap = difference([(early[0] + late[0], early[1] + late[1])])
    strata = difference([early, late])
    assert heap.estimate > 10 * heap.error
    assert abs(strata.estimate) < 3 * strata.error


def test_samples_add_up() -> None:
    values = np.random.default_rng(3).normal(size=100)
    whole, parts = sample(values), sample(values[:30]) + sample(values[30:])
    assert (parts.users, parts.mean, parts.variance) == pytest.approx((100, whole.mean, whole.variance))
    assert whole.variance == pytest.approx(values.var(ddof=1))
    assert Sample(0, 0.0, 0.0) + whole == whole


def test_users_needed_are_those_at_which_the_interval_is_that_narrow() -> None:
    found = Difference(0.02, 4 * 0.25 / 2000, 0.25, (1000, 1000))
    needed = users_needed(found, 0.02, ALPHA, 10_000)
    assert needed is not None
    spread = mixing_variance(found, ALPHA, 10_000)
    at = radius_squared(found.variance * 2000 / needed, spread, ALPHA)
    before = radius_squared(found.variance * 2000 / (needed - 1), spread, ALPHA)
    assert at <= 0.02**2 < before
    assert users_needed(found, 0.0, ALPHA, 10_000) is None
    assert users_needed(found, 1e-9, ALPHA, 10_000) is None


@pytest.mark.slow
def test_looking_a_hundred_times_is_rarely_wrong() -> None:
    """300 experiments without a difference, each read and decided on a hundred times; 1,000 are in the benchmark."""
    rng = np.random.default_rng(4)
    wrong = 0
    metric = [Metric("conversion")]
    for _ in range(300):
        values = rng.binomial(1, 0.2, (2, 5000))
        sums = values.cumsum(axis=1)
        for users in range(50, 5001, 50):
            pair = tuple(bernoulli(int(sums[arm, users - 1]), users) for arm in (0, 1))
            if decide(metric, {"conversion": [pair]}, ALPHA, 5000).verdict != "inconclusive":
                wrong += 1
                break
    assert wrong / 300 <= ALPHA


def bernoulli(successes: int, users: int) -> Sample:
    mean = successes / users
    return Sample(users, mean, users * mean * (1 - mean))


def test_the_boundary_grows_as_slowly_as_it_must() -> None:
    """For ever: log(t)/t under the root, so what is not there is never found however long one looks."""
    found = Difference(0.0, 1e-9, 1.0, (2 * 10**9, 2 * 10**9))
    seen = interval(found, ALPHA, 10_000)
    assert seen.high / found.error == pytest.approx(sqrt(log(4e9 / 10_000 / 8.9)), rel=0.6)
