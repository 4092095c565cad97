"""`tunesmith recipe`: what is printed, where, and how fast."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tunesmith.recipe.json_schema import recipe_json_schema
from tunesmith.recipe.load import load_recipe
from tunesmith.recipe.reference import reference_markdown

Run = Callable[..., subprocess.CompletedProcess[str]]

GOOD = """\
name: good
model:
  source: some/model
data:
  train: rows.jsonl
  system: |-
    Be [red]brief[/red].
    :smile: {x}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "r.yaml"
    path.write_text(GOOD)
    return path


def test_show_says_where_each_value_came_from(tunesmith: Run, recipe: Path) -> None:
    shown = tunesmith("recipe", "show", "r.yaml", "--set", "train.learning_rate=1e-4").stdout.splitlines()
    found = {line.split("#")[0].strip(): line.split("# ")[1] for line in shown if "  # " in line}
    assert found["source: some/model"] == "r.yaml:3"
    assert found["learning_rate: 0.0001"] == "--set"
    assert found["epochs: 1.0"] == "default"
    columns = {line.rindex("#") for line in shown if "  # default" in line}
    assert len(columns) <= 3  # aligned, but for a few long lines


def test_what_show_prints_is_the_same_recipe(tunesmith: Run, recipe: Path) -> None:
    for flags in ([], ["--changed"]):
        Path("again.yaml").write_text(tunesmith("recipe", "show", "r.yaml", *flags).stdout)
        assert load_recipe(Path("again.yaml")).recipe == load_recipe(recipe).recipe


def test_show_json(tunesmith: Run, recipe: Path) -> None:
    answer = json.loads(tunesmith("recipe", "show", "r.yaml", "--json").stdout)
    assert answer["recipe"]["train"]["epochs"] == 1
    assert answer["origins"]["name"] == "r.yaml:1"
    assert len(answer["fingerprint"]) == 64
    changed = json.loads(tunesmith("recipe", "show", "r.yaml", "--json", "--changed").stdout)
    assert changed["fingerprint"] == answer["fingerprint"]
    assert list(changed["origins"]) == ["name", "model.source", "data.train.0.path", "data.system"]


def test_check(tunesmith: Run, recipe: Path) -> None:
    assert tunesmith("recipe", "check", "r.yaml").stdout == (
        "r.yaml is a valid recipe for 'good': 4 values given, the rest by default\n"
    )
    assert json.loads(tunesmith("recipe", "check", "r.yaml", "--json").stdout)["valid"] is True


def test_check_refuses(tunesmith: Run, recipe: Path) -> None:
    recipe.write_text(f"{GOOD}train:\n  epoch: 1\n")
    answer = tunesmith("recipe", "check", "r.yaml", exit_code=2)
    assert (answer.stdout, answer.stderr) == (
        "",
        "error: r.yaml:10: train.epoch: unknown key\n  fix: did you mean 'epochs'?\n",
    )
    mistakes = json.loads(tunesmith("recipe", "check", "r.yaml", "--json", exit_code=2).stdout)["mistakes"]
    assert mistakes == [
        {"field": "train.epoch", "what": "unknown key", "place": "r.yaml:10", "fix": "did you mean 'epochs'?"}
    ]


def test_missing_file(tunesmith: Run) -> None:
    assert tunesmith("recipe", "show", "no.yaml", exit_code=2).stderr.startswith(
        "error: no.yaml: there is no such file\n"
    )


def test_schema(tunesmith: Run) -> None:
    assert json.loads(tunesmith("recipe", "schema").stdout) == recipe_json_schema()
    assert tunesmith("recipe", "schema", "--markdown").stdout == reference_markdown()
    assert tunesmith("recipe", "schema", "--output", "s.json").stdout == ""
    assert json.loads(Path("s.json").read_text()) == recipe_json_schema()
    answer = tunesmith("recipe", "schema", "--output", "no/s.json", exit_code=2)
    assert answer.stderr == "error: no: there is no such folder\n  fix: make the folder first\n"


def seconds(program: list[str], *arguments: str) -> float:
    """Seconds of processor of a second run; the clock would count other processes of a busy machine too."""
    subprocess.run([*program, *arguments], check=True, capture_output=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*program, *arguments], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_and_show_are_fast(program: list[str], recipe: Path) -> None:
    assert seconds(program, "--help") < 0.5
    assert seconds(program, "recipe", "show", "r.yaml") < 1


def test_nothing_heavy_is_imported(program: list[str], recipe: Path) -> None:
    look = (
        "import sys; from tunesmith.cli import cli\n"
        "for line in ('recipe show r.yaml', 'doctor', 'doctor --models', 'init --yes'):\n"
        "    cli.main(line.split(), standalone_mode=False)\n"
        "heavy = {'torch', 'ray', 'transformers', 'pyarrow', 'numpy', 'scipy', 'datasets'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
