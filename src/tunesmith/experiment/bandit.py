"""Thompson sampling: weights that follow what is known, with a share that the control keeps whatever happens."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from random import Random

from tunesmith.errors import StoreError
from tunesmith.experiment.sample import Sample

DRAWS = 4_000
LEAST = 0.01
"""No variant falls below this share, or it could never be known better."""


def thompson_weights(
    samples: Mapping[str, Sample], control: str, control_share: float, rng: Random, better: str = "higher"
) -> dict[str, float]:
    """The share of draws in which each variant's mean is the best (Thompson 1933), for those besides the control.

    Means are drawn from the normal around what was seen; a variant with fewer than two users is drawn as widely as all
    users spread. The control has `control_share`, fixed, so that there is always an unbiased comparison. What comes out
    are the propensities to be logged with every assignment. Raises StoreError where nothing is left to share.
    """
    others = [name for name in samples if name != control]
    if control not in samples or not others or not 0 < control_share < 1:
        raise StoreError(
            "Thompson sampling needs a control with a share between 0 and 1, and another variant",
            where="control_share",
            fix="0.2 is usual",
        )
    sign = 1.0 if better == "higher" else -1.0
    whole = sum(samples.values(), Sample(0, 0.0, 0.0))
    wide = sqrt(whole.variance) or 1.0
    drawn = {
        name: (sign * one.mean, sqrt(one.variance / one.users)) if one.users > 1 else (sign * whole.mean, wide)
        for name, one in samples.items()
        if name != control
    }
    wins = dict.fromkeys(others, 0)
    for _ in range(DRAWS):
        values = {name: rng.gauss(mean, error) for name, (mean, error) in drawn.items()}
        wins[max(values, key=values.__getitem__)] += 1
    rest = 1 - control_share
    floor = min(LEAST, rest / (2 * len(others)))
    free = rest - floor * len(others)
    return {control: control_share, **{name: floor + free * wins[name] / DRAWS for name in others}}
