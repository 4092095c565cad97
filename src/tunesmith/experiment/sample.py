"""What was measured of a variant's users, in three numbers, and the difference of two variants."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt


@dataclass(frozen=True)
class Sample:
    """Users of one variant: how many, the mean of a metric (one value a user), and the sum of squared deviations."""

    users: int
    mean: float
    squares: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Sample:
        """From one value for each user (Welford 1962)."""
        users, mean, squares = 0, 0.0, 0.0
        for value in values:
            users += 1
            step = value - mean
            mean += step / users
            squares += step * (value - mean)
        return cls(users, mean, squares)

    @property
    def variance(self) -> float:
        """Of a user's value; 0 for fewer than two."""
        return self.squares / (self.users - 1) if self.users > 1 else 0.0

    def __add__(self, other: Sample) -> Sample:
        if not self.users or not other.users:
            return other if other.users else self
        users = self.users + other.users
        step = other.mean - self.mean
        mean = self.mean + step * other.users / users
        return Sample(users, mean, self.squares + other.squares + step**2 * self.users * other.users / users)


@dataclass(frozen=True)
class Difference:
    """Variant minus control: the estimate, its variance, a user's variance, and users of the variant and the control.

    `variance` is infinite while either has fewer than two users.
    """

    estimate: float
    variance: float
    of_a_user: float
    users: tuple[int, int]

    @property
    def error(self) -> float:
        """The standard error."""
        return sqrt(self.variance)


Pair = tuple[Sample, Sample]
"""Variant and control."""


def difference(strata: Sequence[Pair]) -> Difference:
    """The difference within strata, put together.

    A stratum is a time with the same weights: users who came while the variant had 1 % of the traffic are compared with
    those of the control who came then, never with those of a later week. Each counts by n1·n0/(n1+n0) (Cochran 1954).
    """
    users = (sum(variant.users for variant, _ in strata), sum(control.users for _, control in strata))
    usable = [(variant, control) for variant, control in strata if variant.users > 1 and control.users > 1]
    if not usable:
        return Difference(0.0, float("inf"), 0.0, users)
    weights = [variant.users * control.users / (variant.users + control.users) for variant, control in usable]
    total = sum(weights)
    estimate = sum(w * (v.mean - c.mean) for w, (v, c) in zip(weights, usable, strict=True)) / total
    variance = sum(
        w**2 * (v.variance / v.users + c.variance / c.users) for w, (v, c) in zip(weights, usable, strict=True)
    )
    squares = sum(v.squares + c.squares for v, c in usable)
    degrees = sum(v.users + c.users - 2 for v, c in usable)
    return Difference(estimate, variance / total**2, squares / degrees, users)
