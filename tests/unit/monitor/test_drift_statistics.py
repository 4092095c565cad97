"""Statistics of drift against scipy and against plain Python."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency, ks_2samp

from tests.unit.monitor.drifting import profile_of_texts, sentences
from tunesmith.data.profile import Profile
from tunesmith.monitor.drift.calibrate import _threshold
from tunesmith.monitor.drift.compare import Side, all_tests, measure
from tunesmith.monitor.drift.likeness import Likeness, to_unlikeness, to_unlikeness_among
from tunesmith.monitor.drift.observed import Observed
from tunesmith.monitor.drift.reference import Reference
from tunesmith.monitor.drift.resample import Resampler
from tunesmith.monitor.drift.statistics import (
    chi_square,
    chi_square_p_value,
    jensen_shannon,
    kolmogorov_smirnov,
    ks_p_value,
    stability_index,
)

VALUES = st.lists(st.integers(-5, 5).map(float) | st.floats(-5, 5), min_size=1, max_size=60)
COUNTS = st.lists(st.integers(0, 400), min_size=2, max_size=12)


@settings(max_examples=300, deadline=None)
@given(VALUES, VALUES)
def test_kolmogorov_smirnov_is_scipys(one: list[float], other: list[float]) -> None:
    ours = kolmogorov_smirnov(np.sort(np.array(one)), np.sort(np.array(other)))
    assert ours == pytest.approx(ks_2samp(one, other, method="asymp").statistic, abs=1e-12)


@pytest.mark.parametrize("distance", [0.05, 0.09, 0.12, 0.16])
def test_its_p_value_is_near_the_exact_one(distance: float) -> None:
    """Exact for samples of 1,000 and 250 without ties, by scipy."""
    window = np.arange(250) / 250
    reference = np.sort(np.clip(np.arange(1000) / 1000 + distance, None, 1 + distance))
    found = ks_2samp(reference, window, method="exact")
    assert ks_p_value(found.statistic, 1000, 250) == pytest.approx(found.pvalue, rel=0.15)


@settings(max_examples=200, deadline=None)
@given(COUNTS, st.integers(0, 10_000))
def test_chi_square_is_scipys_where_no_cell_is_small(counts: list[int], seed: int) -> None:
    reference = np.array(counts, float) + 200
    window = np.random.default_rng(seed).multinomial(len(counts) * 40, reference / reference.sum()).astype(float)
    if (reference * window.sum() / reference.sum()).min() < 5 or (
        (reference + window) * window.sum() / (reference + window).sum()
    ).min() < 5:
        return
    statistic, degrees = chi_square(reference, window)
    expected = chi2_contingency([reference, window], correction=False)
    assert (statistic, degrees) == (pytest.approx(expected.statistic), expected.dof)
    assert float(chi_square_p_value(statistic, degrees)) == pytest.approx(expected.pvalue)


def test_small_cells_are_merged_by_the_reference_alone() -> None:
    """The last three cells of 4, 6 and none in 1,000 become one; one row of them is no discovery, twelve are."""
    reference = np.array([500, 490, 4, 6, 0], float)
    calm, degrees = chi_square(reference, np.array([125, 124, 0, 0, 1], float))
    assert degrees == 2 and chi_square_p_value(calm, degrees) > 0.5
    new, degrees = chi_square(reference, np.array([120, 118, 0, 0, 12], float))
    assert chi_square_p_value(new, degrees) < 1e-3
    assert chi_square(np.array([0.0, 9]), np.array([0.0, 3])) == (0.0, 0)
    assert float(chi_square_p_value(0.0, 0)) == 1


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=20))
def test_jensen_shannon_is_scipys(cells: list[tuple[int, int]]) -> None:
    one, other = (np.array(part, float) for part in zip(*cells, strict=True))
    if one.sum() and other.sum():
        assert math.sqrt(jensen_shannon(one, other)) == pytest.approx(jensenshannon(one, other, base=2), abs=1e-6)


def test_stability_index_by_hand() -> None:
    value = stability_index(np.array([99.5, 299.5]), np.array([49.5, 49.5]))
    assert value == pytest.approx((0.25 - 0.5) * math.log(0.25 / 0.5) + (0.75 - 0.5) * math.log(0.75 / 0.5))
    assert math.isfinite(stability_index(np.array([10.0, 0]), np.array([0.0, 5])))


@pytest.fixture(scope="module")
def profile() -> Profile:
    return profile_of_texts(sentences(300, seed=1))


def test_unlikeness_is_that_of_dense_vectors(profile: Profile) -> None:
    """Of new texts, and of each row of the reference as if it were new: left out of neighbours and of weights."""

    def dense(of: Profile) -> np.ndarray:
        table = np.zeros((len(of), 1 << 14))
        table[of.features.row_of, of.features.columns] = 1 + np.log(of.features.counts)
        return table

    def slowly(row: np.ndarray, others: np.ndarray) -> float:
        def weights(rows: np.ndarray) -> np.ndarray:
            return np.log((1 + len(rows)) / (1 + (rows > 0).sum(axis=0))) + 1

        query = row * weights(others)
        lengths = np.linalg.norm(others * weights(others), axis=1)
        cosines = (others * weights(others)) @ query / np.linalg.norm(query) / lengths
        return float(1 - np.sort(np.clip(cosines, 0, 1))[-2:].mean())

    rows = dense(profile)
    new = profile.of_prompts([[{"role": "user", "content": text}] for text in sentences(5, seed=2)])
    likeness = Likeness(profile.features)
    expected = [slowly(row, rows) for row in dense(new)]
    assert likeness.unlikeness(new.features) == pytest.approx(expected, abs=1e-4)
    within = to_unlikeness(likeness.within()[1])
    expected = [slowly(rows[place], np.delete(rows, place, 0)) for place in range(0, 300, 7)]
    assert within[::7] == pytest.approx(expected, abs=1e-3)
    assert within[::7].mean() == pytest.approx(np.mean(expected), abs=5e-4)
    among = np.arange(300) % 2 == 0
    half = to_unlikeness_among(*likeness.within(), among)
    assert half[0] >= within[0] and half.mean() > within.mean()


def test_a_stream_of_resamples_is_what_comparing_its_rows_gives(profile: Profile) -> None:
    """The quick way to count many windows against the plain one, on the same rows; their unlikeness is to the rest."""
    reference = Reference(profile)
    tests, order = all_tests(reference.observed), np.random.default_rng(3).permutation(300)
    statistic, degrees = Resampler(reference).stream(order, size=40, num_windows=4, in_row=2)

    assert reference.neighbours is not None
    chosen = np.isin(np.arange(300), order[160:])
    observed = replace(reference.observed, unlikeness=to_unlikeness_among(*reference.neighbours, chosen))

    def side(rows: np.ndarray) -> Side:
        part = Observed(
            {name: values[rows] for name, values in observed.numbers.items()},
            {name: values[rows] for name, values in observed.categories.items()},
            observed.buckets[rows],  # type: ignore[index]
            observed.unlikeness[rows],  # type: ignore[index]
        )
        return Side.of(part, reference.num_cells)

    windows = [side(order[at : at + 40]) for at in range(0, 160, 40)]
    runs = [Side.together(windows[at : at + 2]) for at in range(3)]
    for place, window in enumerate([*windows, *runs]):
        expected, expected_degrees = measure(tests, side(order[160:]), window)
        assert statistic[place] == pytest.approx(expected, abs=1e-9)
        assert (degrees[place] == expected_degrees).all()


def test_the_threshold_follows_an_exponential_tail() -> None:
    """Least p-values that are uniform: a hundredth of them lies below 0.01, told from 200."""
    draw = np.random.default_rng(0)
    found = [_threshold(draw.uniform(size=200), 0.01) for _ in range(200)]
    assert np.exp(np.mean(np.log(found))) == pytest.approx(0.01, rel=0.25)
    assert _threshold(np.linspace(0.001, 1, 1000), 0.5) == pytest.approx(0.5, abs=0.01)
