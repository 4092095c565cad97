"""People's judgement on the page of an experiment."""

from __future__ import annotations

from tests.unit.review.conftest import pair, single
from tunesmith.report.page import render_page
from tunesmith.review.report import judgement
from tunesmith.review.reviews import Reviews


def test_the_section_says_who_won_and_how_sure_that_is(reviews: Reviews) -> None:
    ids = reviews.add([pair(number, sources=("v2", "<b>v1</b>")) for number in range(8)])
    gold = reviews.add([pair(number, gold="new") for number in range(50, 55)])
    for item in ids:
        for rater in ("ann", "bob"):
            reviews.rate(item, rater, "v2", {"v2": {"style": 4}})
        reviews.rate(item, "eve", "<b>v1</b>")
    for item in gold:
        reviews.rate(item, "eve", "old")
    reviews.rate(reviews.add([single(1)])[0], "ann", scales={"new": {"style": 1}})
    page = render_page("Experiment", [judgement(reviews.results("summaries"))])
    assert "v2 was preferred to &lt;b&gt;v1&lt;/b&gt; on 8 items, the other way on 0" in page
    assert "exact sign test: p = 0.0078" in page and "where the answer is known: eve." in page
    assert "<b>v1</b>" not in page and "too little to rely on" in page


def test_nothing_decided_is_said_too(reviews: Reviews) -> None:
    (item,) = reviews.add([pair(1)])
    reviews.rate(item, "ann", "tie")
    assert "nothing is decided" in render_page("Experiment", [judgement(reviews.results("summaries"))])
