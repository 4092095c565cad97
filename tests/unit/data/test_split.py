"""The split: sizes as asked, labels evenly, groups on one side, decided by the seed and by what rows say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.data.split import TEST, TRAIN, VALIDATION, split
from tunesmith.errors import DataError
from tunesmith.recipe.data import SplitSection


def section(**values: Any) -> SplitSection:
    return SplitSection.model_validate(values)


def counts(parts: np.ndarray) -> list[int]:
    return np.bincount(parts, minlength=3).tolist()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, [80, 10, 10]),
        ({"validation": 7, "test": 0.25}, [68, 7, 25]),
        ({"validation": 0, "test": 0}, [100, 0, 0]),
        ({"validation": 0.001, "test": 1}, [98, 1, 1]),
        ({"validation": 33, "test": 66}, [1, 33, 66]),
    ],
)
def test_sizes_are_exact(values: dict[str, Any], expected: list[int]) -> None:
    for seed in range(5):
        assert counts(split(100, section(**values, seed=seed))) == expected


def test_parts_that_have_rows_of_their_own_are_not_taken() -> None:
    assert counts(split(100, section(), wanted=(False, True))) == [90, 0, 10]
    assert counts(split(100, section(), wanted=(True, False))) == [90, 10, 0]
    assert counts(split(2, section(), wanted=(False, False))) == [2, 0, 0]


def test_labels_are_held_out_by_largest_remainder() -> None:
    labels = np.repeat([0, 1, 2, 3], [500, 300, 170, 30])
    parts = split(1000, section(test=100, validation=95), labels)
    assert np.bincount(labels[parts == TEST]).tolist() == [50, 30, 17, 3]
    # 95 rows: 47.5, 28.5, 16.15, 2.85 -> the two missing go to the largest remainders, 2.85 and 47.5.
    assert np.bincount(labels[parts == VALIDATION]).tolist() == [48, 28, 16, 3]
    shuffled = split(1000, section(test=100, stratify=False), labels)
    assert np.bincount(labels[shuffled == TEST]).tolist() != [50, 30, 17, 3]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=3, max_size=40), st.integers(0, 9), st.data())
def test_groups_stay_together_and_sizes_are_met_where_groups_allow(sizes: list[int], seed: int, data: Any) -> None:
    groups = np.repeat(np.arange(len(sizes)) * 3 + 1, sizes)
    groups = groups[np.random.default_rng(seed).permutation(len(groups))]
    asked = data.draw(st.integers(max(sizes), max(max(sizes), len(groups) // 2)))
    if asked >= len(groups):
        return
    labels = np.random.default_rng(seed).integers(0, 3, len(groups))
    parts = split(len(groups), section(validation=0, test=asked, seed=seed), labels, groups)
    for group in np.unique(groups):
        assert len(set(parts[groups == group].tolist())) == 1
    sums = {0}
    for size in sizes:
        sums |= {one + size for one in sums}
    assert counts(parts)[TEST] == max(one for one in sums if one <= asked)


def test_odd_groups_are_filled_up_with_what_fits() -> None:
    groups = np.repeat(np.arange(70), [*[3] * 30, *[1] * 40])
    labels = np.arange(130) % 2
    for seed in range(20):
        assert counts(split(130, section(test=20, validation=11, seed=seed), labels, groups)) == [99, 11, 20]


def test_groups_may_be_told_to_be_ignored() -> None:
    parts = split(100, section(group_near_duplicates=False), groups=np.zeros(100, np.int64))
    assert counts(parts) == [80, 10, 10]


def test_a_group_larger_than_what_is_asked_stays_in_train() -> None:
    groups = np.r_[np.zeros(90, np.int64), np.arange(1, 31)]
    for seed in range(10):
        parts = split(120, section(validation=10, test=10, seed=seed), groups=groups)
        assert set(parts[:90].tolist()) == {TRAIN} and counts(parts) == [100, 10, 10]


def test_seeds_give_other_rows_and_the_same_seed_the_same() -> None:
    parts = [split(1000, section(seed=seed)).tolist() for seed in (0, 0, 1, 2)]
    assert parts[0] == parts[1] and len({tuple(one) for one in parts}) == 3


def test_what_is_held_out_does_not_depend_on_the_order_of_rows() -> None:
    random = np.random.default_rng(0)
    keys = random.integers(0, 2**63, 500, dtype=np.uint64)
    labels, groups = random.integers(0, 4, 500), random.integers(0, 300, 500)
    parts = split(500, section(), labels, groups, keys=keys)
    order = random.permutation(500)
    renumbered = np.unique(groups[order], return_inverse=True)[1]
    assert (split(500, section(), labels[order], renumbered, keys=keys[order]) == parts[order]).all()


def test_rows_are_drawn_evenly() -> None:
    """Each row is held out in its share of seeds: 400 seeds, standard error 1.5 %."""
    shares = np.mean([split(50, section(validation=0, seed=seed)) == TEST for seed in range(400)], axis=0)
    assert abs(shares.mean() - 0.1) < 1e-9 and shares.max() < 0.18 and shares.min() > 0.03


@pytest.mark.parametrize(
    ("num_rows", "values", "groups", "what"),
    [
        (1, {}, None, "1 rows are too few to hold out 1 for validation and 1 for test"),
        (10, {"validation": 5, "test": 5}, None, "10 rows are too few to hold out 5 for validation and 5 for test"),
        (9, {"test": 4}, [0] * 9, "4 of 9 rows cannot be held out for test: near-duplicates stay on one side"),
        (9, {"test": 4, "validation": 0}, [0, 0, 0, 0, 0, 1, 1, 1, 1], None),
        (9, {"test": 4, "validation": 1}, [0, 0, 0, 0, 0, 1, 1, 1, 1], "1 of 5 rows cannot be held out for validation"),
    ],
)
def test_too_few_rows_are_said(
    num_rows: int, values: dict[str, Any], groups: list[int] | None, what: str | None
) -> None:
    def made() -> np.ndarray:
        return split(num_rows, section(**values), groups=None if groups is None else np.array(groups))

    if what is None:
        assert counts(made()) == [5, 0, 4]
        return
    with pytest.raises(DataError) as refused:
        made()
    assert refused.value.what.startswith(what) and refused.value.fix
