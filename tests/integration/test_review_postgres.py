"""Items and ratings on a real PostgreSQL: the same tests as on SQLite."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.integration.postgres import postgres_server, postgres_url  # noqa: F401
from tests.unit.review import test_queue, test_reviews
from tests.unit.review.conftest import Clock
from tunesmith.errors import TunesmithError
from tunesmith.keys.keyring import Keyring
from tunesmith.monitor.findings import Findings
from tunesmith.monitor.retrain.journal import Journal
from tunesmith.review.page.app import build_review_app
from tunesmith.review.reviews import Reviews
from tunesmith.review.rubric import Rubric
from tunesmith.store.database import Database


@pytest.fixture
def database(postgres_url: str) -> Database:  # noqa: F811
    return Database.open(postgres_url)


@pytest.mark.parametrize(
    "test",
    [test_reviews.test_the_last_word_of_a_rater_counts, test_reviews.test_many_raters_at_once_lose_nothing],
)
def test_raters_at_once(database: Database, test: Any) -> None:
    test(database)


@pytest.mark.parametrize(
    "test",
    [
        test_reviews.test_an_item_is_added_once_and_only_moved_up,
        test_reviews.test_corrections_are_examples,
        test_reviews.test_ratings_from_elsewhere_count_where_they_are_newer,
        test_reviews.test_a_rubric_stays_meaningful,
        test_reviews.test_moments_are_kept_in_utc,
        test_reviews.test_texts_no_database_can_hold_are_mended,
        test_queue.test_where_two_disagree_a_third_is_asked,
        test_queue.test_items_with_known_answers_are_planted_evenly_and_end_with_the_others,
    ],
)
def test_items_and_ratings(database: Database, test: Any) -> None:
    test(Reviews(database, Clock()))


def test_values_it_cannot_hold_are_said_in_a_sentence(database: Database) -> None:
    for ask in (
        lambda: Findings(database).latest("a\0b"),
        lambda: Journal(database).find("a\0b"),
        lambda: Journal(database).find("summaries", 2**40),
        lambda: Reviews(database).set_rubric("a" * 300, Rubric()),
        lambda: Reviews(database).item("a\0b"),
    ):
        with pytest.raises(TunesmithError):
            ask()
    client = TestClient(build_review_app(database, b"s" * 32))
    secret = Keyring(database).create("ann", ("review",), "root")[1]
    client.post("/login", data={"key": secret})
    answer = client.get("/rate/a%00b")
    assert answer.status_code == 404 and "content-security-policy" in answer.headers
