"""Every command and the Python block of docs/registry.md, run."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from tunesmith.cli import cli
from tunesmith.registry.registry import Registry
from tunesmith.registry.version import NewVersion
from tunesmith.store.home import find_home

PAGE = (Path(__file__).parents[3] / "docs" / "registry.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^tunesmith (registry .*)$", PAGE, re.MULTILINE)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TUNESMITH_HOME", "TUNESMITH_DATABASE_URL", "TUNESMITH_ARTIFACTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/1/adapter").mkdir(parents=True)
    (tmp_path / "runs/1/adapter/weights.bin").write_bytes(b"\0")
    new = NewVersion("summaries", "adapter", "base", "r1", {}, "ann", verdict="passed")
    registry = Registry.open(find_home())
    for number in (1, 2, 3):
        registry.register(replace(new, recipe_hash=f"r{number}"), Path("runs/1/adapter"))


def test_the_commands_work() -> None:
    assert len(COMMANDS) >= 6
    for command in COMMANDS:
        result = CliRunner().invoke(cli, shlex.split(command, comments=True))
        assert result.exit_code == 0, (command, result.output, result.exception)


def test_the_python_works() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(block, "docs/registry.md", "exec"), names)
    assert isinstance(names["folder"], Path) and (names["folder"] / "weights.bin").exists()
    assert Registry.open(find_home()).resolve("summaries@champion").number == 4
