"""Packing: every conversation once, no row too long, as full as first fit, the same each time."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.data import pack as module
from tunesmith.data.pack import pack


def first_fit(lengths: list[int], capacity: int) -> int:
    """Rows of the textbook first fit, written plainly: each into the first row with room."""
    rooms: list[int] = []
    for length in lengths:
        for row, room in enumerate(rooms):
            if length <= room:
                rooms[row] -= length
                break
        else:
            rooms.append(capacity - length)
    return len(rooms)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 64), max_size=200), st.integers(0, 5), st.booleans(), st.sampled_from([1, 7, 1000]))
def test_every_conversation_once_and_no_row_over_capacity(lengths: list[int], seed: int, packing: bool, w: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "WINDOW", w)
        rows = pack(np.array(lengths, np.int64), 64, seed, packing)
    assert sorted(index for row in rows for index in row.tolist()) == list(range(len(lengths)))
    assert all(len(row) >= 1 and sum(lengths[index] for index in row) <= 64 for row in rows)
    if not packing:
        assert all(len(row) == 1 for row in rows)


@pytest.mark.parametrize("spread", ["short", "long", "mixed", "equal"])
def test_at_least_as_full_as_first_fit(spread: str) -> None:
    random = np.random.default_rng(1)
    lengths = {
        "short": random.integers(20, 60, 4000),
        "long": random.integers(200, 1000, 2000),
        "mixed": random.lognormal(5, 1, 3000).clip(5, 1024).astype(int),
        "equal": np.full(1000, 300),
    }[spread]
    for seed in range(3):
        rows = pack(lengths, 1024, seed)
        same_order = [
            int(lengths[index]) for index in np.random.default_rng([seed, 0x7061636B]).permutation(len(lengths))
        ]
        assert len(rows) <= first_fit(same_order, 1024)
        assert len(rows) >= -(-int(lengths.sum()) // 1024)


def test_the_seed_decides_alone() -> None:
    lengths = np.random.default_rng(0).integers(1, 500, 2000)
    first, again, other = pack(lengths, 1024, 3), pack(lengths.copy(), 1024, 3), pack(lengths, 1024, 4)
    assert [row.tolist() for row in first] == [row.tolist() for row in again]
    assert [row.tolist() for row in first] != [row.tolist() for row in other]


def test_a_conversation_longer_than_a_row_is_a_bug() -> None:
    with pytest.raises(ValueError, match="longer than a row"):
        pack(np.array([3, 9]), 8, 0)


def test_a_million_conversations_take_seconds() -> None:
    lengths = np.random.default_rng(0).lognormal(4, 0.8, 1_000_000).clip(5, 1024).astype(np.int64)
    start = time.process_time()
    rows = pack(lengths, 1024, 0)
    assert time.process_time() - start < 20
    assert lengths.sum() / (len(rows) * 1024) > 0.995
