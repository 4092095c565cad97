"""Two sources by the raters who can be trusted: the share with ties as halves, its interval, sources' later names."""

from __future__ import annotations

import pytest
from scipy.stats import beta, binom, binomtest

from tests.unit.review.conftest import pair
from tunesmith.review.item import Answer, NewItem
from tunesmith.review.judged import Judged, judge, share_of
from tunesmith.review.preference import Preferences
from tunesmith.review.queue import Progress
from tunesmith.review.reviews import Reviews
from tunesmith.review.rubric import Rubric


def came(wins: int, losses: int, ties: int) -> Preferences:
    return Preferences("new", "old", wins, losses, ties, None, None, None, None)


@pytest.mark.parametrize(("wins", "losses"), [(20, 20), (7, 3), (0, 12), (12, 0), (1, 39)])
def test_without_ties_the_interval_is_that_of_the_exact_test(wins: int, losses: int) -> None:
    exact = binomtest(wins, wins + losses).proportion_ci(0.95, method="exact")
    share, low, high = share_of(came(wins, losses, 0))
    assert share == wins / (wins + losses) and low is not None and high is not None
    assert (low, high) == (pytest.approx(exact.low, abs=1e-12), pytest.approx(exact.high, abs=1e-12))


def test_a_tie_is_half_a_win() -> None:
    share, low, high = share_of(came(10, 5, 25))
    assert share == 0.5625 and low == pytest.approx(beta.ppf(0.025, 22.5, 18.5)) and high is not None
    assert share_of(came(0, 0, 40))[0] == 0.5 and share_of(came(0, 0, 0)) == (None, None, None)
    assert low < 0.5625 < high


@pytest.mark.parametrize("number", [10, 25, 40])
@pytest.mark.parametrize("decided", [0.45, 0.6, 0.8, 1.0])
def test_the_lower_end_is_too_high_in_at_most_one_of_forty(number: int, decided: float) -> None:
    """However many are ties: counted over every outcome, with a true share of 0.3."""
    share, wrong = 0.3, 0.0
    win = 0.5 + (share - 0.5) / decided
    for untied in range(number + 1):
        for wins in range(untied + 1):
            low = share_of(came(wins, untied - wins, number - untied))[1]
            if low is not None and low > share:
                wrong += float(binom.pmf(untied, number, decided) * binom.pmf(wins, untied, win))
    assert wrong <= 0.025


def test_raters_who_are_too_often_wrong_are_left_out_and_named(reviews: Reviews) -> None:
    ids = reviews.add([pair(number) for number in range(12)])
    gold = reviews.add([pair(number, gold="new", sources=("new", "old")) for number in range(50, 55)])
    for item in ids:
        reviews.rate(item, "ann", "new")
        reviews.rate(item, "bob", "new")
        reviews.rate(item, "eve", "old")
        reviews.rate(item, "mal", "old")
        reviews.rate(item, "moe", "old")
    for item in gold:
        for rater in ("eve", "mal", "moe"):
            reviews.rate(item, rater, "old")
    found = judge(*reviews.all("summaries"), "new", "old")
    assert (found.preferences.wins, found.everybody.losses) == (12, 12) and found.left_out == ("eve", "mal", "moe")
    told = found.to_json()
    assert told["left_out"] == ["eve", "mal", "moe"] and told["with_them"] == {"wins": 0, "losses": 12, "ties": 0}
    assert told["share"] == 1.0 and told["agreement"]["items"] == 12


def test_a_pair_is_judged_when_it_has_what_the_rubric_wants(reviews: Reviews) -> None:
    reviews.set_rubric("summaries", Rubric(raters=2))
    first, second = reviews.add([pair(1), pair(2)])
    reviews.add([pair(3, sources=("new", "other")), pair(4, gold="new")])
    assert reviews.judged("summaries", ("old", "new")) == Progress(0, 2)
    reviews.rate(first, "ann", "new")
    reviews.rate(first, "bob", "new")
    reviews.rate(second, "ann", "new")
    reviews.rate(second, "bob", "unsure")
    assert reviews.judged("summaries", ("old", "new")) == Progress(1, 2)
    reviews.rate(second, "bob", "old")  # they disagree: one more is asked
    assert reviews.judged("summaries", ("old", "new")) == Progress(1, 2)
    reviews.rate(second, "cid", "tie")
    assert reviews.judged("summaries", ("old", "new")) == Progress(2, 2)


def test_a_source_is_found_under_the_name_it_was_given_later(reviews: Reviews) -> None:
    before, after = pair(1, sources=("summaries@retrain-3", "v1")), pair(2, sources=("v4", "v1"))
    clash = NewItem("summaries", "pair", [{"role": "user", "content": "q"}],
                    [Answer("summaries@retrain-3", "a"), Answer("v4", "b")])  # fmt: skip
    names = {"summaries@retrain-3": "v4"}
    for item, choice in zip(reviews.add([before, after, clash]), ("summaries@retrain-3", "v4", "v4"), strict=True):
        reviews.rate(item, "ann", choice, {choice: {"style": 3}})
    found: Judged = judge(*reviews.all("summaries", names), "v4", "v1")
    assert found.preferences.wins == found.preferences.items == 2
    assert reviews.preferences("summaries", "v4", "v1").items == 1  # what is kept has not changed
    results = reviews.results("summaries", names)
    assert {one.source for one in results.strengths} == {"v4", "v1", "summaries@retrain-3"}  # the clash is left alone
    assert next(one for one in results.means if one.source == "v4").items == 3
    items, ratings = reviews.all("summaries", names)
    kept, said = reviews.all("summaries")
    assert [one.id for one in items] == [one.id for one in kept]
    assert [one.item for one in ratings] == [one.item for one in said]
