"""A window against the reference: one statistic for each descriptor, its p-value, and how large the change is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tunesmith.monitor.drift.observed import NOT_COUNTED, UNLIKENESS, VOCABULARY, Observed
from tunesmith.monitor.drift.statistics import (
    chi_square,
    chi_square_p_value,
    jensen_shannon,
    kolmogorov_smirnov,
    ks_p_value,
)

KS, CHI_SQUARE, MEAN, DIVERGENCE = "kolmogorov-smirnov", "chi-square", "nearest neighbours", "jensen-shannon"

FLOORS = {KS: 0.08, CHI_SQUARE: 0.1, MEAN: 0.1, DIVERGENCE: 0.05}
"""Effects below these are trifles, however sure: distance of distribution functions; Jensen-Shannon distance; shift of
the mean in standard deviations; Jensen-Shannon distance beyond what chance gives."""

WEIGHT_OF_UNLIKENESS = 0.5
"""Share of the false alarms that the comparison of all dimensions at once may have; the rest share the rest."""


@dataclass(frozen=True)
class Chance:
    """Mean and variance, over resamples of the reference, of the vocabulary's divergence times the harmonic size."""

    mean: float = 1.0
    variance: float = 1.0


@dataclass(frozen=True)
class Test:
    """One descriptor and how it is compared."""

    name: str
    kind: str
    weight: float

    @property
    def floor(self) -> float:
        """The least effect that counts."""
        return FLOORS[self.kind]


def all_tests(observed: Observed) -> list[Test]:
    """Every test that there is for these columns; the weights add up to 1."""
    kinds = dict.fromkeys(observed.numbers, KS) | dict.fromkeys(observed.categories, CHI_SQUARE)
    if observed.buckets is None:
        return [Test(name, kind, 1 / len(kinds)) for name, kind in kinds.items()]
    kinds[VOCABULARY] = DIVERGENCE
    share = (1 - WEIGHT_OF_UNLIKENESS) / len(kinds)
    return [*(Test(name, kind, share) for name, kind in kinds.items()), Test(UNLIKENESS, MEAN, WEIGHT_OF_UNLIKENESS)]


@dataclass(frozen=True)
class Side:
    """What a comparison needs of one sample: sorted numbers, counts, and the mean of the unlikeness."""

    size: int
    numbers: dict[str, np.ndarray]
    counts: dict[str, np.ndarray]
    mean: float = 0.0
    deviation: float = 1.0

    @classmethod
    def of(cls, observed: Observed, num_cells: dict[str, int]) -> Side:
        """`num_cells` says how many values each category has, the one for unknown ones included."""
        counts = {
            name: np.bincount(codes[codes != NOT_COUNTED], minlength=num_cells[name]).astype(float)
            for name, codes in observed.categories.items()
        }
        if observed.buckets is not None:
            counts[VOCABULARY] = observed.buckets.sum(axis=0).astype(float)
        numbers = {name: np.sort(values) for name, values in observed.numbers.items()}
        far = observed.unlikeness
        size = len(next(iter(numbers.values())))
        if far is None or not size:
            return cls(size, numbers, counts)
        return cls(size, numbers, counts, float(far.mean()), max(1e-9, float(far.std())))

    @classmethod
    def together(cls, parts: list[Side]) -> Side:
        """All rows of several."""
        sizes = [part.size for part in parts]
        return cls(
            sum(sizes),
            {name: np.sort(np.concatenate([part.numbers[name] for part in parts])) for name in parts[0].numbers},
            {name: np.sum([part.counts[name] for part in parts], axis=0) for name in parts[0].counts},
            float(np.average([part.mean for part in parts], weights=sizes)),
        )


def measure(tests: list[Test], reference: Side, window: Side) -> tuple[np.ndarray, np.ndarray]:
    """(tests,) statistics, and (tests,) degrees of freedom where there are any."""
    statistic: np.ndarray = np.zeros(len(tests))
    degrees: np.ndarray = np.zeros(len(tests), int)
    for place, test in enumerate(tests):
        if test.kind == KS:
            statistic[place] = kolmogorov_smirnov(reference.numbers[test.name], window.numbers[test.name])
        elif test.kind == CHI_SQUARE:
            statistic[place], degrees[place] = chi_square(reference.counts[test.name], window.counts[test.name])
        elif test.kind == DIVERGENCE:
            statistic[place] = jensen_shannon(reference.counts[test.name], window.counts[test.name])
        else:
            statistic[place] = (window.mean - reference.mean) / reference.deviation
    return statistic, degrees


def p_values(
    tests: list[Test], statistic: np.ndarray, degrees: np.ndarray, sizes: tuple[int, int], chance: Chance
) -> np.ndarray:
    """(..., tests) chances of such statistics where nothing has changed; `sizes` of the reference and the window."""
    from scipy.special import gammaincc, ndtr

    harmonic = sizes[0] * sizes[1] / (sizes[0] + sizes[1])
    result = np.ones(statistic.shape)
    for place, test in enumerate(tests):
        value = statistic[..., place]
        if test.kind == KS:
            result[..., place] = ks_p_value(value, *sizes)
        elif test.kind == CHI_SQUARE:
            result[..., place] = chi_square_p_value(value, degrees[..., place])
        elif test.kind == DIVERGENCE:
            scale = chance.variance / chance.mean
            result[..., place] = gammaincc(chance.mean / scale, value * harmonic / scale)
        else:
            result[..., place] = ndtr(-value * np.sqrt(harmonic))
    clipped: np.ndarray = np.clip(result, 1e-300, 1.0)
    return clipped


def effects(tests: list[Test], statistic: np.ndarray, reference: Side, window: Side, chance: Chance) -> np.ndarray:
    """(tests,) how large each change is, in the units of FLOORS."""
    harmonic = reference.size * window.size / (reference.size + window.size)
    result = statistic.copy()
    for place, test in enumerate(tests):
        if test.kind == CHI_SQUARE:
            result[place] = np.sqrt(jensen_shannon(reference.counts[test.name], window.counts[test.name]))
        elif test.kind == DIVERGENCE:
            result[place] = np.sqrt(max(0.0, statistic[place] - chance.mean / harmonic))
    return result
