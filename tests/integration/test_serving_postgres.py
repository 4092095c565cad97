"""Keys, experiments, requests, feedback and checks on a real PostgreSQL: the same tests as on SQLite."""

from __future__ import annotations

import multiprocessing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from tests.integration.postgres import postgres_server, postgres_url  # noqa: F401
from tests.unit.experiment import test_book
from tests.unit.keys import test_keyring
from tests.unit.serve import test_parity, test_traffic
from tunesmith.errors import StoreError
from tunesmith.experiment.book import Book, rolled_back
from tunesmith.keys.keyring import Keyring
from tunesmith.serve.checks import keep, read_checks, state_of
from tunesmith.serve.spec import EngineSpec
from tunesmith.store.database import Database


@pytest.fixture
def database(postgres_url: str) -> Database:  # noqa: F811
    return Database.open(postgres_url)


def test_keys_and_their_trail(database: Database) -> None:
    test_keyring.test_revoking_is_for_good_and_changes_the_state(database)
    with pytest.raises((StoreError, SQLAlchemyError)), database.writing("keys") as connection:
        connection.execute(text("DELETE FROM tunesmith_audit"))
    assert len(Keyring(database).trail()) == 2


@pytest.mark.parametrize(
    "test",
    [
        test_book.test_every_change_is_written_down,
        test_book.test_a_better_variant_is_promoted_only_where_that_was_asked_for,
        test_book.test_a_broken_variant_is_taken_out_by_itself,
        test_book.test_a_user_counts_where_he_was_first,
        test_book.test_a_canary_goes_up_when_its_step_has_lasted,
        test_book.test_the_page_shows_how_the_interval_went,
    ],
)
def test_experiments(database: Database, test: Any) -> None:
    test(database)


def test_requests(database: Database, tmp_path: Path) -> None:
    test_traffic.test_requests_are_written_in_batches_and_once(database, tmp_path)


def test_feedback(database: Database, tmp_path: Path) -> None:
    test_traffic.test_the_last_word_counts_and_only_of_ones_own_answers(database, tmp_path)


def test_checks(database: Database) -> None:
    spec = EngineSpec(name="base", model="smol", source="/m", revision="sha256:1")
    before = state_of(database)
    keep(database, "story@1", spec, test_parity.compare(test_parity.BASE))
    keep(database, "story@1", spec, test_parity.compare(test_parity.TUNED))
    assert state_of(database) != before
    assert read_checks(database)["story@1", spec.kind][0]


def test_of_eight_who_end_an_experiment_one_does(postgres_url: str) -> None:  # noqa: F811
    test_book.start(Database.open(postgres_url))
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=end, args=(postgres_url, number)) for number in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    history = Book(Database.open(postgres_url)).history("story.1")
    assert [one["action"] for one in history] == ["start", "rollback"]


def end(url: str, number: int) -> None:
    Book(Database.open(url)).change(
        "story.1", partial(rolled_back, reason=str(number)), f"worker {number}", "rollback", "at once"
    )
