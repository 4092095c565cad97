"""API keys: shown once, kept as a hash, revoked for good, and every change written down where nobody can change it."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from tunesmith.errors import StoreError
from tunesmith.keys.key import digest_of, looks_like_key
from tunesmith.keys.keyring import Keyring
from tunesmith.store.database import Database


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database.open(f"sqlite:///{tmp_path}/registry.db")


def test_a_key_is_kept_as_a_hash(database: Database, tmp_path: Path) -> None:
    key, secret = Keyring(database).create("web-shop", ("feedback", "infer", "infer"), "ann", 60, 1000)
    assert looks_like_key(secret) and secret.startswith(f"sk-ts-{key.id}-")
    assert key.digest == digest_of(secret)
    assert key.scopes == ("infer", "feedback")
    assert Keyring(database).every() == [key]
    assert "digest" not in key.to_json()
    written = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert secret[-43:].encode() not in written


def test_revoking_is_for_good_and_changes_the_state(database: Database) -> None:
    keyring = Keyring(database)
    key, _ = keyring.create("shop", ("infer",), "ann")
    before = keyring.state()
    ended = keyring.revoke(key.id, "bob")
    assert ended.revoked_at is not None
    assert keyring.revoke(key.id, "eve") == ended
    assert keyring.state() != before
    with pytest.raises(StoreError, match="there is no key 'nobody'"):
        keyring.revoke("nobody", "bob")


def test_everything_is_written_down_and_stays(database: Database) -> None:
    keyring = Keyring(database)
    key, _ = keyring.create("shop", ("admin",), "ann")
    keyring.revoke(key.id, "bob")
    keyring.note("bob", "alias.move", "summaries@champion", {"to": 3})
    assert [(one["who"], one["action"]) for one in keyring.trail()] == [
        ("bob", "alias.move"), ("bob", "keys.revoke"), ("ann", "keys.create"),
    ]  # fmt: skip
    for statement in ("DELETE FROM tunesmith_audit", "UPDATE tunesmith_audit SET who = 'x'"):
        with pytest.raises((StoreError, SQLAlchemyError)), database.writing("keys") as connection:
            connection.execute(text(statement))
    assert len(keyring.trail(limit=2)) == 2


@pytest.mark.parametrize(
    ("tenant", "scopes", "limit", "message"),
    [
        ("", ("infer",), None, "tenant: '' is not a name for a tenant"),
        ("a b", ("infer",), None, "tenant: 'a b' is not a name for a tenant"),
        ("a\n", ("infer",), None, "tenant: 'a\\n' is not a name for a tenant"),
        ("a" * 64, ("infer",), None, "is not a name for a tenant"),
        ("shop", ("infr",), None, "scopes: there is no scope 'infr'\n  fix: did you mean 'infer'?"),
        ("shop", (), None, "scopes: a key needs a scope"),
        ("shop", ("infer",), 0, "requests_per_minute: 0 is not a limit"),
    ],
)
def test_what_is_no_key_is_refused(
    database: Database, tenant: str, scopes: tuple[str, ...], limit: int | None, message: str
) -> None:
    with pytest.raises(StoreError) as caught:
        Keyring(database).create(tenant, scopes, "ann", limit)
    assert message in str(caught.value)
    assert not Keyring(database).every()


@pytest.mark.parametrize("text", ["", "sk-ts-abc", "sk-ts-abcdefgh-short", "sk-ts-ABCDEFGH-" + "a" * 43, "a" * 10_000])
def test_only_what_looks_like_a_key_is_looked_up(text: str) -> None:
    assert not looks_like_key(text)
