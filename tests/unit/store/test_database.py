"""Opening a database: brought up to date, refused in a sentence when it is none, secrets never shown."""

from __future__ import annotations

import os
import sqlite3
import stat
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import exc, text

from tunesmith.errors import StoreError
from tunesmith.store import tables
from tunesmith.store.database import Database, NoDatabase
from tunesmith.store.failures import explain
from tunesmith.store.home import Home
from tunesmith.store.upgrade import migrations
from tunesmith.store.url import parse_database_url, shown


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "new folder" / "registry.db"


def test_a_new_database_is_made_with_its_folder(file: Path) -> None:
    with Database.open(f"sqlite:///{file}").reading() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1
        assert connection.execute(text("PRAGMA busy_timeout")).scalar() == 30_000


def test_the_migrations_make_the_tables_of_the_code(file: Path) -> None:
    with Database.open(f"sqlite:///{file}").reading() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": tables.REVISION_TABLE})
        assert compare_metadata(context, tables.metadata) == []
    assert ScriptDirectory.from_config(migrations()).get_current_head() == tables.SCHEMA_REVISION


def test_a_database_that_is_up_to_date_is_opened_without_alembic(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Database.open(f"sqlite:///{file}")
    for name in [name for name in sys.modules if name.partition(".")[0] == "alembic"]:
        monkeypatch.setitem(sys.modules, name, None)
    Database.open(f"sqlite:///{file}")


def test_writing_is_all_or_nothing(file: Path) -> None:
    database = Database.open(f"sqlite:///{file}")
    with pytest.raises(KeyboardInterrupt), database.writing("x") as connection:
        connection.execute(text("CREATE TABLE half (x)"))
        raise KeyboardInterrupt
    with database.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM sqlite_master WHERE name = 'half'")).scalar() == 0


def test_a_writer_waits_and_then_says_so(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunesmith.store.database.BUSY_SECONDS", 0.1)
    database = Database.open(f"sqlite:///{file}")
    with database.writing("x"), pytest.raises(StoreError) as caught, database.writing("y"):
        pass
    assert str(caught.value) == (
        f"sqlite:///{file}: another process has held the database for too long\n"
        "  fix: wait for it to end, or use PostgreSQL"
    )


def test_a_missing_database_is_not_made_when_only_looking(file: Path) -> None:
    with pytest.raises(NoDatabase, match="there is no registry here"):
        Database.open(f"sqlite:///{file}", create=False)
    assert not file.parent.exists()


def _random(file: Path) -> None:
    file.write_bytes(os.urandom(5000))


def _folder(file: Path) -> None:
    file.mkdir()


def _damaged(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE a (b)")
    content = bytearray(file.read_bytes())
    content[100:] = os.urandom(len(content) - 100)
    file.write_bytes(content)


BAD_FILES = [
    (_random, "this file is not a SQLite database\n  fix: name another file, or move this one away"),
    (_folder, "the database file cannot be opened\n  fix: check that it is a file and that you may read and write it"),
    (_damaged, "the database is damaged\n  fix: restore a copy; `sqlite3 FILE .recover` may save what is left"),
]


@pytest.mark.parametrize(("spoil", "message"), BAD_FILES)
def test_a_file_that_is_no_database_is_refused(file: Path, spoil: object, message: str) -> None:
    file.parent.mkdir()
    spoil(file)  # type: ignore[operator]
    with pytest.raises(StoreError) as caught:
        Database.open(f"sqlite:///{file}")
    assert str(caught.value) == f"sqlite:///{file}: {message}"


def test_a_file_in_the_way_of_the_folder_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="the folder of the database cannot be made"):
        Database.open(f"sqlite:///{tmp_path / 'file' / 'registry.db'}")


KINDS = "write sqlite:////absolute/path/registry.db or postgresql://user:password@host:5432/database"
ESCAPES = "; in a password, write %40 for @, %2F for / and %3A for :"
BAD_URLS = [
    ("", "the database URL cannot be read", KINDS + ESCAPES),
    ("registry.db", "the database URL cannot be read", KINDS + ESCAPES),
    ("postgresql://u:hunter2@h:port/d", "the database URL cannot be read", KINDS + ESCAPES),
    ("postgresql://u:hunt/er2@h:po/d", "the database URL cannot be read", KINDS + ESCAPES),
    ("mysql://u:hunter2@h/d", "databases of the kind 'mysql' are not supported", KINDS),
    ("postgresql+psycopg2://u:hunter2@h/d", "databases of the kind 'postgresql+psycopg2' are not supported", KINDS),
    ("sqlite://", "a SQLite URL must name a file", "write sqlite:////path/registry.db"),
    ("sqlite:///:memory:", "a SQLite URL must name a file", "write sqlite:////path/registry.db"),
]


@pytest.mark.parametrize(("url", "what", "fix"), BAD_URLS)
def test_a_url_that_is_not_understood_is_refused_without_repeating_it(url: str, what: str, fix: str) -> None:
    with pytest.raises(StoreError) as caught:
        parse_database_url(url)
    assert str(caught.value) == f"TUNESMITH_DATABASE_URL: {what}\n  fix: {fix}"


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_postgresql_means_psycopg_3_and_hides_the_password(scheme: str) -> None:
    url = parse_database_url(f"{scheme}://user:hunter2@host:5432/db?password=hunter2&sslmode=require")
    assert url.drivername == "postgresql+psycopg"
    assert url.query["sslmode"] == "require"
    assert shown(url) == "postgresql+psycopg://user:***@host:5432/db"


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreError) as caught:
        Database.open("postgresql://user:hunter2@host/db")
    assert str(caught.value) == (
        "postgresql+psycopg://user:***@host/db: PostgreSQL needs the psycopg driver, which is not installed\n"
        '  fix: pip install "tunesmith[postgres]"'
    )


def test_a_server_that_is_not_there_is_a_sentence() -> None:
    with pytest.raises(StoreError) as caught:
        Database.open("postgresql://user:hunter2@127.0.0.1:1/db")
    assert "the database cannot be reached: " in str(caught.value) and "hunter2" not in str(caught.value)


def test_a_home_does_not_print_its_secrets(tmp_path: Path) -> None:
    assert "hunter2" not in repr(Home(tmp_path, "postgresql://u:hunter2@h/d", "s3://key:hunter2@bucket"))


def test_only_its_owner_reads_a_new_file(tmp_path: Path) -> None:
    file = tmp_path / "registry.db"
    database = Database.open(f"sqlite:///{file}")
    with database.writing("test") as connection:
        connection.execute(text("CREATE TABLE more (id INTEGER)"))
        # While a transaction is open, what SQLite keeps beside the file lies there too.
        assert {stat.S_IMODE(one.stat().st_mode) for one in tmp_path.iterdir()} == {0o600}
    file.chmod(0o660)
    Database.open(f"sqlite:///{file}")
    assert stat.S_IMODE(file.stat().st_mode) == 0o660


@pytest.mark.parametrize("state", ["22001", "22003", "22021", None])
def test_a_value_that_fits_no_column_is_no_traceback(state: str | None) -> None:
    """Too long, out of range, not of its characters; and NUL, which the driver refuses without asking the server."""
    original = Exception("value")
    original.sqlstate = state  # type: ignore[attr-defined]
    with pytest.raises(StoreError, match="place: the database cannot hold a value"), explain("place"):
        raise exc.DataError("INSERT", {}, original)
