"""Who sees what: shares as the weights say, everybody always the same, and as few moved as must be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.errors import StoreError
from tunesmith.experiment.assignment import SLOTS, Allocation, allocate, slot_of

NAMES = ("control", "a", "b")
USERS = [f"user-{number}" for number in range(100_000)]
weights = st.fixed_dictionaries({name: st.integers(0, 100) for name in NAMES}).filter(lambda one: sum(one.values()) > 0)


def owners(allocation: Allocation) -> list[str]:
    return [allocation.variant(slot) for slot in range(SLOTS)]


@pytest.mark.parametrize(("control", "variant"), [(99, 1), (90, 10), (50, 50)])
def test_100_000_users_come_in_the_shares_of_the_weights(control: int, variant: int) -> None:
    allocation = allocate({"control": control, "a": variant})
    came = sum(allocation.variant(slot_of("salt", user)) == "a" for user in USERS)
    assert came / len(USERS) == pytest.approx(variant / 100, abs=0.005)


def test_a_user_stays_where_he_is() -> None:
    allocation = allocate({"control": 0.7, "a": 0.3})
    again = Allocation.from_json(allocation.to_json())
    for user in USERS[:2000]:
        assert allocation.variant(slot_of("salt", user)) == again.variant(slot_of("salt", user))


def test_raising_a_weight_moves_only_the_share_needed() -> None:
    before = allocate({"control": 99, "a": 1})
    for share in (5, 25, 50):
        after = allocate({"control": 100 - share, "a": share}, before)
        old, new = owners(before), owners(after)
        moved = [slot for slot in range(SLOTS) if old[slot] != new[slot]]
        assert len(moved) == after.counts()["a"] - before.counts()["a"]
        assert {new[slot] for slot in moved} == {"a"}
        before = after


def test_going_back_brings_back_the_first_users() -> None:
    one = allocate({"control": 99, "a": 1})
    five = allocate({"control": 95, "a": 5}, one)
    assert owners(allocate({"control": 99, "a": 1}, five)) == owners(one)
    assert allocate({"control": 1, "a": 0}, five).counts() == {"control": SLOTS}


@given(weights, weights)
def test_never_more_move_than_must(first: dict[str, int], second: dict[str, int]) -> None:
    before = allocate(first)
    after = allocate(second, before)
    old, new = owners(before), owners(after)
    gained = sum(max(0, new.count(name) - old.count(name)) for name in NAMES)
    assert sum(a != b for a, b in zip(old, new, strict=True)) == gained
    assert after.counts() == allocate(second).counts()
    total = sum(second.values())
    for name, weight in second.items():
        assert after.counts().get(name, 0) == pytest.approx(SLOTS * weight / total, abs=1)


def test_experiments_do_not_know_each_other() -> None:
    """Of those who see the variant of one experiment, half see that of another."""
    allocation = allocate({"control": 1, "a": 1})
    both = sum(
        allocation.variant(slot_of("one", user)) == allocation.variant(slot_of("two", user)) == "a" for user in USERS
    )
    assert both / len(USERS) == pytest.approx(0.25, abs=0.005)


def test_salt_and_user_cannot_be_confused() -> None:
    assert slot_of("ab", "c") != slot_of("a", "bc")


@pytest.mark.parametrize("wrong", [{}, {"a": 0.0}, {"a": -1.0, "b": 2.0}, {"a": float("nan")}, {"a": float("inf")}])
def test_what_is_no_weight_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(StoreError, match="these are no weights"):
        allocate(wrong)
