"""The order of the data: every row once an epoch, whatever the number of workers."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.errors import TrainError
from tunesmith.recipe.train import TrainSection
from tunesmith.train.batches import BatchPlan, even_micro_batches, micro_batches, plan_batches, share

SIZES = st.lists(st.integers(1, 50), min_size=1, max_size=60)


def epoch_of(plan: BatchPlan, first: int, num: int) -> list[list[int]]:
    return [plan.rows(step) for step in range(first, first + num)]


@settings(max_examples=60, deadline=None)
@given(SIZES, st.integers(1, 9), st.integers(0, 3))
def test_every_epoch_has_every_row_once(sizes: list[int], batch_size: int, seed: int) -> None:
    plan = BatchPlan(np.array(sizes), batch_size, None, seed)
    steps = plan.num_steps(0)
    for epoch in range(3):
        batches = epoch_of(plan, epoch * steps, steps)
        assert sorted(chain(*batches)) == list(range(len(sizes)))
        assert all(len(batch) == batch_size for batch in batches[:-1])
        assert 1 <= len(batches[-1]) <= batch_size


@settings(max_examples=60, deadline=None)
@given(SIZES, st.integers(1, 120), st.integers(0, 3))
def test_batches_by_tokens_are_as_small_as_they_can_be(sizes: list[int], batch_tokens: int, seed: int) -> None:
    plan = BatchPlan(np.array(sizes), 8, batch_tokens, seed)
    step = 0
    for epoch in range(3):
        batches = epoch_of(plan, step, plan.num_steps(epoch))
        step += plan.num_steps(epoch)
        assert sorted(chain(*batches)) == list(range(len(sizes)))
        for batch in batches[:-1]:
            filled = [sizes[row] for row in batch]
            assert sum(filled) >= batch_tokens > sum(filled[:-1])
        assert sum(sizes[row] for row in batches[-1][:-1]) < batch_tokens


@settings(max_examples=60, deadline=None)
@given(SIZES, st.integers(1, 9), st.one_of(st.none(), st.integers(1, 120)))
def test_a_step_does_not_depend_on_what_was_asked_before(sizes: list[int], batch: int, tokens: int | None) -> None:
    plan = BatchPlan(np.array(sizes), batch, tokens, 5)
    forwards = [plan.rows(step) for step in range(40)]
    backwards = [BatchPlan(np.array(sizes), batch, tokens, 5).rows(step) for step in reversed(range(40))]
    assert forwards == backwards[::-1]


def test_epochs_differ_and_seeds_differ_and_the_same_seed_is_the_same() -> None:
    sizes = np.full(50, 10)
    first = BatchPlan(sizes, 50, None, 0)
    assert first.rows(0) != first.rows(1)
    assert first.rows(0) == BatchPlan(sizes, 50, None, 0).rows(0)
    assert first.rows(0) != BatchPlan(sizes, 50, None, 1).rows(0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 1000), unique=True, max_size=40), st.integers(1, 7))
def test_workers_share_a_batch_without_rest(rows: list[int], world_size: int) -> None:
    shares = [share(rows, rank, world_size) for rank in range(world_size)]
    assert sorted(chain(*shares)) == sorted(rows)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@settings(max_examples=60, deadline=None)
@given(SIZES, st.integers(1, 100))
def test_micro_batches_keep_order_and_limit(sizes: list[int], limit: int) -> None:
    groups = micro_batches(list(range(len(sizes))), sizes, limit)
    assert list(chain(*groups)) == list(range(len(sizes)))
    assert all(len(group) == 1 or sum(sizes[row] for row in group) <= limit for group in groups)
    assert micro_batches([], sizes, limit) == []


@pytest.mark.parametrize(
    ("settings_", "steps"),
    [
        ({"epochs": 1}, 3),
        ({"epochs": 2}, 6),
        ({"epochs": 0.5}, 2),
        ({"epochs": 1.34}, 5),
        ({"epochs": 0.01}, 1),
        ({"epochs": 3, "max_steps": 7}, 7),
        ({"epochs": 1, "max_steps": 7}, 3),
        ({"epochs": 1e9, "max_steps": 2}, 2),
    ],
)
def test_number_of_steps(settings_: dict[str, float], steps: int) -> None:
    section = TrainSection.model_validate({"batch_size": 4, **settings_})
    assert plan_batches(np.full(10, 8), section).total_steps == steps


def test_a_tenth_of_an_epoch_is_not_rounded_up_to_two_steps() -> None:
    """1.1 - 1 is 0.10000000000000009, and a tenth of ten steps is one."""
    section = TrainSection(batch_size=1, epochs=1.1)
    assert plan_batches(np.full(10, 8), section).total_steps == 11


def test_steps_of_epochs_with_batches_by_tokens_are_counted_one_by_one() -> None:
    sizes = np.random.default_rng(0).integers(1, 60, 40)
    plan = plan_batches(sizes, TrainSection(batch_tokens=100, epochs=3))
    assert plan.total_steps == sum(plan.num_steps(epoch) for epoch in range(3))
    rows = list(chain(*(plan.rows(step) for step in range(plan.total_steps))))
    assert sorted(rows) == sorted(list(range(40)) * 3)


def test_no_rows_is_a_sentence() -> None:
    with pytest.raises(TrainError) as caught:
        plan_batches(np.zeros(0, np.int64), TrainSection())
    assert str(caught.value) == (
        "data.train: the training part of the dataset has no rows\n"
        "  fix: add rows, or leave more of them to training in data.split"
    )


def test_late_epochs_of_large_data_are_found_at_once() -> None:
    """A step of epoch 500 must not lay out the 499 epochs before it."""
    plan = BatchPlan(np.full(100_000, 1000), 8, None, 0)
    calls = 0
    lay_out = plan._cuts

    def counted(order: np.ndarray) -> list[int]:
        nonlocal calls
        calls += 1
        return lay_out(order)

    plan._cuts = counted  # type: ignore[method-assign]
    for step in range(500 * 12_500, 500 * 12_500 + 20):
        plan.rows(step)
    assert calls == 1


@pytest.mark.parametrize("lockstep", [False, True])
@pytest.mark.parametrize("world_size", [1, 2, 3, 5])
def test_every_row_counts_once_and_no_worker_is_without_a_micro_batch(world_size: int, lockstep: bool) -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 90, 40)
    for num_rows in (1, 2, 7, 13):
        rows = rng.permutation(40)[:num_rows].tolist()
        groups = [even_micro_batches(rows, sizes, 100, rank, world_size, lockstep) for rank in range(world_size)]
        counted = [row for mine in groups for group, counts in mine if counts for row in group]
        assert sorted(counted) == sorted(rows)
        assert all(mine for mine in groups)
        if lockstep:
            assert len({len(mine) for mine in groups}) == 1
