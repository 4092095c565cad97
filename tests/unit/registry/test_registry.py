"""The registry on SQLite: versions that stay, references, and what is refused. The races are integration tests."""

from __future__ import annotations

import dataclasses
import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tunesmith.errors import RegistryError, StoreError
from tunesmith.registry.aliases import AliasConflict
from tunesmith.registry.registry import Registry
from tunesmith.registry.version import NewVersion
from tunesmith.store.home import Home

NEW = NewVersion(
    name="summaries",
    kind="adapter",
    base_model="smollm2-135m-instruct",
    recipe_hash="r1",
    recipe={"name": "summaries"},
    created_by="ann",
    verdict="passed",
)
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    folder = tmp_path / "home"
    return Home(folder, f"sqlite:///{folder / 'registry.db'}", str(folder / "artifacts"))


@pytest.fixture
def registry(home: Home) -> Registry:
    return Registry.open(home, now=lambda: NOON)


@pytest.fixture
def artefact(tmp_path: Path) -> Path:
    folder = tmp_path / "artefact"
    folder.mkdir()
    (folder / "weights.bin").write_bytes(b"\0\1\2")
    return folder


def test_numbers_begin_at_one_for_each_name(registry: Registry, artefact: Path) -> None:
    def register(**changes: Any) -> str:
        return registry.register(replace(NEW, **changes), artefact).reference

    assert register() == "summaries@1"
    assert register(recipe_hash="r2") == "summaries@2"
    assert register(name="other") == "other@1"
    assert [version.reference for version in registry.versions()] == ["other@1", "summaries@1", "summaries@2"]
    assert [version.number for version in registry.versions("summaries")] == [1, 2]


def test_the_same_registration_again_is_the_same_version(registry: Registry, artefact: Path) -> None:
    first = registry.register(NEW, artefact)
    assert registry.register(replace(NEW, created_by="ben", metrics={"later": 1}), artefact) == first
    (artefact / "weights.bin").write_bytes(b"other")
    assert registry.register(NEW, artefact).number == 2


def test_an_evaluation_that_comes_later_is_not_lost(registry: Registry, artefact: Path) -> None:
    assert registry.register(replace(NEW, verdict="unevaluated"), artefact).number == 1
    evaluated = registry.register(replace(NEW, metrics={"rougeL": 0.3}), artefact)
    assert (evaluated.number, evaluated.verdict, evaluated.metrics) == (2, "passed", {"rougeL": 0.3})


def test_every_result_becomes_json(registry: Registry, artefact: Path) -> None:
    version = registry.register(replace(NEW, reasons=("a",)), artefact)
    move = registry.move_alias("summaries", "champion", 1, "ann", "first")
    everything = [NEW, version, move, *registry.aliases("summaries"), *registry.history("summaries", "champion")]
    for result in everything:
        assert json.loads(json.dumps(result.to_json())) == result.to_json()
        with pytest.raises(dataclasses.FrozenInstanceError):
            result.name = "x"  # type: ignore[misc]
    assert version.to_json()["created_at"] == "2026-01-02T12:00:00+00:00"
    assert version.to_json()["reference"] == "summaries@1"


def test_references_say_how_they_were_resolved(registry: Registry, artefact: Path) -> None:
    registry.register(replace(NEW, verdict="unevaluated"), artefact)
    assert (registry.resolve("summaries").number, registry.resolve("summaries").chosen_by) == (
        1,
        "latest, none has passed",
    )
    registry.register(NEW, artefact)
    registry.register(replace(NEW, verdict="failed"), artefact)
    found = {text: registry.resolve(text) for text in ("summaries", "summaries@1", "summaries@003")}
    assert [(version.number, version.chosen_by) for version in found.values()] == [
        (2, "latest passed"),
        (1, "number"),
        (3, "number"),
    ]
    registry.move_alias("summaries", "champion", 1, "ann", "why not")
    assert registry.resolve("summaries@champion").chosen_by == "alias champion"


NAME_FIX = "use up to 63 lower-case letters, digits, dots, dashes and underscores, beginning with a letter or digit"
ALIAS_FIX = "use up to 63 lower-case letters, digits, dashes and underscores, beginning with a letter: champion"
BAD_REFERENCES = [
    ("summarise", "summarise: nothing is registered under 'summarise'\n  fix: did you mean 'summaries'?"),
    (
        "summaries@9",
        "summaries@9: there is no version 9 of 'summaries'\n"
        "  fix: the newest is summaries@1; `tunesmith registry ls summaries` lists them",
    ),
    ("summaries@champ", "summaries@champ: 'summaries' has no alias 'champ'\n  fix: did you mean 'champion'?"),
    ("summarise@champion", "summarise: nothing is registered under 'summarise'\n  fix: did you mean 'summaries'?"),
    ("summaries@0", "version: 0 is not a version number\n  fix: numbers begin at 1: name@1"),
    ("summaries@", f"alias: '' is not an alias\n  fix: {ALIAS_FIX}"),
    ("summaries@1@2", f"alias: '1@2' is not an alias\n  fix: {ALIAS_FIX}"),
    ("summaries@latest", f"alias: 'latest' is kept for the newest version\n  fix: {ALIAS_FIX}"),
    ("summaries@٣", f"alias: '٣' is not an alias\n  fix: {ALIAS_FIX}"),
    ("", f"name: '' is not a name for a model\n  fix: {NAME_FIX}"),
    ("../../x", f"name: '../../x' is not a name for a model\n  fix: {NAME_FIX}"),
    ("a\0b", f"name: 'a\\x00b' is not a name for a model\n  fix: {NAME_FIX}"),
    ("a\x1b[2J", f"name: 'a\\x1b[2J' is not a name for a model\n  fix: {NAME_FIX}"),
    ("模型", f"name: '模型' is not a name for a model\n  fix: {NAME_FIX}"),
    ("a' OR 1=1 --", f"name: 'a' OR 1=1 --' is not a name for a model\n  fix: {NAME_FIX}"),
    ("summaries\n", f"name: 'summaries\\n' is not a name for a model\n  fix: {NAME_FIX}"),
    (
        "x" * 10_000_000,
        f"version: '{'x' * 59}…' (10000000 characters) is not a reference\n  fix: write name@3 or name@champion",
    ),
]


@pytest.mark.parametrize(("reference", "message"), BAD_REFERENCES, ids=lambda value: repr(value[:20]))
def test_a_reference_that_means_nothing_is_a_sentence(
    registry: Registry, artefact: Path, reference: str, message: str
) -> None:
    registry.register(NEW, artefact)
    registry.move_alias("summaries", "champion", 1, "ann", "first")
    with pytest.raises(RegistryError) as caught:
        registry.resolve(reference)
    assert str(caught.value) == message


def _deep() -> dict[str, Any]:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"x": deep}
    return deep


BAD_VERSIONS = [
    ({"name": "../../x"}, f"name: '../../x' is not a name for a model\n  fix: {NAME_FIX}"),
    ({"name": "Summaries"}, f"name: 'Summaries' is not a name for a model\n  fix: {NAME_FIX}"),
    ({"kind": "lora"}, "kind: 'lora' is not known\n  fix: known: adapter, full"),
    ({"verdict": "pass"}, "verdict: 'pass' is not known\n  fix: did you mean 'passed'?"),
    ({"recipe_hash": ""}, "recipe_hash: '' is not a hash\n  fix: give the hash of the resolved recipe"),
    ({"recipe_hash": "x" * 129}, "is not a hash"),
    ({"base_model": " "}, "base_model: this may not be empty\n  fix: say something in 'base_model'"),
    ({"base_model": "a\0b"}, "base_model: 'a\\x00b' holds control characters"),
    ({"created_by": "\x1b]0;evil\x07"}, "created_by: '\\x1b]0;evil\\x07' holds control characters"),
    ({"run_id": "x" * 10_000_000}, "run_id: 10000000 characters are too many\n  fix: use at most 4000"),
    ({"run_id": "\ud800"}, "run_id: '\\ud800' holds control characters"),
    ({"metrics": {"loss": float("nan")}}, "metrics: not JSON: Out of range float values are not JSON compliant"),
    ({"recipe": {"a": object()}}, "recipe: not JSON: Object of type object is not JSON serializable"),
    ({"report": {"x": "y" * 2**24}}, "report: 16777225 bytes are too many"),
    ({"report": _deep()}, "report: not JSON: maximum recursion depth exceeded"),
    ({"reasons": "a text"}, "reasons: reasons are a list of texts\n  fix: put the text in a list"),
    ({"metrics": [1]}, "recipe: recipe and metrics are mappings\n  fix: give dictionaries"),
]


@pytest.mark.parametrize(("changes", "message"), BAD_VERSIONS, ids=lambda value: str(list(value))[:30])
def test_a_version_that_cannot_be_kept_is_refused_before_anything_is_stored(
    registry: Registry, home: Home, artefact: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(RegistryError) as caught:
        registry.register(replace(NEW, **changes), artefact)
    assert message in str(caught.value) and len(str(caught.value)) < 400
    assert registry.versions() == [] and not Path(home.artifacts).exists()


def test_the_first_of_two_who_expect_the_same_wins(registry: Registry, artefact: Path) -> None:
    registry.register(NEW, artefact)
    registry.register(replace(NEW, recipe_hash="r2"), artefact)
    assert registry.move_alias("summaries", "champion", 1, "ann", "first", expected=None).from_number is None
    with pytest.raises(AliasConflict) as caught:
        registry.move_alias("summaries", "champion", 2, "ben", "second", expected=None)
    assert str(caught.value) == (
        "summaries@champion: 'champion' points at summaries@1, not at nothing\n"
        "  fix: someone moved it: look at `tunesmith registry history` and decide again"
    )
    assert registry.move_alias("summaries", "champion", 2, "ben", "second").from_number == 1
    assert [alias.number for alias in registry.aliases()] == [2]


BAD_MOVES = [
    ({"version": 2}, "summaries@2: there is no version 2 of 'summaries'"),
    ({"version": 0}, "version: 0 is not a version number"),
    ({"version": True}, "version: True is not a version number"),
    ({"version": 2**63}, "version: 9223372036854775808 is not a version number"),
    ({"alias": "Champion!"}, "alias: 'Champion!' is not an alias"),
    ({"alias": "3"}, "alias: '3' is not an alias"),
    ({"alias": "latest"}, "alias: 'latest' is kept for the newest version"),
    ({"name": "nobody"}, "nobody: nothing is registered under 'nobody'"),
    ({"who": ""}, "who: this may not be empty"),
    ({"why": "  "}, "why: this may not be empty"),
    ({"why": "a\x07"}, "why: 'a\\x07' holds control characters"),
    ({"expected": 0}, "version: 0 is not a version number"),
]


@pytest.mark.parametrize(("changes", "message"), BAD_MOVES)
def test_a_move_that_makes_no_sense_is_refused(
    registry: Registry, artefact: Path, changes: dict[str, Any], message: str
) -> None:
    registry.register(NEW, artefact)
    move = {"name": "summaries", "alias": "champion", "version": 1, "who": "ann", "why": "first", **changes}
    with pytest.raises(RegistryError) as caught:
        registry.move_alias(**move)
    assert str(caught.value).startswith(message)
    assert registry.aliases() == []


def test_a_crash_between_files_and_row_leaves_no_version(
    registry: Registry, artefact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tunesmith.registry.rows.find_version", crash)
    with pytest.raises(KeyboardInterrupt):
        registry.register(NEW, artefact)
    monkeypatch.undo()
    assert registry.versions() == []
    assert registry.register(NEW, artefact).number == 1


def test_a_project_folder_that_was_moved_keeps_its_versions(
    registry: Registry, home: Home, artefact: Path, tmp_path: Path
) -> None:
    version = registry.register(NEW, artefact)
    registry.close()
    moved = tmp_path / "moved"
    home.folder.rename(moved)
    again = Registry.open(Home(moved, f"sqlite:///{moved / 'registry.db'}", str(moved / "artifacts")))
    assert (again.fetch(again.resolve("summaries@1")) / "weights.bin").read_bytes() == b"\0\1\2"
    shutil.rmtree(moved / "artifacts")
    with pytest.raises(StoreError, match="the artefact is not here"):
        again.fetch(version)
