"""Strengths, preferences, means and checks of raters against other ways to compute them."""

from __future__ import annotations

import random
from collections.abc import Callable
from math import comb, exp, log

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize

from tests.unit.review.conftest import BEGIN, pair, single
from tunesmith.review.item import Item, NewItem, Rating
from tunesmith.review.preference import prefer
from tunesmith.review.raters import check_raters
from tunesmith.review.results import conclude
from tunesmith.review.rubric import Rubric
from tunesmith.review.strengths import HALF, strengths


def kept(new: NewItem) -> Item:
    return Item(
        new.id, new.name, new.kind, new.messages, new.answers, new.priority, new.gold, new.request, BEGIN
    )  # fmt: skip


def rated(item: Item, *choices: str) -> list[Rating]:
    return [Rating(item.id, f"rater{number}", BEGIN, choice) for number, choice in enumerate(choices)]


def simulated(seed: int, true: dict[str, float], num: int) -> tuple[list[Item], list[Rating]]:
    """Pairs of three sources with two raters each, tied one time in ten."""
    chance = random.Random(seed)
    items, said = [], []
    for number in range(num):
        first, second = chance.sample(sorted(true), 2)
        items.append(kept(pair(number, sources=(first, second))))
        wins = 1 / (1 + exp(true[second] - true[first]))
        said += rated(
            items[-1], *("tie" if chance.random() < 0.1 else first if chance.random() < wins else second for _ in "ab")
        )
    return items, said


def test_strengths_equal_a_direct_maximum_of_the_likelihood() -> None:
    items, said = simulated(3, {"a": 1.0, "b": 0.0, "c": -0.7}, 80)
    sources, by_id = ["a", "b", "c"], {one.id: one for one in items}

    def loss(strength: np.ndarray) -> float:
        total = 0.0
        for one in said:
            first, second = (sources.index(source) for source in by_id[one.item].sources)
            won = 0.5 if one.choice == "tie" else float(one.choice == sources[first])
            gap = strength[first] - strength[second]
            total += won * np.log1p(np.exp(-gap)) + (1 - won) * np.log1p(np.exp(gap))
        for first, second in ((0, 1), (0, 2), (1, 2)):
            gap = strength[first] - strength[second]
            total += HALF * (np.log1p(np.exp(-gap)) + np.log1p(np.exp(gap)))
        return total

    best = minimize(loss, np.zeros(3), method="BFGS").x
    found = {one.source: one for one in strengths(items, said)}
    for index, source in enumerate(sources):
        assert found[source].strength == pytest.approx(best[index] - best.mean(), abs=1e-4)
    assert sum(one.comparisons for one in found.values()) == 2 * len(said)


def test_the_strength_of_two_is_the_log_of_their_odds() -> None:
    items = [kept(pair(number)) for number in range(20)]
    said = [one for number, item in enumerate(items) for one in rated(item, "new" if number < 15 else "old")]
    best, worst = strengths(items, said)
    assert (best.source, best.comparisons) == ("new", 20)
    assert best.strength - worst.strength == pytest.approx(log(15.5 / 5.5), abs=1e-6)


def test_intervals_of_strengths_hold_the_truth_although_raters_repeat_each_other() -> None:
    """Each item has three ratings that are the same: as much is known as from one."""
    true, held = {"a": 0.8, "b": 0.0, "c": -0.8}, 0
    for seed in range(100):
        items, said = simulated(seed, true, 90)
        firsts = {one.item: one for one in said}
        copies = [Rating(one.item, rater, BEGIN, one.choice) for one in firsts.values() for rater in "xyz"]
        found = {one.source: one for one in strengths(items, copies)}
        # A tenth of ties, each half a win for both, brings sources nearer to each other.
        target = {source: 0.9 * strength for source, strength in true.items()}
        held += sum(one.low <= target[name] <= one.high for name, one in found.items())
    assert 275 <= held <= 299


def test_one_that_always_wins_has_a_finite_strength() -> None:
    items = [kept(pair(number)) for number in range(10)]
    best, worst = strengths(items, [one for item in items for one in rated(item, "new", "new")])
    assert best.strength - worst.strength == pytest.approx(log(20.5 / 0.5), abs=1e-6)
    assert best.low < best.strength < best.high < 10


def test_sources_that_never_met_have_no_common_scale() -> None:
    items = [kept(pair(1, sources=("a", "b"))), kept(pair(2, sources=("c", "d")))]
    assert strengths(items, rated(items[0], "a") + rated(items[1], "d")) == []
    assert strengths(items, []) == []


def test_preferences_are_counted_by_item_and_tested_exactly() -> None:
    items = [kept(pair(number, gold="old" if number > 20 else None)) for number in range(24)]
    said = [one for item in items[:14] for one in rated(item, "new", "new", "old")]
    said += [one for item in items[14:17] for one in rated(item, "old")]
    said += rated(items[17], "new", "old") + rated(items[18], "tie", "tie") + rated(items[19], "unsure")
    said += rated(items[22], "old")
    found = prefer(items, said, "new", "old")
    assert (found.wins, found.losses, found.ties, found.items) == (14, 3, 2, 19)
    assert found.p == pytest.approx(2 * sum(comb(17, k) for k in range(14, 18)) / 2**17)
    assert found.low == pytest.approx(stats.beta.ppf(0.025, 14, 4))
    assert found.high == pytest.approx(stats.beta.ppf(0.975, 15, 3))
    back = prefer(items, said, "old", "new")
    assert (back.wins, back.losses, back.p) == (3, 14, pytest.approx(found.p))
    assert prefer(items, said, "new", "older").p is None


def test_means_take_ratings_of_one_item_for_one() -> None:
    """The interval is that of a t-test on items where each has as many ratings; copies of ratings change nothing."""
    values = [1, 2, 4, 4, 5, 5, 3]
    items = [kept(single(number)) for number in range(len(values))]

    def of(raters: str) -> list[Rating]:
        return [
            Rating(item.id, rater, BEGIN, scales={"new": {"style": value}})
            for item, value in zip(items, values, strict=True)
            for rater in raters
        ]

    interval = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    for raters in ("a", "abc"):
        (mean,) = conclude("summaries", items, of(raters), Rubric()).means
        assert (mean.mean, mean.low, mean.high) == pytest.approx((np.mean(values), *interval))
        assert (mean.items, mean.ratings) == (7, 7 * len(raters))
    assert conclude("summaries", items[:1], of("a")[:1], Rubric()).means[0].low is None


def test_raters_are_checked_on_what_is_known() -> None:
    gold = [kept(pair(number, gold="new")) for number in range(8)] + [kept(single(9, gold={"style": 4}))]
    said = [Rating(item.id, "ann", BEGIN, "new", {"new": {"style": 5}}, seconds=9.0) for item in gold]
    said += [Rating(item.id, "eve", BEGIN, ("new", "old", "tie", "unsure")[n % 4], {"new": {"style": 1}})
             for n, item in enumerate(gold)]  # fmt: skip
    said += [Rating(item.id, "new here", BEGIN, "old") for item in gold[:2]]
    ann, eve, new = check_raters(gold, said)
    assert (ann.right, ann.gold, ann.flagged, ann.median_seconds) == (9, 9, False, 9.0)
    assert (eve.right, eve.gold, eve.flagged) == (2, 9, True)
    assert (eve.low, eve.high) == pytest.approx((stats.beta.ppf(0.025, 2, 8), stats.beta.ppf(0.975, 3, 7)))
    assert (new.accuracy, new.flagged) == (0.0, False), "two items are too few"


def test_results_are_given_with_and_without_flagged_raters() -> None:
    items = [kept(pair(number)) for number in range(10)]
    gold = [kept(pair(number, gold="new")) for number in range(20, 26)]

    def of(rater: str, choose: Callable[[int], str], every: list[Item]) -> list[Rating]:
        return [Rating(item.id, rater, BEGIN, choose(number)) for number, item in enumerate(every)]

    good = [one for rater in ("ann", "bob") for one in of(rater, lambda _: "new", items + gold)]
    bad = of("eve", lambda number: ("old", "tie")[number % 2], items + gold)
    found = conclude("summaries", items + gold, good + bad, Rubric())
    assert found.flagged == ["eve"] and found.trusted is not None
    assert (found.items, found.judged, found.ratings) == (10, 10, 30)
    assert found.agreement["choice"].value is not None and found.agreement["choice"].value < 0.2
    assert found.trusted.ratings == 20 and found.trusted.agreement["choice"].value is None
    assert found.trusted.strengths[0].strength > found.strengths[0].strength
    assert {one.rater for one in found.trusted.raters} == {"ann", "bob"}
    shown = found.to_json()
    assert shown["flagged"] == ["eve"] and shown["trusted"]["preferences"][0]["items"] == 10
