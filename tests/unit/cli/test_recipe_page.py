"""Every command and every recipe on the page about recipes works as it says."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tunesmith.errors import RecipeError
from tunesmith.recipe.load import load_recipe

Run = Callable[..., subprocess.CompletedProcess[str]]

PAGE = (Path(__file__).parents[3] / "docs" / "recipe.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_commands(tunesmith: Run) -> None:
    num_commands = 0
    for block in blocks("console"):
        for command, output in re.findall(r"^\$ tunesmith (.*)\n((?:[^$].*\n)*)", block, re.MULTILINE):
            num_commands += 1
            printed = tunesmith(*shlex.split(command)).stdout
            assert not output or printed == output
    assert num_commands >= 5


def test_recipes(tmp_path: Path) -> None:
    small, extending = (block for block in blocks("yaml") if re.search("^name:", block, re.MULTILINE))
    (tmp_path / "base.yaml").write_text(small)
    (tmp_path / "r.yaml").write_text(extending)
    assert load_recipe(tmp_path / "base.yaml").recipe.name == "support-answers"
    assert load_recipe(tmp_path / "r.yaml").recipe.train.epochs == 3


def test_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("recipe.yaml").write_text(
        "name: x\nmodel: {source: a/b}\ndata: {train: rows.jsonl}\ntrain:\n  learning_rate: fast\n  epoch: 3\n"
    )
    with pytest.raises(RecipeError) as caught:
        load_recipe(Path("recipe.yaml"))
    assert blocks("text") == [f"error: {caught.value}\n"]
