"""What a parity check says: passed, or which layer is at fault; and that nothing unchecked gets traffic."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from tunesmith.registry.registry import Registry
from tunesmith.registry.version import NewVersion, Version
from tunesmith.serve.catalogue import read_catalogue
from tunesmith.serve.checks import keep, read_checks, state_of
from tunesmith.serve.parity import Proof, Said, judge
from tunesmith.serve.problem import Problem
from tunesmith.serve.spec import EngineSpec
from tunesmith.serve.versions import Versions
from tunesmith.store.database import Database
from tunesmith.store.home import find_home
from tunesmith.store.tables import parity

TUNED, BASE = [-1.0, -2.0, -0.5], [-3.0, -0.1, -4.0]


def compare(logprobs: list[float], prompt: list[int] | None = None, dtype: str = "float32", base: Any = BASE) -> Any:
    said = [Said(prompt or [1, 2], [7, 8, 9][: len(logprobs)], logprobs)]
    number = len(logprobs)
    return judge([[1, 2]], said, [TUNED[:number]], [base[:number]], [[7, 8, 1][:number]], dtype)


@pytest.mark.parametrize(
    ("found", "passed", "reason"),
    [
        (compare([-1.001, -2.0, -0.5]), True, "within 0.000333 of the trainer's model"),
        (compare([-1.2, -2.1, -0.5], dtype="bfloat16"), True, "within 0.1"),
        (compare([-1.0, -2.0, -0.5], prompt=[1, 3]), False, "template: the engine reads other tokens"),
        (compare(BASE), False, "adapter: the engine says what the base says (0 off)"),
        (compare([-1.02, -2.02, -0.52]), False, "dtype: log-probabilities are 0.02 off"),
        (compare([-9.0, -9.0, -9.0]), False, "log-probabilities are 7.83 off, and 0.01 is explained by float32"),
        (compare([]), False, "the engine answered nothing"),
        (compare(TUNED, base=TUNED), True, "within 0 of"),
    ],
)
def test_verdicts(found: Any, passed: bool, reason: str) -> None:
    assert found.passed == passed
    assert reason in found.reason


def test_nothing_has_traffic_before_it_has_passed(version: Version) -> None:
    registry, database = Registry.open(find_home()), Database.open(find_home().database_url)
    spec = EngineSpec(name="base", model="smol", source="/m", revision=str(version.base_revision))

    def read() -> Any:
        return read_catalogue(registry, [spec], ["tiny"], read_checks(database))

    with pytest.raises(Problem, match="tiny@1 is being compared with the trainer's model") as caught:
        read().find("tiny")
    assert (caught.value.status, caught.value.headers) == (503, {"Retry-After": "15"})
    before = state_of(database)
    keep(database, "tiny@1", spec, compare(BASE))
    assert state_of(database) != before
    with pytest.raises(Problem, match="tiny@1 is not served: adapter: the engine says what the base says"):
        read().find("tiny@1")
    keep(database, "tiny@1", spec, compare(TUNED))
    assert read().find("tiny").version == "tiny@1"


def test_an_engine_merges_what_the_alias_means_once_it_has_passed(version: Version) -> None:
    registry, database = Registry.open(find_home()), Database.open(find_home().database_url)
    spec = EngineSpec(name="base", model="smol", source="/m", revision=str(version.base_revision), fast="tiny@live")
    versions = Versions(spec)
    registry.move_alias("tiny", "live", 1, "ann", "first")
    assert versions.aim() is None
    keep(database, "tiny@1", spec, compare(TUNED))
    assert versions.aim() == "tiny@1"
    found = versions.find("tiny@1")
    assert (found.folder / "adapter_config.json").is_file() and version.content_hash.startswith(found.key)
    assert found.proofs == (Proof([1, 2], [7, 8, 9], TUNED, BASE),)
    assert Versions(spec.model_copy(update={"fast": "nothing"})).aim() is None


def test_an_alias_that_moves_to_what_is_not_checked_stays_where_it_was(
    registered: tuple[Path, Version], version: Version, tmp_path: Path
) -> None:
    registry, database = Registry.open(find_home()), Database.open(find_home().database_url)
    folder = tmp_path / "second"
    folder.mkdir()
    for file in (registered[0] / "adapter").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "note.txt").write_text("another")
    new = {key: getattr(version, key) for key in ("name", "kind", "base_model", "base_revision", "recipe", "verdict")}
    registry.register(NewVersion(**new, recipe_hash="r2", created_by="ann"), folder)
    spec = EngineSpec(name="base", model="smol", source="/m", revision=str(version.base_revision))
    checked = {"version": "tiny@1", "engine": spec.kind, "passed": True, "reason": "", "evidence": {}}
    with database.writing("test") as connection:
        connection.execute(insert(parity).values(**checked, at=datetime.now(UTC)))
    registry.move_alias("tiny", "champion", 1, "ann", "first")
    registry.move_alias("tiny", "champion", 2, "ann", "second")
    found = read_catalogue(registry, [spec], ["tiny"], read_checks(database))
    assert found.aliases == {"tiny@champion": "tiny@1", "tiny": "tiny@1"}
    keep(database, "tiny@2", spec, compare(TUNED))
    again = read_catalogue(registry, [spec], ["tiny"], read_checks(database))
    assert again.aliases == {"tiny@champion": "tiny@2", "tiny": "tiny@2"}
