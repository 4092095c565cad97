"""Intervals and p-values that may be looked at as often as one likes: every look counts at once.

A normal mixture over the difference (Robbins 1970; Johari et al. 2017, arXiv:1512.04922), with the variance estimated
as it comes: an asymptotic confidence sequence (Waudby-Smith et al. 2024, Annals of Statistics, arXiv:2103.06476).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, inf, log, sqrt

from tunesmith.experiment.sample import Difference


@dataclass(frozen=True)
class Interval:
    """Estimate, interval and p-value of a difference, valid at every look together. Infinite while nothing is known."""

    estimate: float
    low: float
    high: float
    p: float


def interval(found: Difference, alpha: float, planned_users: int, minimum: int = 100) -> Interval:
    """The interval that covers the true difference at every look at once, but for a chance of `alpha`.

    `planned_users` is when it is to be narrowest, users of both variants together; being off costs little.
    Nothing is said before both have `minimum` users: only then is the mean of their values near a normal one.
    """
    if min(found.users) < minimum or not 0 < found.variance < inf:
        return Interval(found.estimate, -inf, inf, 1.0)
    spread = mixing_variance(found, alpha, planned_users)
    radius = sqrt(radius_squared(found.variance, spread, alpha))
    return Interval(found.estimate, found.estimate - radius, found.estimate + radius, p_value(found, spread))


def mixing_variance(found: Difference, alpha: float, planned_users: int) -> float:
    """The variance of the normal that is mixed over, so that the interval is narrowest at `planned_users`.

    Waudby-Smith et al., appendix on the choice of rho: (-2 log a + log(-2 log a) + 1) times the estimate's variance
    then. Shares of the variants are those of now.
    """
    at_plan = found.variance * sum(found.users) / planned_users
    return (-2 * log(alpha) + log(-2 * log(alpha)) + 1) * at_plan


def radius_squared(variance: float, spread: float, alpha: float) -> float:
    """Half the width of the interval, squared."""
    total = variance + spread
    return 2 * variance * total / spread * (log(total / variance) / 2 - log(alpha))


def p_value(found: Difference, spread: float) -> float:
    """One over the mixture's likelihood ratio against no difference, at most 1."""
    variance, total = found.variance, found.variance + spread
    evidence = spread * found.estimate**2 / (2 * variance * total) - log(total / variance) / 2
    return 1.0 if evidence <= 0 else exp(-evidence)


def users_needed(found: Difference, effect: float, alpha: float, planned_users: int, most: int = 10**9) -> int | None:
    """Users, of both together, at which the interval's half-width would be `effect`; None where `most` would not do.

    Shares of the variants and a user's variance are taken as they are now.
    """
    if not effect > 0 or not 0 < found.variance < inf:
        return None
    total = sum(found.users)
    spread = mixing_variance(found, alpha, planned_users)

    def narrow(users: int) -> bool:
        return radius_squared(found.variance * total / users, spread, alpha) <= effect**2

    if not narrow(most):
        return None
    low, high = 1, most
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if narrow(middle) else (middle + 1, high)
    return low
