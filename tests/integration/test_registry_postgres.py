"""The registry on both databases: the same tests, once on SQLite and once on a real PostgreSQL."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, exc, inspect, text

from tests.integration.postgres import PASSWORD, Server, postgres_server, postgres_url  # noqa: F401
from tunesmith.errors import RegistryError, StoreError
from tunesmith.registry.aliases import AliasConflict
from tunesmith.registry.registry import Registry
from tunesmith.registry.version import NewVersion
from tunesmith.store.database import Database
from tunesmith.store.home import Home
from tunesmith.store.tables import SCHEMA_REVISION
from tunesmith.store.url import parse_database_url

NUM_PROCESSES = 8
HERE = Path(__file__).parent


@pytest.fixture(params=["sqlite", "postgresql"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'registry.db'}"
    else:
        url = request.getfixturevalue("postgres_url")
    return Home(tmp_path / "home", url, str(tmp_path / "artifacts"))


@pytest.fixture
def artefact(tmp_path: Path) -> Path:
    folder = tmp_path / "artefact"
    folder.mkdir()
    (folder / "weights.bin").write_bytes(b"\0\1\2")
    return folder


NEW = NewVersion(
    name="model",
    kind="adapter",
    base_model="SmolLM2",
    base_revision="abc",
    recipe_hash="r1",
    recipe={"train": {"learning_rate": 1e-4}, "name": "\u0000 ü 模型 \ud800", "order": {"z": 1, "a": 2}},
    created_by="someone",
    dataset_version="d1",
    run_id="run-1",
    report={"rows": [1, 2.5, None, True]},
    report_uri="file:///report.html",
    verdict="passed",
    reasons=("margin 0.1\nabove 0.05", "'; DROP TABLE tunesmith_versions; --"),
    metrics={"rougeL": 0.1 + 0.2, "big": 10**15},
)


def test_a_version_comes_back_as_it_was_registered(home: Home, artefact: Path) -> None:
    registry = Registry.open(home)
    version = registry.register(NEW, artefact)
    again = Registry.open(home).resolve("model@1")
    assert again == version
    assert {key: value for key, value in again.to_json().items() if key in NEW.to_json()} == NEW.to_json()
    assert again.created_at.utcoffset().total_seconds() == 0
    assert list(again.recipe["order"]) == ["z", "a"]
    assert (registry.fetch(again) / "weights.bin").read_bytes() == b"\0\1\2"


def test_the_database_itself_refuses_to_change_a_version_or_the_history(home: Home, artefact: Path) -> None:
    registry = Registry.open(home)
    registry.register(NEW, artefact)
    registry.move_alias("model", "champion", 1, "someone", "first")
    engine = create_engine(parse_database_url(home.database_url))
    statements = [
        "UPDATE tunesmith_versions SET verdict = 'failed'",
        "DELETE FROM tunesmith_versions",
        "UPDATE tunesmith_alias_moves SET why = 'another reason'",
        "DELETE FROM tunesmith_alias_moves",
    ]
    if engine.dialect.name == "sqlite":
        columns = "name, number, content_hash, kind, base_model, recipe_hash, recipe, artefact_uri, verdict, reasons"
        columns += ", metrics, created_at, created_by"
        copied = columns.replace("verdict", "'failed'")
        statements.append(
            f"INSERT OR REPLACE INTO tunesmith_versions ({columns}) SELECT {copied} FROM tunesmith_versions"
        )
    else:
        statements.append("TRUNCATE tunesmith_versions CASCADE")
    for statement in statements:
        with pytest.raises(exc.DBAPIError, match="cannot be changed or deleted"), engine.begin() as connection:
            connection.execute(text(statement))
    # Nor may an alias point at a version that does not exist.
    if engine.dialect.name == "postgresql":
        with pytest.raises(exc.IntegrityError), engine.begin() as connection:
            connection.execute(text("UPDATE tunesmith_aliases SET number = 99"))
    engine.dispose()
    assert registry.resolve("model@1").verdict == "passed"
    assert len(registry.history("model", "champion")) == 1


def test_aliases_move_with_their_history(home: Home, artefact: Path) -> None:
    registry = Registry.open(home)
    registry.register(NEW, artefact)
    registry.register(replace(NEW, recipe_hash="r2", verdict="failed", reasons=("worse by 0.1",)), artefact)
    assert registry.resolve("model").chosen_by == "latest passed"
    assert registry.move_alias("model", "champion", 1, "ann", "first", expected=None).from_number is None
    with pytest.raises(AliasConflict, match=r"points at model@1, not at nothing"):
        registry.move_alias("model", "champion", 2, "ben", "mine", expected=None)
    with pytest.raises(RegistryError, match=r"model@2 failed its gate: worse by 0\.1"):
        registry.move_alias("model", "champion", 2, "ben", "mine", expected=1)
    assert registry.resolve("model@champion").number == 1
    assert registry.move_alias("model", "champion", 2, "ben", "shown to a customer", expected=1, force=True).forced
    moves = registry.history("model", "champion")
    assert [(move.from_number, move.to_number, move.moved_by, move.forced) for move in moves] == [
        (None, 1, "ann", False),
        (1, 2, "ben", True),
    ]
    assert registry.resolve("model@champion").chosen_by == "alias champion"


@pytest.mark.slow
def test_many_processes_register_at_once_and_none_is_lost(home: Home, tmp_path: Path) -> None:
    # The database does not exist yet: its tables are made in the same race.
    numbers = [number for worker in _race(home, tmp_path, "register", 5) for number in worker]
    assert sorted(numbers) == list(range(1, NUM_PROCESSES * 5 + 1))
    registry = Registry.open(home)
    versions = registry.versions("model")
    assert [version.number for version in versions] == sorted(numbers)
    assert len({version.content_hash for version in versions}) == len(numbers)
    for version in versions:
        registry.verify(version)


@pytest.mark.slow
def test_many_processes_registering_the_same_files_get_the_same_version(home: Home, tmp_path: Path) -> None:
    assert _race(home, tmp_path, "same", 5) == [[1, 2, 3, 4, 5]] * NUM_PROCESSES
    assert len(Registry.open(home).versions("model")) == 5


@pytest.mark.slow
def test_of_many_that_move_an_alias_from_the_same_place_one_wins(home: Home, artefact: Path, tmp_path: Path) -> None:
    num_rounds = 10
    registry = Registry.open(home)
    for number in range(num_rounds):
        registry.register(replace(NEW, recipe_hash=f"r{number}"), artefact)
    results = _race(home, tmp_path, "alias", num_rounds)
    assert [sum(won) for won in zip(*results, strict=True)] == [1] * num_rounds
    moves = registry.history("model", "champion")
    assert [(move.from_number or 0, move.to_number) for move in moves] == [(n, n + 1) for n in range(num_rounds)]


@pytest.mark.slow
def test_killed_at_any_step_a_registration_leaves_nothing_half_done(home: Home, artefact: Path, tmp_path: Path) -> None:
    (artefact / "config.json").write_text("{}")
    command = [sys.executable, HERE / "registry_crash.py", home.database_url, tmp_path, "7"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["half"] == [] and found["retry_failed"] == []
    assert found["killed"] > 40 and found["last_exit"] == 0


def test_a_newer_database_is_refused(home: Home) -> None:
    Database.open(home.database_url).close()
    engine = create_engine(parse_database_url(home.database_url))
    with engine.begin() as connection:
        connection.execute(text("UPDATE tunesmith_schema SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(StoreError, match=rf"newer Tunesmith: its tables are at '9999', .* up to '{SCHEMA_REVISION}'"):
        Registry.open(home)


def test_a_migration_that_fails_half_way_leaves_the_database_empty(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    from alembic.operations import Operations

    def fail(*arguments: object) -> None:
        raise KeyboardInterrupt

    # The tables are made by then, the triggers are not.
    monkeypatch.setattr(Operations, "execute", fail)
    with pytest.raises(KeyboardInterrupt):
        Database.open(home.database_url)
    monkeypatch.undo()
    engine = create_engine(parse_database_url(home.database_url))
    assert inspect(engine).get_table_names() == []
    engine.dispose()
    assert Registry.open(home).versions() == []


WRONG_POSTGRES = [
    ("tunesmith:s3cret%2Fp%40ss", "nowhere", "the database does not exist on that server"),
    ("tunesmith:wr0ng-secret", "postgres", "the password is not accepted"),
    ("stranger:wr0ng-secret", "postgres", "the password is not accepted"),
]


@pytest.mark.parametrize(("login", "database", "what"), WRONG_POSTGRES)
def test_what_goes_wrong_with_a_server_is_a_sentence_without_the_password(
    postgres_server: Server,  # noqa: F811
    login: str,
    database: str,
    what: str,
) -> None:
    with pytest.raises(StoreError) as caught:
        Database.open(f"postgresql://{login}@127.0.0.1:{postgres_server.port}/{database}")
    user = login.partition(":")[0]
    assert str(caught.value).startswith(
        f"postgresql+psycopg://{user}:***@127.0.0.1:{postgres_server.port}/{database}: {what}\n  fix: "
    )
    assert "secret" not in str(caught.value) and PASSWORD not in str(caught.value)


def test_a_user_who_may_only_read_is_told_so(postgres_url: str, postgres_server: Server) -> None:  # noqa: F811
    Database.open(postgres_url).close()
    engine = create_engine(parse_database_url(postgres_url))
    role = f"reader_{time.monotonic_ns()}"
    with engine.begin() as connection:
        connection.execute(text(f"CREATE ROLE {role} LOGIN PASSWORD 'p'"))
        connection.execute(text(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"))
    engine.dispose()
    database = postgres_url.rpartition("/")[2]
    reader = Database.open(f"postgresql://{role}:p@127.0.0.1:{postgres_server.port}/{database}")
    with pytest.raises(StoreError, match="this user may not do that"), reader.writing("x") as connection:
        connection.execute(text("DELETE FROM tunesmith_aliases"))


def test_a_database_of_another_encoding_says_so(postgres_url: str, artefact: Path, tmp_path: Path) -> None:  # noqa: F811
    engine = create_engine(parse_database_url(postgres_url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("CREATE DATABASE latin_1 ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"))
    engine.dispose()
    registry = Registry.open(Home(tmp_path, f"{postgres_url.rpartition('/')[0]}/latin_1", str(tmp_path / "artifacts")))
    registry.register(NEW, artefact)
    with pytest.raises(StoreError, match="the database cannot hold this text"):
        registry.move_alias("model", "champion", 1, "模型", "not in Latin 1")


def test_a_server_that_restarts_is_found_again(postgres_url: str) -> None:  # noqa: F811
    database = Database.open(postgres_url)
    with pytest.raises(StoreError, match="the database cannot be reached"), database.reading() as connection:
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    with database.reading() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1


def _race(home: Home, folder: Path, action: str, num_rounds: int) -> list[list[int]]:
    command = [sys.executable, HERE / "registry_worker.py", home.database_url, folder]
    workers = [
        subprocess.Popen(
            [*command, str(worker), action, str(num_rounds)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for worker in range(NUM_PROCESSES)
    ]
    try:
        deadline = time.monotonic() + 120
        while len(list(folder.glob("ready-*"))) < NUM_PROCESSES and time.monotonic() < deadline:
            time.sleep(0.02)
        (folder / "go").touch()
        ended = [worker.communicate(timeout=120) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.returncode for worker in workers] == [0] * NUM_PROCESSES, [
        error.decode()[-600:] for _, error in ended
    ]
    return [json.loads(output) for output, _ in ended]
