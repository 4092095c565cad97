"""Two samples of one descriptor: how far apart they are, and how likely that is by chance."""

from __future__ import annotations

import numpy as np

SMALL_CELL = 5.0
"""Expected counts below this are too small for the chi-square distribution (Cochran 1954)."""


def kolmogorov_smirnov(reference: np.ndarray, window: np.ndarray) -> float:
    """Greatest distance between the distribution functions of two sorted samples.

    Between two values of the window its function is flat and the other only rises, so both ends of each step suffice.
    """
    values, counts = _steps(window)
    after = np.cumsum(counts) / len(window)
    above = np.abs(np.searchsorted(reference, values, "right") / len(reference) - after)
    below = np.abs(np.searchsorted(reference, values, "left") / len(reference) - (after - counts / len(window)))
    return float(max(above.max(), below.max()))


def _steps(sample: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values and their counts in a sorted sample."""
    starts = np.flatnonzero(np.concatenate([[True], sample[1:] != sample[:-1]]))
    return sample[starts], np.diff(np.append(starts, len(sample)))


def ks_p_value(distance: float | np.ndarray, num_reference: int, num_window: int) -> np.ndarray:
    """Kolmogorov's distribution with Stephens' correction for few values (Stephens 1970); too large with ties."""
    from scipy.special import kolmogorov

    root = np.sqrt(num_reference * num_window / (num_reference + num_window))
    chances: np.ndarray = np.asarray(kolmogorov((root + 0.12 + 0.11 / root) * np.asarray(distance)))
    return chances


def chi_square(reference: np.ndarray, window: np.ndarray) -> tuple[float, int]:
    """Pearson's statistic of homogeneity and its degrees of freedom, for two rows of counts over the same cells.

    A cell of which the window should have fewer than SMALL_CELL is counted with the others like it, by the reference
    alone. What is left of small cells has Yates' correction, so that one new value is no discovery.
    """
    few = reference * (window.sum() / max(1, reference.sum())) < SMALL_CELL
    if few.any():
        reference = np.append(reference[~few], reference[few].sum())
        window = np.append(window[~few], window[few].sum())
    both = reference + window
    reference, window, both = reference[both > 0], window[both > 0], both[both > 0]
    if len(both) < 2:
        return 0.0, 0
    total = 0.0
    for counts in (reference, window):
        expected = both * (counts.sum() / both.sum())
        off = np.abs(counts - expected)
        small = both * (window.sum() / both.sum()) < SMALL_CELL
        off[small] = np.maximum(off[small] - 0.5, 0)
        total += float((off**2 / expected).sum())
    return total, len(both) - 1


def chi_square_p_value(statistic: float | np.ndarray, degrees: int | np.ndarray) -> np.ndarray:
    """Chance of as much or more; 1 where there is one cell only."""
    from scipy.special import chdtrc

    degrees = np.asarray(degrees)
    chances: np.ndarray = np.where(degrees > 0, chdtrc(np.maximum(degrees, 1), np.asarray(statistic)), 1.0)
    return chances


def jensen_shannon(reference: np.ndarray, window: np.ndarray) -> float:
    """Divergence in bits of two rows of counts, 0 to 1; its root is a distance (Endres and Schindelin 2003)."""
    p, q = reference / max(1, reference.sum()), window / max(1, window.sum())
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(p > 0, p * np.log2(p / middle), 0) + np.where(q > 0, q * np.log2(q / middle), 0)
    return float(max(0.0, parts.sum() / 2))


def stability_index(reference: np.ndarray, window: np.ndarray) -> float:
    """PSI of two rows of counts: sum of (p - q) ln(p / q), with half a row more in each cell so that none is empty.

    Shown, never judged by: what it is by chance depends on the size of the window (Yurdakul and Naranjo 2020).
    """
    p = (reference + 0.5) / (reference + 0.5).sum()
    q = (window + 0.5) / (window + 0.5).sum()
    return float(((p - q) * np.log(p / q)).sum())
