"""The commands and files of docs/review.md, run and read."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.unit.evaluate.made_up import report_of
from tunesmith.cli import cli
from tunesmith.cli.review import command
from tunesmith.review.reviews import Reviews
from tunesmith.review.rubric import read_rubric
from tunesmith.store.database import Database
from tunesmith.store.home import find_home

PAGE = (Path(__file__).parents[3] / "docs" / "review.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"(?:^|`)tunesmith ((?:review|keys) [^`\n]*)`?", PAGE, re.MULTILINE)


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


def test_the_commands_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TUNESMITH_HOME", "TUNESMITH_DATABASE_URL", "TUNESMITH_ARTIFACTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    Path("report.json").write_bytes(report_of(["a b"] * 2, ["x"] * 2, ["y"] * 2, ["a b"] * 2).to_json())
    Path("rubric.yaml").write_text(block("yaml"))
    Path("items.jsonl").write_text(block("json"))
    assert len(COMMANDS) >= 10
    for line in COMMANDS:
        arguments = shlex.split(line)
        if arguments[:2] == ["review", "serve"]:
            arguments.append("--help")
        result = CliRunner().invoke(cli, arguments)
        assert result.exit_code == 0, (line, result.output, result.exception)
    reviews = Reviews(Database.open(find_home().database_url))
    assert [scale.name for scale in reviews.rubric("summaries").scales] == ["correctness", "tone"]
    assert [one.gold.choice for one in reviews.items("summaries") if one.gold] == ["v2"]
    assert read_rubric(Path("rubric.yaml")).instructions.startswith("Prefer the answer")


def test_every_option_that_is_named_is_there() -> None:
    options = {option for verb in command.commands.values() for one in verb.params for option in one.opts}
    named = set(re.findall(r"(--[a-z][a-z-]+)", PAGE)) - {"--scope"}
    assert named <= options


def test_the_keys_are_those_of_the_page() -> None:
    help_ = (Path(__file__).parents[3] / "src/tunesmith/review/page/item.jinja").read_text(encoding="utf-8")
    shown = set(re.findall(r"<kbd>(.*?)</kbd>", help_.partition('id="help"')[2]))
    table = set(re.findall(r"`([^`]+)`", "".join(line for line in PAGE.splitlines() if line.startswith("| `"))))
    assert shown == table
