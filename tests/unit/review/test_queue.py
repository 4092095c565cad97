"""Which item comes next: what tells most, some at random, some that check raters; and never one twice."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.unit.review.conftest import BEGIN, pair, single
from tunesmith.review.item import Rating
from tunesmith.review.queue import Entry, Queue, disagree
from tunesmith.review.reviews import Reviews
from tunesmith.review.rubric import Rubric

BY_WORTH = Rubric(random_share=0.0, gold_share=0.0)


def rate_all(reviews: Reviews, rater: str, choice: str = "new") -> list[str]:
    """Rate as the queue says, until it is empty; what came, in this order."""
    came = []
    while (item := reviews.next("summaries", rater)[0]) is not None:
        came.append(item)
        reviews.rate(item, rater, choice)
    return came


def test_every_item_comes_once_to_two_raters(reviews: Reviews) -> None:
    ids = reviews.add([pair(number) for number in range(12)])
    assert sorted(rate_all(reviews, "ann")) == sorted(ids)
    assert sorted(rate_all(reviews, "bob")) == sorted(ids)
    assert rate_all(reviews, "cid") == []


def test_where_two_disagree_a_third_is_asked(reviews: Reviews) -> None:
    ids = reviews.add([pair(number) for number in range(6)])
    for item in ids:
        reviews.rate(item, "ann", "new")
        reviews.rate(item, "bob", "old" if item == ids[3] else "new")
    assert rate_all(reviews, "cid") == [ids[3]]
    assert reviews.next("summaries", "dan")[0] is None


def test_who_cannot_say_leaves_the_item_to_others(reviews: Reviews) -> None:
    (item,) = reviews.add([pair(1)])
    reviews.rate(item, "ann", "unsure")
    assert reviews.next("summaries", "ann")[0] is None
    assert rate_all(reviews, "bob") == [item] and rate_all(reviews, "cid") == [item]
    assert reviews.next("summaries", "dan")[0] is None


def test_what_tells_most_comes_first(reviews: Reviews) -> None:
    reviews.set_rubric("summaries", BY_WORTH)
    low, high, begun = reviews.add([pair(1, priority=0.1), pair(2, priority=0.9), pair(3, priority=0.8)])
    reviews.rate(begun, "bob", "tie")
    assert rate_all(reviews, "ann") == [begun, high, low]


def test_sources_that_are_close_come_before_a_clear_case() -> None:
    entries = [
        *(Entry(f"clear{n}", 0.0, False, ("a", "b")) for n in range(10)),
        *(Entry(f"close{n}", 0.0, False, ("c", "a")) for n in range(10)),
    ]
    said = [Rating(f"clear{n}", rater, BEGIN, "a") for n in range(9) for rater in ("x", "y")]
    said += [Rating(f"close{n}", rater, BEGIN, ("a", "c")[n % 2]) for n in range(8) for rater in ("x", "y")]
    queue = Queue.of("n", entries, said, BY_WORTH)
    assert queue.closeness[("a", "c")] == 1.0 and queue.closeness[("a", "b")] == pytest.approx(1 - 18 / 20)
    assert queue.next("ann")[0] in ("close8", "close9")


def test_a_share_is_drawn_at_random() -> None:
    """With a quarter at random of 500 items, ten of them urgent, the first come early but not alone."""
    entries = [Entry(f"{n:04}", 1.0 if n < 10 else 0.0, False, ("a", "b")) for n in range(500)]
    firsts = [Queue.of("n", entries, (), Rubric(gold_share=0)).next(f"rater{n}")[0] for n in range(200)]
    urgent = sum(one is not None and one < "0010" for one in firsts)
    assert 200 * 0.755 - 25 <= urgent <= 200 * 0.755 + 25
    assert len({one for one in firsts if one is not None and one >= "0010"}) > 25


def test_items_with_known_answers_are_planted_evenly_and_end_with_the_others(reviews: Reviews) -> None:
    reviews.add([pair(number) for number in range(36)])
    gold = set(reviews.add([pair(number, gold="new") for number in range(100, 120)]))
    totals, came = [], []
    while (found := reviews.next("summaries", "ann"))[0] is not None:
        item, progress = found
        assert item is not None and progress.done == len(came)
        totals.append(progress.total)
        came.append(item)
        reviews.rate(item, "ann", "new")
    assert set(totals) == {40}, "planted items count as all others do"
    assert [sum(one in gold for one in came[start : start + 10]) for start in range(0, 40, 10)] == [1] * 4
    assert len({[one in gold for one in came[start : start + 10]].index(True) for start in range(0, 40, 10)}) > 1


def test_a_reload_shows_the_same_item(reviews: Reviews) -> None:
    reviews.add([pair(number) for number in range(30)])
    for _ in range(5):
        again = {reviews.next("summaries", "ann")[0] for _ in range(3)}
        assert len(again) == 1
        reviews.rate(next(iter(again)) or "", "ann", "tie")


def test_raters_begin_at_different_items(reviews: Reviews) -> None:
    reviews.add([single(number) for number in range(40)])
    firsts = Counter(reviews.next("summaries", f"rater{number}")[0] for number in range(20))
    assert len(firsts) > 10


@pytest.mark.parametrize(
    ("first", "second", "apart"),
    [({"style": 3}, {"style": 4}, False), ({"style": 3}, {"style": 5}, True), ({"style": 3}, {"wit": 5}, False)],
)
def test_scales_disagree_from_two_on(first: dict[str, int], second: dict[str, int], apart: bool) -> None:
    said = [Rating("i", rater, BEGIN, scales={"new": scales}) for rater, scales in (("a", first), ("b", second))]
    assert disagree(said) is apart
