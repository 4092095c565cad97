"""Whether users came in the shares that the weights say. Where not, something loses them, and no reading is honest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, lgamma, log

CONCENTRATION = 100.0
"""How near to the weights a mismatch is looked for."""

ALPHA = 0.001
"""Below this the reading is blocked: a false alarm stops an experiment, and is looked for at every look."""

Stratum = tuple[Mapping[str, int], Mapping[str, float]]
"""Users by variant, and the weights of the time in which they came."""


def mismatch_p(strata: Sequence[Stratum]) -> float:
    """A p-value that may be looked at at any time (Lindon & Malek 2022, NeurIPS, arXiv:2011.03567).

    A Dirichlet mixture of multinomial likelihoods over that of the weights; strata multiply. A variant without weight
    that has users is a mismatch for certain.
    """
    evidence = 0.0
    for users, weights in strata:
        total = sum(weights.values())
        shares = {name: weight / total for name, weight in weights.items() if weight > 0}
        if any(number and name not in shares for name, number in users.items()):
            return 0.0
        prior = {name: CONCENTRATION * share for name, share in shares.items()}
        number = sum(users.values())
        evidence += lgamma(CONCENTRATION) - lgamma(CONCENTRATION + number)
        for name, share in shares.items():
            came = users.get(name, 0)
            evidence += lgamma(prior[name] + came) - lgamma(prior[name]) - came * log(share)
    return 1.0 if evidence <= 0 else exp(-min(evidence, 700.0))
