"""Krippendorff's alpha equals its published examples and an independent implementation of another form.

The package computes it from coincidences; here each pair of values is compared with each other one, in plain Python.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.review.agreement import Level, alpha

LEVELS: tuple[Level, ...] = ("nominal", "ordinal", "interval")


def by_pairs(units: Sequence[Sequence[Any]], level: Level) -> float | None:
    """1 - observed / expected disagreement, each a mean over pairs of values (Krippendorff 2004, section 11.3)."""
    kept = [unit for unit in units if len(unit) > 1]
    every = [value for unit in kept for value in unit]
    far = _difference(level, Counter(every))
    if len({*every}) < 2:
        return None
    observed = sum(sum(far(a, b) for a, b in permutations(unit, 2)) / (len(unit) - 1) for unit in kept) / len(every)
    expected = sum(far(a, b) for a, b in permutations(every, 2)) / (len(every) * (len(every) - 1))
    return 1 - observed / expected


def _difference(level: Level, counts: Counter[Any]) -> Callable[[Any, Any], float]:
    def ordinal(a: Any, b: Any) -> float:
        low, high = min(a, b), max(a, b)
        return (sum(counts[v] for v in counts if low <= v <= high) - (counts[low] + counts[high]) / 2) ** 2

    return {"nominal": lambda a, b: float(a != b), "interval": lambda a, b: float(a - b) ** 2, "ordinal": ordinal}[
        level
    ]


def columns(*rows: str) -> list[list[str]]:
    """Units of a printed table with a row for each rater."""
    return [list(unit) for unit in zip(*rows, strict=True)]


# Krippendorff 2011, Computing Krippendorff's Alpha-Reliability: sections A (binary), B (nominal) and C, by item.
BINARY = columns("0100000010", "1110010000")
NOMINAL = columns("aabbdcccedda", "babbbccceddd")
FOUR_RATERS = [
    [1, 1, 1], [2, 2, 3, 2], [3, 3, 3, 3], [3, 3, 3, 3], [2, 2, 2, 2], [1, 2, 3, 4], [4, 4, 4, 4], [1, 1, 2, 1],
    [2, 2, 2, 2], [5, 5, 5], [1, 1], [3],
]  # fmt: skip


@pytest.mark.parametrize(
    ("units", "level", "published"),
    [
        (BINARY, "nominal", 0.095),
        (NOMINAL, "nominal", 0.692),
        (FOUR_RATERS, "nominal", 0.743),
        (FOUR_RATERS, "ordinal", 0.815),
        (FOUR_RATERS, "interval", 0.849),
    ],
)
def test_published_examples(units: list[list[Any]], level: Level, published: float) -> None:
    found = alpha(units, level).value
    assert found == pytest.approx(published, abs=5e-4)
    assert found == pytest.approx(by_pairs(units, level))


@given(st.lists(st.lists(st.integers(1, 5), max_size=5), max_size=30), st.sampled_from(LEVELS))
def test_it_equals_the_other_form(units: list[list[int]], level: Level) -> None:
    found = alpha(units, level)
    assert found.value == (None if (other := by_pairs(units, level)) is None else pytest.approx(other, abs=1e-9))
    assert found.items == sum(len(unit) > 1 for unit in units)


@given(st.lists(st.lists(st.sampled_from(["new", "old", "tie"]), max_size=4), max_size=20))
def test_names_may_be_compared_too(units: list[list[str]]) -> None:
    other = by_pairs(units, "nominal")
    assert alpha(units, "nominal").value == (None if other is None else pytest.approx(other, abs=1e-9))


def test_the_interval_holds_what_more_items_would_show() -> None:
    """Raters who are right with 80 %: about 95 % of intervals of 60 items hold the agreement of 20,000."""
    chance = random.Random(7)

    def sample(num: int) -> list[list[int]]:
        truths = [chance.randrange(2) for _ in range(num)]
        return [[truth ^ (chance.random() < 0.2) for _ in range(2)] for truth in truths]

    true = alpha(sample(20_000), "nominal").value
    assert true == pytest.approx(0.36, abs=0.02)
    found = [alpha(sample(60), "nominal", seed=number) for number in range(60)]
    held = sum(one.low is not None and one.high is not None and one.low <= true <= one.high for one in found)
    assert 53 <= held <= 60


def test_ranks_go_by_value_however_a_number_is_written() -> None:
    """4.5 lies between 4 and 5, although one is a float and the others are ints."""
    units: list[list[Any]] = [[1, 2, 2], [4.5, 5], [5, 5, 4.5], [1, 1], [2, 4.0], [4, 4]]
    assert alpha(units, "ordinal").value == pytest.approx(by_pairs(units, "ordinal"))
    assert alpha(units, "ordinal") == alpha([[float(value) for value in unit] for unit in units], "ordinal")


def test_nothing_is_said_of_nothing() -> None:
    for units in ([], [[1]], [[1, 1], [1, 1]], [[], []]):
        assert alpha(units, "nominal").value is None
    assert alpha([[1, 2], [1, 1]], "nominal").low is None
