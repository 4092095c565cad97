"""Items and ratings: added once, rated by several at once, the last word counts, nothing that makes no sense."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.unit.review.conftest import BEGIN, Clock, pair, single
from tunesmith.errors import DataError, RegistryError, StoreError
from tunesmith.review.item import Answer, Gold, NewItem, Rating
from tunesmith.review.reviews import Reviews
from tunesmith.review.rubric import Rubric, Scale
from tunesmith.store.database import Database


def test_an_item_is_added_once_and_only_moved_up(reviews: Reviews) -> None:
    first = reviews.add([pair(1, priority=0.2), single(1)])
    assert reviews.add([pair(1, priority=0.7), pair(2)])[0] == first[0]
    assert reviews.add([pair(1, priority=0.1)]) == first[:1]
    assert len(reviews.items("summaries")) == 3
    assert reviews.item(first[0]).priority == 0.7
    assert reviews.names() == {"summaries": (3, 0)}


def test_the_last_word_of_a_rater_counts(database: Database) -> None:
    reviews = Reviews(database, Clock())
    item, other = reviews.add([pair(1), single(2)])
    reviews.rate(item, "ann", "new", correction="a better one", seconds=12)
    reviews.rate(item, "bob", "tie")
    last = reviews.rate(item, "ann", "old", seconds=9999)
    reviews.rate(other, "ann", scales={"new": {"style": 5}})
    assert [(one.rater, one.choice, one.correction, one.seconds) for one in reviews.ratings("summaries")] == [
        ("bob", "tie", None, None), ("ann", "old", None, None), ("ann", None, None, None),
    ]  # fmt: skip
    assert reviews.rating(item, "ann") == last
    assert reviews.before("summaries", "ann") == other and reviews.before("summaries", "ann", other) == item
    assert reviews.before("summaries", "ann", item) is None and reviews.before("summaries", "eve") is None


def test_many_raters_at_once_lose_nothing(database: Database) -> None:
    ids = Reviews(database).add([pair(number) for number in range(10)])

    def rate(rater: int) -> None:
        mine = Reviews(database)
        for item in ids:
            mine.rate(item, f"rater{rater}", ("new", "old")[rater % 2])

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(rate, range(6)))
    said = Reviews(database).ratings("summaries")
    assert len(said) == 60 and len({(one.item, one.rater) for one in said}) == 60


def test_corrections_are_examples(reviews: Reviews) -> None:
    item, gold, alone = reviews.add([pair(1), pair(2, gold="new"), single(3)])
    reviews.rate(item, "ann", "new", correction="  As it should be.\r\n")
    reviews.rate(gold, "ann", "new", correction="of a planted item")
    reviews.rate(alone, "ann", scales={"new": {"style": 5}}, correction="new answer 3")  # only what was there already
    reviews.rate(alone, "bob", scales={"new": {"style": 1}}, correction="Better\0.\ud800")
    found = reviews.corrections("summaries")
    assert [(one.answer, one.rater, one.messages[0]["content"]) for one in found] == [
        ("As it should be.", "ann", "question 1"), ("Better\ufffd.?", "bob", "question 3"),
    ]  # fmt: skip
    assert reviews.corrections("summaries", since=found[0].at) == found[1:]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({}, "choice: nothing is chosen"),
        ({"choice": "left"}, "choice: 'left' is nothing to choose"),
        ({"choice": "new", "scales": {"newer": {"style": 1}}}, "scales: 'newer' gave no answer"),
        ({"choice": "new", "scales": {"new": {"style": 6}}}, "scales: 'style' cannot be 6"),
        ({"choice": "new", "scales": {"new": {"wit": 1}}}, "scales: 'wit' cannot be 1"),
        ({"choice": "new", "correction": "x" * 100_001}, "correction: it has more than 100,000 characters"),
        ({"choice": "new", "rater": ""}, "rater: a rater is a name"),
    ],
)
def test_a_rating_that_fits_nothing_is_refused(reviews: Reviews, said: dict[str, Any], message: str) -> None:
    (item,) = reviews.add([pair(1)])
    with pytest.raises(DataError) as caught:
        reviews.rate(item, **{"rater": "ann", **said})
    assert message in str(caught.value)
    assert reviews.ratings("summaries") == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "../x"}, "name: '../x' is not a registered name"),
        ({"kind": "triple"}, "kind: 'triple' is neither"),
        ({"answers": [Answer("new", "a")]}, "answers: a pair has two answers"),
        ({"answers": [Answer("new", "a"), Answer("new", "b")]}, "answers: each answer needs a source of its own"),
        ({"answers": [Answer("new", "a"), Answer("tie", "b")]}, "answers: 'tie' and 'unsure' are no sources"),
        ({"messages": []}, "messages: messages are a list"),
        ({"messages": [{"role": "user"}]}, "messages: messages are a list"),
        ({"priority": float("nan")}, "priority: nan is not a number from 0 to 1"),
        ({"gold": Gold("newest")}, "gold: 'newest' is none of the sources"),
        ({"gold": Gold()}, "gold: it says nothing"),
    ],
)
def test_what_is_no_item_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as caught:
        replace(pair(1), **change)
    assert message in str(caught.value)


def test_ratings_from_elsewhere_count_where_they_are_newer(reviews: Reviews) -> None:
    (item,) = reviews.add([pair(1)])
    old, new = (Rating(item, "ann", BEGIN - timedelta(days=days), choice) for days, choice in ((2, "old"), (1, "new")))
    assert reviews.bring_in([new, old]) == 1
    assert [one.choice for one in reviews.ratings("summaries")] == ["new"]
    assert reviews.bring_in([old, new]) == 0


def test_a_rubric_stays_meaningful(reviews: Reviews) -> None:
    assert [scale.name for scale in reviews.rubric("summaries").scales] == ["correctness", "helpfulness", "style"]
    (item,) = reviews.add([single(1)])
    reviews.set_rubric("summaries", Rubric(scales=(Scale(name="tone", low=0, high=3),)))
    reviews.rate(item, "ann", scales={"new": {"tone": 0}})
    with pytest.raises(StoreError, match="'tone' was rated from 0 to 3 already"):
        reviews.set_rubric("summaries", Rubric(scales=(Scale(name="tone"),)))
    reviews.set_rubric("summaries", Rubric(scales=(Scale(name="tone_of_five"),), raters=3))
    assert reviews.rubric("summaries").raters == 3


def test_sides_are_drawn_once_and_evenly(reviews: Reviews) -> None:
    ids = reviews.add([pair(number) for number in range(200)])
    items = [reviews.item(item) for item in ids]
    first = [item.shown_to("ann")[0].source for item in items]
    assert first == [item.shown_to("ann")[0].source for item in items]
    assert 72 <= first.count("new") <= 128
    other = [item.shown_to("bob")[0].source for item in items]
    assert 70 <= sum(one == two for one, two in zip(first, other, strict=True)) <= 130


def test_moments_are_kept_in_utc(reviews: Reviews) -> None:
    (item,) = reviews.add([pair(1)])
    assert reviews.rate(item, "ann", "tie") == reviews.rating(item, "ann")
    assert reviews.item(item).created_at == datetime(2026, 11, 27, 6, 1, tzinfo=UTC)


def test_an_answer_that_a_form_sends_back_is_no_correction(reviews: Reviews) -> None:
    new = NewItem(
        "summaries", "pair", [{"role": "user", "content": "q"}], [Answer("a", "x\r\ny\rz\n"), Answer("b", "")]
    )
    (item,) = reviews.add([new])
    assert reviews.rate(item, "ann", "a", correction="x\r\ny\r\nz\r\n").correction is None


def test_texts_no_database_can_hold_are_mended(reviews: Reviews) -> None:
    new = NewItem("summaries", "answer", [{"role": "user", "content": "a\0b"}], [Answer("v\ud800", "\udfff\0")])
    (item,) = reviews.add([new])
    assert reviews.item(item).answers == [Answer("v?", "?\ufffd")]


def test_results_stand_while_people_add_and_rate(reviews: Reviews, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the two reads an item is added and rated: its rating is not yet counted, and nothing fails."""
    (first,) = reviews.add([pair(1)])
    reviews.rate(first, "ann", "new")
    number = iter(range(2, 9))

    def meanwhile(read: Callable[[str], list[Any]]) -> Callable[[str], list[Any]]:
        def reading(name: str) -> list[Any]:
            found = read(name)
            (other,) = Reviews.add(reviews, [pair(next(number))])
            Reviews.rate(reviews, other, "bob", "old")
            return found

        return reading

    monkeypatch.setattr(reviews, "items", meanwhile(reviews.items))
    monkeypatch.setattr(reviews, "ratings", meanwhile(reviews.ratings))
    assert [one.rater for one in reviews.results("summaries").raters] == ["ann"]
    assert reviews.preferences("summaries", "new", "old").wins == 1


def test_a_rubric_is_kept_for_a_name_only(reviews: Reviews) -> None:
    for name in ("a" * 300, "a\0b", ""):
        with pytest.raises(RegistryError):
            reviews.set_rubric(name, Rubric())
