"""The core installed as a user gets it, with neither torch nor ray: recipes, registry and plans on a small laptop.

`make slim` (part of `make test`) creates `.venv-slim` with the core's pinned dependencies. The tests build the current
source, put it there and run it from an empty folder, so that nothing is found by accident.
"""

from __future__ import annotations

import json
import re
import resource
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.services import missing
from tunesmith.cli import VERBS

ROOT = Path(__file__).parents[2]
SLIM = ROOT / ".venv-slim"
HEAVY = ("torch", "ray", "numpy", "pyarrow", "transformers", "datasets", "peft", "scipy", "nltk")

Run = Callable[..., subprocess.CompletedProcess[str]]


@dataclass(frozen=True)
class Installed:
    """The folder the package was built from and the one it was installed to."""

    source: Path
    package: Path


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Build the source as it is now and install it into `.venv-slim`, without network."""
    python = SLIM / "bin" / "python"
    if not python.exists():
        missing(".venv-slim is not there (run `make slim`)")
    # A copy, because building inside the checkout leaves a build folder that outlives deleted modules.
    source = tmp_path_factory.mktemp("source")
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, source)
    install = [python, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    done = subprocess.run([*install, "--force-reinstall", source], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    where = "import tunesmith, pathlib; print(pathlib.Path(tunesmith.__file__).parent)"
    found = subprocess.run([python, "-I", "-c", where], capture_output=True, text=True, check=True)
    package = Path(found.stdout.strip())
    assert package.is_relative_to(SLIM)
    return Installed(source / "src" / "tunesmith", package)


@pytest.fixture
def slim(installed: Installed, tmp_path: Path) -> Run:
    """Run a program of `.venv-slim` in an empty folder, with an empty home."""
    environment = {"HOME": str(tmp_path), "PATH": f"{SLIM / 'bin'}:/usr/bin:/bin", "LANG": "C.UTF-8"}

    def run(*command: str, exit_code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == exit_code, f"{command} exited {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return run


def test_nothing_heavy_is_installed(slim: Run) -> None:
    look = "import importlib.util as i, sys; print([name for name in sys.argv[1:] if i.find_spec(name)])"
    assert slim("python", "-I", "-c", look, *HEAVY).stdout.strip() == "[]"


def test_requirements_are_met(slim: Run) -> None:
    assert slim("python", "-m", "pip", "check").stdout.strip() == "No broken requirements found."


def test_every_file_of_the_package_is_installed(installed: Installed) -> None:
    """Templates, styles and migrations too: a wheel that lacks them fails only when they are used."""
    wanted = {path.relative_to(installed.source) for path in installed.source.rglob("*") if path.is_file()}
    assert Path("py.typed") in wanted
    assert {path for path in wanted if not (installed.package / path).exists()} == set()


def test_import(slim: Run) -> None:
    slim("python", "-I", "-c", "import tunesmith; print(tunesmith.__version__)")


def test_help_is_instant(slim: Run) -> None:
    slim("tunesmith", "--help")  # writes the bytecode
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "tunesmith run recipe.yaml" in slim("tunesmith", "--help").stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Seconds of processor, not of the clock: other tests may keep the machine busy.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_every_verb(slim: Run, verb: str) -> None:
    assert f"tunesmith {verb}" in slim("tunesmith", verb, "--help").stdout


def test_recipe_schema(slim: Run) -> None:
    schema = json.loads(slim("tunesmith", "recipe", "schema").stdout)
    assert {"model", "data", "method", "train"} <= schema["properties"].keys()


def test_recipe_show(slim: Run, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("name: slim\nmodel: {source: some/model}\ndata: {train: rows.jsonl}\n")
    shown = slim("tunesmith", "recipe", "show", "recipe.yaml", "--set", "train.learning_rate=1e-4").stdout
    assert "some/model" in shown
    assert "learning_rate" in shown


def test_registry_ls(slim: Run) -> None:
    assert json.loads(slim("tunesmith", "registry", "ls", "--json").stdout) == []


def test_keys_and_experiments(slim: Run) -> None:
    for verb in ("keys", "experiment"):
        assert json.loads(slim("tunesmith", verb, "ls", "--json").stdout) == []
    assert slim("tunesmith", "keys", "create", "shop").stdout.startswith("sk-ts-")
    assert json.loads(slim("tunesmith", "keys", "ls", "--json").stdout)[0]["tenant"] == "shop"


def test_serving_without_vllm_says_how_to_get_it(slim: Run) -> None:
    answer = slim("tunesmith", "serve", "summaries", exit_code=2)
    assert "serving needs ray, vllm" in answer.stderr and "tunesmith[train,serve]" in answer.stderr


def test_a_cluster_is_priced_and_what_starting_it_needs_is_said(slim: Run, tmp_path: Path) -> None:
    text = re.sub("<[A-Z_]+>", "filled-in", (ROOT / "cluster" / "aws.yaml").read_text())
    (tmp_path / "aws.yaml").write_text(text)
    up = slim("tunesmith", "cluster", "up", "aws.yaml", exit_code=2).stderr
    assert "4 x aws:g5.2xlarge spot: $0.54 an hour, $2.16 at most" in up
    assert "ray is not installed" in up and "tunesmith[train]" in up
    assert "asking AWS needs boto3" in slim("tunesmith", "cluster", "status", "aws.yaml", exit_code=2).stderr


def test_doctor_says_what_is_missing(slim: Run) -> None:
    shown = slim("tunesmith", "doctor").stdout
    assert "torch" in shown
    assert "tunesmith[train]" in shown


def test_plan(slim: Run, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"prompt": "What is it?", "completion": "A thing."}\n' * 50)
    (tmp_path / "recipe.yaml").write_text(
        "name: slim\nmodel: {source: smollm2-135m-instruct}\ndata: {train: rows.jsonl}\n"
    )
    plan = json.loads(slim("tunesmith", "plan", "recipe.yaml", "--json").stdout)
    assert plan["parameters"] == 134_515_008
    assert plan["rows_from"].startswith("estimate: 50 rows")
    assert plan["ranked"][0]["price"]["source"]


def test_training_without_the_training_stack_says_how_to_get_it(slim: Run, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "completion": "b"}\n' * 20)
    (tmp_path / "recipe.yaml").write_text("name: slim\nmodel: {source: some/model}\ndata: {train: rows.jsonl}\n")
    answer = slim("tunesmith", "run", "recipe.yaml", exit_code=2)
    assert "tunesmith[train]" in answer.stderr
    assert "Traceback" not in answer.stderr
