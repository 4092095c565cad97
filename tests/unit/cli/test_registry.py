"""`tunesmith registry`, as a user types it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from tunesmith.cli import cli
from tunesmith.cli.registry import command
from tunesmith.errors import TunesmithError
from tunesmith.registry.registry import Registry
from tunesmith.registry.version import NewVersion
from tunesmith.store.home import find_home

NEW = NewVersion(
    name="summaries",
    kind="adapter",
    base_model="[red]base[/red]",
    recipe_hash="r1",
    recipe={"name": "summaries"},
    created_by="ann",
    verdict="passed",
)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("TUNESMITH_DATABASE_URL", "TUNESMITH_ARTIFACTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.fixture
def registered(project: Path) -> Registry:
    (project / "artefact").mkdir()
    (project / "artefact" / "weights.bin").write_bytes(b"\0\1\2")
    registry = Registry.open(find_home())
    registry.register(NEW, project / "artefact")
    registry.register(replace(NEW, recipe_hash="r2", verdict="failed", reasons=("worse",)), project / "artefact")
    return registry


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["registry", *arguments])


def test_versions_are_listed(registered: Registry) -> None:
    registered.move_alias("summaries", "champion", 1, "ann", "first")
    lines = run("ls").stdout.splitlines()
    assert lines[0].split()[:3] == ["version", "aliases", "verdict"]
    assert lines[1].split()[:5] == ["summaries@1", "champion", "passed", "adapter", "[red]base[/red]"]
    listed = json.loads(run("ls", "summaries", "--json").stdout)
    assert [(version["reference"], version["aliases"]) for version in listed] == [
        ("summaries@1", ["champion"]),
        ("summaries@2", []),
    ]


def test_where_nothing_is_registered_listing_says_so_and_creates_nothing(project: Path) -> None:
    result = run("ls", "--json")
    assert (result.exit_code, result.stdout) == (0, "[]\n")
    assert "there is no registry here" in result.stderr
    assert not (project / "home").exists()


def test_a_version_is_shown(registered: Registry) -> None:
    shown = json.loads(run("show", "summaries", "--json").stdout)
    assert (shown["reference"], shown["chosen_by"], shown["recipe"]) == (
        "summaries@1",
        "latest passed",
        {"name": "summaries"},
    )
    assert "latest passed" in run("show", "summaries").stdout


def test_an_alias_is_moved_and_its_history_shown(registered: Registry) -> None:
    assert run("alias", "summaries", "champion", "1", "--why", "first", "--by", "ann", "--expect", "none").stdout == (
        "summaries@champion -> summaries@1 (set for the first time)\n"
    )
    forced = run("alias", "summaries", "champion", "summaries@2", "--why", "demo", "--by", "ben", "--force")
    assert forced.stdout == "summaries@champion -> summaries@2 (was summaries@1)\n"
    assert forced.stderr == "warning: this version failed its gate\n"
    moves = json.loads(run("history", "summaries", "champion", "--json").stdout)
    assert [
        (move["from_number"], move["to_number"], move["moved_by"], move["why"], move["forced"]) for move in moves
    ] == [
        (None, 1, "ann", "first", False),
        (1, 2, "ben", "demo", True),
    ]
    assert "2 (forced)" in run("history", "summaries", "champion").stdout


def test_files_are_verified(registered: Registry, project: Path) -> None:
    assert run("verify", "summaries@1").stdout == "summaries@1: 1 files, 3 bytes, all as registered\n"
    checked = json.loads(run("verify", "summaries@1", "--json").stdout)
    assert [file["name"] for file in checked["files"]] == ["weights.bin"]
    weights = registered.fetch(registered.resolve("summaries@1")) / "weights.bin"
    weights.chmod(0o644)
    weights.write_bytes(b"\0\1\3")
    result = run("verify", "summaries@1")
    assert isinstance(result.exception, TunesmithError)
    assert "the artefact is damaged: 'weights.bin' has changed" in str(result.exception)


BAD_COMMANDS = [
    (
        ["show", "summarise"],
        "error: summarise: nothing is registered under 'summarise'\n  fix: did you mean 'summaries'?\n",
    ),
    (
        ["alias", "summaries", "champion", "2", "--why", "x"],
        "error: summaries@champion: summaries@2 failed its gate: worse\n"
        "  fix: choose a version that passed, or say --force and in --why the reason\n",
    ),
    (
        ["history", "summaries", "champion"],
        "error: summaries@champion: 'summaries' has no alias 'champion'\n"
        "  fix: set one: `tunesmith registry alias summaries champion 1 --why TEXT`\n",
    ),
    (
        ["alias", "summaries", "champion", "other@1", "--why", "x"],
        "Error: 'other@1' is not a version of 'summaries': write 3 or NAME@3\n",
    ),
    (["alias", "summaries", "champion", "1"], "Error: Missing option '--why'.\n"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_COMMANDS)
def test_a_mistake_exits_2_with_a_sentence(registered: Registry, arguments: list[str], message: str) -> None:
    program = "from tunesmith.cli import main; main()"
    ran = subprocess.run([sys.executable, "-c", program, "registry", *arguments], capture_output=True, text=True)
    assert ran.returncode == 2 and ran.stdout == ""
    assert ran.stderr.endswith(message) and "Traceback" not in ran.stderr


def test_every_command_has_an_example_and_json() -> None:
    context = click.Context(command)
    for name in command.list_commands(context):
        result = run(name, "--help")
        assert "Example:" in result.stdout and f"tunesmith registry {name}" in result.stdout
        assert "--json" in result.stdout


def test_no_heavy_package_is_loaded(registered: Registry) -> None:
    program = (
        "import sys; from tunesmith.cli import cli; cli(['registry', 'verify', 'summaries@1'], standalone_mode=False);"
        "print({'torch', 'ray', 'pyarrow', 'numpy', 'alembic', 'pandas'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.stdout.splitlines()[-1] == "set()", ran.stderr
