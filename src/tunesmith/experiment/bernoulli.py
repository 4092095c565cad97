"""Rates: bounds that hold at every look and from the first trial on, with no appeal to large numbers.

A mixture of binomial likelihoods over a beta prior is a martingale at the true rate (Robbins 1970; Howard et al. 2021,
Annals of Statistics, arXiv:1810.08240, section 3): rates at which it exceeds 1/alpha are ruled out.
"""

from __future__ import annotations

from collections.abc import Callable
from math import lgamma, log

UNIFORM = (1.0, 1.0)
STEPS = 60


def bounds(successes: int, trials: int, alpha: float, prior: tuple[float, float] = UNIFORM) -> tuple[float, float]:
    """Lowest and highest rate that are not ruled out, each by bisection to 1e-12."""
    if not trials:
        return 0.0, 1.0
    centre = successes / trials
    limit = -log(alpha)

    def inside(rate: float) -> bool:
        return log_evidence(successes, trials, rate, prior) < limit

    low = 0.0 if not successes else _edge(0.0, centre, inside)
    high = 1.0 if successes == trials else _edge(1.0, centre, inside)
    return low, high


def log_evidence(successes: int, trials: int, rate: float, prior: tuple[float, float] = UNIFORM) -> float:
    """Log of the mixture's likelihood over that of `rate`; infinite where `rate` makes what was seen impossible."""
    failures = trials - successes
    if (successes and rate <= 0) or (failures and rate >= 1):
        return float("inf")
    a, b = prior
    mixture = _log_beta(a + successes, b + failures) - _log_beta(a, b)
    return mixture - (successes * log(rate) if successes else 0.0) - (failures * log(1 - rate) if failures else 0.0)


def _edge(outside: float, inside: float, holds: Callable[[float], bool]) -> float:
    for _ in range(STEPS):
        middle = (outside + inside) / 2
        outside, inside = (outside, middle) if holds(middle) else (middle, inside)
    return inside


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)
