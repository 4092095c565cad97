"""What `--json` prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def test_only_the_answer_is_on_standard_output_with_json() -> None:
    code = (
        "import os, sys; from tunesmith.cli import output; output.keep_stdout_for_json();"
        "print('a library says'); os.write(1, b'so does C++\\n'); output.print_json({'a': 1})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"a": 1}
    assert "a library says" in done.stderr and "so does C++" in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("registry", "ls"), ("doctor",), ("recipe", "show", "recipe.yaml"), ("recipe", "check", "recipe.yaml"),
        ("recipe", "check", "wrong.yaml"), ("data", "audit", "recipe.yaml"),
    ],
)  # fmt: skip
def test_a_command_answers_with_json_and_nothing_else(tmp_path: Path, command: tuple[str, ...]) -> None:
    row = {"messages": [{"role": "user", "content": "say"}, {"role": "assistant", "content": "yes"}]}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    recipe = "name: one\nmodel: {source: some/model}\ndata: {train: rows.jsonl}\n"
    (tmp_path / "recipe.yaml").write_text(recipe)
    (tmp_path / "wrong.yaml").write_text(recipe + "nothing: 1\n")
    environment = {**os.environ, "TUNESMITH_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-m", "tunesmith", *command, "--json"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    json.loads(done.stdout)


def test_help_stays_where_it_is() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tunesmith", "registry", "ls", "--json", "--help"], capture_output=True, text=True
    )
    assert "Example:" in done.stdout
