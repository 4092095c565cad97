"""The same settings, however written and wherever kept, have the same fingerprint."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tunesmith.recipe.fingerprint import canonical, fingerprint
from tunesmith.recipe.load import load_recipe
from tunesmith.recipe.schema import Recipe
from tunesmith.recipe.serve import ServeSection
from tunesmith.recipe.train import EarlyStoppingSection, TrainSection

ONE = """\
name: x
model: {source: some/model}
data: {train: rows.jsonl, split: {validation: 100}}
train: {learning_rate: 2e-4}
"""
OTHER = """\
# comments and order do not count
train:
  epochs: 1
  learning_rate: 0.00020
data:
  split: {validation: 100.0}
  train:
    - type: file
      path: "rows.jsonl"
model:
  source: 'some/model'
name: x
"""


def of(folder: Path, text: str) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "r.yaml").write_text(text)
    return fingerprint(load_recipe(folder / "r.yaml").recipe)


def test_layout_and_folder_do_not_count(tmp_path: Path) -> None:
    assert of(tmp_path / "here", ONE) == of(tmp_path / "there", OTHER)


def test_a_parent_in_the_same_folder_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(ONE.replace("name: x\n", ""))
    assert of(tmp_path, "extends: base.yaml\nname: x\n") == of(tmp_path, ONE)


@pytest.mark.parametrize(("old", "new"), [("x\n", "y\n"), ("2e-4", "2.1e-4"), ("rows", "row"), ("100", "101")])
def test_values_count(tmp_path: Path, old: str, new: str) -> None:
    assert of(tmp_path, ONE.replace(old, new, 1)) != of(tmp_path, ONE)


def test_canonical_form() -> None:
    """The form is a contract: old artefacts carry its hash."""
    section = EarlyStoppingSection(patience=2, min_improvement=1.0)
    assert canonical(section) == '{"min_improvement":1,"patience":2}'
    assert fingerprint(section) == hashlib.sha256(b'{"min_improvement":1,"patience":2}').hexdigest()


def test_canonical_form_is_json_of_the_section() -> None:
    section = TrainSection(learning_rate=1e-5)
    assert json.loads(canonical(section)) == section.model_dump(mode="json")


def test_how_a_version_is_served_is_no_part_of_what_it_is() -> None:
    recipe = Recipe.model_validate({"name": "x", "model": {"source": "some/model"}, "data": {"train": "rows.jsonl"}})
    served = recipe.model_copy(update={"serve": ServeSection(port=9000)})
    assert fingerprint(served) == fingerprint(recipe)
    assert served.model_dump()["serve"]["port"] == 9000
