"""Config files for `serve deploy`: what lies in serving/ is what Serve and the application take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import tiny_versions
from tunesmith.recipe.load import load_recipe
from tunesmith.serve.app import planned
from tunesmith.serve.spec import ServeError

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "serving").glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_config_file_is_one(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.serve.schema import ServeDeploySchema

    config = ServeDeploySchema.model_validate(yaml.safe_load(file.read_text()))
    engine, gateway = config.applications
    assert (engine.route_prefix, gateway.route_prefix) == ("/engines/base", "/")
    monkeypatch.chdir(ROOT)
    for one in config.applications:
        module, name = one.import_path.split(":")
        assert callable(getattr(__import__(module, fromlist=[name]), name))
        recipe = load_recipe(Path(one.args["recipe"]), tuple(one.args.get("set", ()))).recipe
        assert recipe.serve is None or recipe.serve.port == 8000


def test_there_are_config_files() -> None:
    assert [file.name for file in FILES] == ["70b.yaml", "cpu.yaml", "gpu.yaml"]


def test_a_recipe_is_planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "home"))
    tiny_versions.register(tmp_path)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("name: tiny\nmodel: {source: ./base}\ndata: {train: rows.jsonl}\n")
    plan = planned({"recipe": str(recipe), "set": ["serve.engine.max_sequences=3"]})
    assert (plan.engines[0].settings.max_sequences, plan.gateway.names) == (3, ("tiny",))


@pytest.mark.parametrize(
    ("args", "message"),
    [({}, "the recipe is missing"), ({"recipe": 1}, "the recipe is missing"),
     ({"recipes": "x"}, "'recipes' is no argument")],
)  # fmt: skip
def test_other_arguments_are_refused(args: dict[str, Any], message: str) -> None:
    with pytest.raises(ServeError, match=message):
        planned(args)
